"""What fp16 and int8 must keep of fp32, and which of it one misses."""

from __future__ import annotations

from typing import Any

TARGET_DB = {"fp16": 45.0, "int8": 30.0}
TARGET_BYTES = {"int8": 1_000_000}
TARGET_AGREEMENT = {"fp16": 0.999, "int8": 0.98}
"""Share of faces whose likeliest code is that of fp32."""
TARGET_LOSS = 0.02
"""No accuracy row may be worse than fp32 by more than this share …"""
NEGLIGIBLE = 0.001
"""… unless the difference itself is below this: a twentieth of nearly nothing is nothing."""


def loss(row: str, fp32: float, other: float) -> float:
    """How much worse a row of the accuracy benchmark got, as a share of fp32's; below 0: better."""
    if row.startswith("r_"):
        change = fp32 - other
    elif row.startswith("std_ratio"):  # best at 1
        change = abs(1 - other) - abs(1 - fp32)
    else:  # a jaw in silence, jitter: the less the better
        change = other - fp32
    return change / max(abs(fp32), 1e-9)


def misses(precision: str, result: dict[str, Any], plain: dict[str, Any]) -> list[str]:
    """The targets not met, in words; ``plain`` is the accuracy of fp32."""
    found = []
    if result["snr_db"] < (wanted := TARGET_DB[precision]):
        found.append(f"SNR {result['snr_db']:.1f} dB, target {wanted:.0f} dB")
    for level, share in result["code_agreement"].items():
        if share < (least := TARGET_AGREEMENT[precision]):
            found.append(f"{level} codes agree in {share:.2%} of faces, target {least:.1%}")
    if result["bytes"] > (most := TARGET_BYTES.get(precision, result["bytes"])):
        found.append(f"{result['bytes']} bytes, target {most}")
    for name, rows in result["accuracy_loss"].items():
        for row, share in rows.items():
            now, before = result["accuracy"][name][row], plain[name][row]
            if share > TARGET_LOSS and abs(now - before) >= NEGLIGIBLE:
                found.append(f"{name}: {row} worse by {share:.1%} ({now:.5f}, fp32 {before:.5f})")
    return found
