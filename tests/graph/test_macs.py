import onnx
import torch
from torch import nn

from cstm.graph.macs import count_macs, reference_macs
from cstm.models.config import CSTMConfig
from cstm.models.contract import FRAME_GRAPH, TEXT_ENCODER
from cstm.runtime.bundle import Bundle


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


def test_what_is_deployed_is_the_paper_without_what_is_left_out(bundle_path):
    bundle = Bundle(bundle_path)
    deployed = sum(
        row["macs"]
        for row in bundle.manifest.built
        if row["precision"] == "fp32" and row["kind"] == "onnx" and row["component"] not in (TEXT_ENCODER, FRAME_GRAPH)
    )
    macs = reference_macs(bundle.config)
    # CMAM's queries move to the text encoder, and two small products a stage take their place.
    assert abs(macs["whole"] - macs["heads"] - macs["keys"] - macs["coordinates"] - deployed) < 0.03 * deployed


def test_released_at_full_size():
    macs = reference_macs(CSTMConfig.from_preset("released"))
    left = macs["whole"] - macs["heads"] - macs["keys"] - macs["coordinates"]
    assert (round(macs["whole"] / 1e9, 1), round(left / 1e9, 1)) == (422.7, 368.6)
