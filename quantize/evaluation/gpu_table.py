"""Records of ``benchmarks.runtime.gpu`` to a table."""

from __future__ import annotations

import json
from pathlib import Path


def gpu_table(folder: Path) -> str:
    """Markdown with a row for each row of every record in ``folder``, by device and date."""
    head = ["device", "day", "runs on", "precision", "CUDA graph", "p50 us", "p99 us", "max us"]
    lines = [" | ".join([*head, "SNR dB"]), " | ".join(["---"] * (len(head) + 1))]
    for path in sorted(folder.glob("*.json")):
        record = json.loads(path.read_text("utf-8"))
        device = f"{record['gpu']} {record['l4t']}".strip()
        for row in record["rows"]:
            graph = {None: "", True: "yes", False: "no"}[row.get("cuda_graph")]
            took = [f"{row[key]:.0f}" for key in ("p50_us", "p99_us", "max_us")]
            snr = f"{row['snr_db']:.1f}" if "snr_db" in row else ""
            cells = [device, record["date"][:10], row["engine"], row["precision"], graph]
            lines.append(" | ".join([*cells, *took, snr]))
    if len(lines) == 2:
        return "No GPU was measured: benchmarks/records is empty."
    return "\n".join(f"| {line} |" for line in lines)
