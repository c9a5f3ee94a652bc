import onnx
import torch
from torch import nn

from cstm.export.macs import count_macs


def export(module, *example):
    program = torch.onnx.export(module.eval(), example, dynamo=True, verbose=False, opset_version=20)
    return program.model_proto


def test_convolution_and_matrix_product():
    module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.Flatten(), nn.Linear(8 * 16, 5))
    assert count_macs(export(module, torch.zeros(1, 3, 4, 4))) == 3 * 8 * 9 * 16 + 8 * 16 * 5


def test_gru():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(6, 4, batch_first=True)

        def forward(self, x):
            return self.gru(x)[0]

    model = export(Last(), torch.zeros(1, 7, 6))
    assert any(node.op_type == "GRU" for node in model.graph.node)
    assert count_macs(onnx.ModelProto.FromString(model.SerializeToString())) == 7 * 3 * 4 * (6 + 4)
