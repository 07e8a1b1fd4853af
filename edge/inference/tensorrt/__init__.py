"""TensorRT engines: built, kept and stepped."""
