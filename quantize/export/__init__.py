"""A checkpoint to a bundle in fp32, fp16 and int8."""
