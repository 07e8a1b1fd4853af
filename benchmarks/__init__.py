"""Measurements that write JSON with git hash, bundle hash and machine."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The checkout."""
RESULTS = ROOT / "benchmarks" / "results"
"""Where records and plots are written."""
GPU_RECORDS = ROOT / "benchmarks" / "records"
"""Where ``benchmarks.runtime.gpu`` writes a file a device."""
DEMO = ROOT / "edge" / "assets" / "demo.flac"
"""A clip of speech that every checkout has."""
