"""What can be done to an ONNX graph: `ModelProto` in, `ModelProto` out."""
