"""What a build can be asked for."""

PRECISIONS = ("fp32", "fp16", "int8")
BACKENDS = ("auto", "tensorrt", "tensorrt_rtx", "none")  # of engines
ATTENTION = AUTO, NATIVE, PLUGIN = "auto", "native", "plugin"  # CMAM and LGFS as TensorRT's layers or as our kernels
