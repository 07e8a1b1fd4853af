"""Scores to tables in a terminal."""

from __future__ import annotations

from typing import Any

from quantize.evaluation.scoring import Row
from quantize.evaluation.test_clips import MADE_SILENCE, PAIRED


def cell(value: Any, width: int = 6, digits: int = 3) -> str:
    """A number of a table, or a dash."""
    return f"{value:{width}.{digits}f}" if isinstance(value, float) else " " * (width - 1) + "-"


def print_table(systems: dict[str, dict[str, Row]]) -> None:
    """Three tables: against captured faces, against phones, and in silence; a row a system."""
    wide = max(map(len, systems))
    keys = ("r_jaw", "r_mouth_live", "rmse_mean", "lve", "lve_mm", "eve_mm", "fdd_mm")
    more = ("std_ratio_jaw", "jitter_ratio_jaw", "jaw_in_silence")
    heads = ("r jaw", "r lips", "rmse", "LVE", "LVE mm", "EVE mm", "FDD", "std", "jitter", "quiet")
    for name in PAIRED:
        print(f"\n{name:{wide}}", *(f"{h:>6}" for h in heads))
        for system, table in systems.items():
            if row := table.get(name):
                print(f"{system:{wide}}", *(cell(row.get(k)) for k in (*keys, *more)))
    for name in dict.fromkeys(n for t in systems.values() for n in t):
        rows = {s: t[name] for s, t in systems.items() if "contrasts" in t.get(name, {})}
        if not rows:
            continue
        kinds = list(dict.fromkeys(k for r in rows.values() for k in r["contrasts"]["auc"]))
        print(f"\n{name + ': AUC':{wide}}", *(f"{k:>9.9}" for k in kinds), "     mean  delay ms")
        for system, row in rows.items():
            found, delay = row["contrasts"], row["closure"]["median_ms"]
            areas = [cell(found["auc"].get(k), 9) for k in kinds]
            print(f"{system:{wide}}", *areas, cell(found["auc_mean"], 9), cell(delay, 9, 0))
    still = {s: t[MADE_SILENCE] for s, t in systems.items() if MADE_SILENCE in t}
    for system, row in still.items():
        kinds = [k for k in row if k != "clips"]
        print(f"\n{MADE_SILENCE}, {system}:", ", ".join(f"{k} {row[k]:.4f}" for k in kinds))
