"""``edge-run --doctor`` and ``--probe``."""
