"""An ONNX file opened through an engine that is built beside it, once."""

from cstm.export import open_engine
from cstm.export.open_engine import OpenEngine
from cstm.models.config import CSTMConfig
from cstm.models.contract import contract
from cstm.runtime.manifest import BuiltWith


def test_the_engine_is_built_beside_the_file_and_taken_again(tmp_path, monkeypatch):
    built, opened = [], []

    def build(path, component, options, cache):
        built.append((path.name, component.name, options.backend, cache))
        return lambda target: target.write_text("engine")

    monkeypatch.setattr(open_engine, "BuildEngine", build)
    monkeypatch.setattr(open_engine, "TensorRTSession", lambda *given, **named: opened.append((given, named)))
    monkeypatch.setattr(open_engine, "built_with", lambda options: BuiltWith(options.backend, None))
    component = contract(CSTMConfig.from_preset("tiny"))["decoder"]
    open_model = OpenEngine("tensorrt_rtx")
    for _ in range(2):
        open_model(component, tmp_path / "decoder-head.onnx")
    assert built == [("decoder-head.onnx", "decoder", "tensorrt_rtx", tmp_path / "timing.cache")]
    named = {"backend": "tensorrt_rtx", "built_with": BuiltWith("tensorrt_rtx", None), "max_batch": 4}
    assert opened == [((component, tmp_path / "decoder-head.engine"), named)] * 2
