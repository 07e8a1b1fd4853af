"""The benchmarks' JSON files to the tables in README.md and docs/, and to plots: ``make figures``.

A table stands between ``<!-- table:NAME -->`` and ``<!-- /table -->``; a function here of that name
writes it from ``results/FILE.json``. Nothing measured is typed in by hand.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import RESULTS, ROOT
from benchmarks.pages import teacher_tables
from benchmarks.pages.readme_table import summary
from benchmarks.pages.table_format import Record, rows
from benchmarks.runtime import scale, speed
from edge.files import write_text

MARKED = re.compile(r"(<!-- table:(\w+) -->\n).*?(<!-- /table -->)", re.DOTALL)


def measured(record: Record) -> str:
    """The line under a table that says what was measured where."""
    machine = record["machine"]
    return (
        f"\nBundle `{record['bundle']}`, commit `{record['git']}`, {machine['cpu']}, "
        f"{machine['cores']} shared cores, load {machine['load']:.1f}.\n"
    )


def accuracy(record: Record) -> str:
    """Correlation with captured faces, for the default look-ahead, for none and of the teacher."""
    found = record["results"]
    shown = {
        ahead: found["by_lookahead"][ahead] for ahead in dict.fromkeys([found["default"], "0 ms"])
    }
    if "teacher" in found["baselines"]:
        shown["teacher, the whole clip"] = found["baselines"]["teacher"]
    body = [
        [
            ahead, name, row["clips"], f"{row['r_jaw']:.2f}", f"{row['r_jaw_log_energy']:.2f}",
            f"{row['r_mouth_live']:.2f}", f"{row['r_mouth_all']:.2f}",
            f"{row['std_ratio_jaw']:.2f}", f"{row['jitter_ratio_jaw']:.2f}",
        ]
        for ahead, sets in shown.items()
        for name, row in sets.items()
        if "r_jaw" in row
    ]  # fmt: skip
    head = "look-ahead|clips of|clips|jaw|loudness alone, jaw|other live mouth shapes"
    return rows([*head.split("|"), "all that move", "spread", "jitter"], body)


def students(record: Record) -> str:
    """Teacher, student at each look-ahead, the bundle before and loudness, on the same clips."""
    found = record["results"]
    others, aheads = found["baselines"], found["by_lookahead"]
    shown = {"teacher, the whole clip": others.get("teacher")}
    shown |= {f"student, {ahead}": sets for ahead, sets in aheads.items()}
    shown |= {"the bundle before, 67 ms": others.get("before"), "loudness": others["loudness"]}
    body = []
    for name, sets in shown.items():
        if sets is None:
            continue
        paired = [row for row in sets.values() if "r_jaw" in row]
        legible = [row["contrasts"]["auc_mean"] for n, row in sets.items() if n in LEGIBLE]
        quiet = [v for n, v in sets["made silence"].items() if n != "clips"]
        body.append(
            [
                name,
                *(
                    f"{_number(row['r_jaw'])} / {_number(row.get('r_mouth_live'))}"
                    for row in paired
                ),
                *(f"{area:.2f}" for area in legible),
                f"{_number(paired[1]['jaw_in_silence'], 3)} / {max(quiet):.3f}",
                " / ".join(_number(row["jitter_ratio_jaw"]) for row in paired),
            ]
        )
    head = "jaw / other live shapes|GRID s1|FACEGOOD|unseen talkers|lips legible, EMO-DB|LibriVox"
    return rows([*head.split("|"), "jaw in silence: FACEGOOD / worst made", "jitter"], body)


def ablation(record: Record) -> str:
    """The student without one part of its lesson at a time, after a short training."""
    body = []
    for name, run in record["results"]["runs"].items():
        sets = run["sets"]
        paired = [row for row in sets.values() if "r_jaw" in row]
        heard = [sets[name]["contrasts"] for name in LEGIBLE]
        body.append(
            [
                name,
                *(f"{row['r_jaw']:.3f} / {_number(row.get('r_mouth_live'), 3)}" for row in paired),
                *(f"{one['auc_mean']:.3f}" for one in heard),
                f"{heard[0]['auc']['pbm lips']:.3f}",
                _number(paired[0]["jitter_ratio_jaw"]),
                f"{run['emotion_right']:.0%}",
            ]
        )
    head = f"after {record['results']['epochs']} epochs|GRID s1|FACEGOOD|unseen talkers|EMO-DB"
    return rows([*head.split("|"), "LibriVox", "p, b, m shut", "jitter", "emotion"], body)


def steering(record: Record) -> str:
    """What words and styles do to the face, on the sets whose text is known."""
    ways, body = record["results"]["ways"], []
    for way, sets in ways.items():
        cells = []
        for name in (*PAIRED, LEGIBLE[1]):
            row = sets.get(name)
            if not row:
                cells.append("")
            elif name in PAIRED:
                cells.append(f"{row['r_jaw']:.3f} / {_number(row.get('r_mouth_live'), 3)}")
            else:
                cells.append(f"{row['contrasts']['auc_mean']:.3f}")
        body.append([way, *cells])
    head = "told|GRID s1|FACEGOOD|unseen talkers|lips legible, LibriVox"
    pulls = "; ".join(
        f"`{name}` {row['share']:.0%} (cosine {row['cosine']:.2f})"
        for name, row in record["results"]["pull"].items()
    )
    moved = (
        "\nHow far unseen voices come, by amount of a style, to move each shape as much as its "
        f"talker does: {pulls}.\n"
    )
    return rows(head.split("|"), body) + moved + measured(record)


def card(record: Record) -> str:
    """The bundle at its own look-ahead by speaker and language, for its model card."""
    found = record["results"]
    sets = found["by_lookahead"][found["default"]]
    body = []
    for name, voices in VOICES.items():
        row, contrasts = sets[name], sets[name].get("contrasts", {})
        both = [row.get("r_jaw"), row.get("r_mouth_live"), contrasts.get("auc_mean")]
        body.append([voices, row["clips"], *map(_number, both)])
    return rows(["voices", "clips", "jaw", "other live shapes", "lips legible"], body)


VOICES = {
    "GRID s1, unseen sentences": "GRID s1, an English man whose face was learned; new sentences",
    "FACEGOOD, unseen clip": "FACEGOOD, a Mandarin speaker whose face was learned; a new take",
    "GRID, five unseen talkers": "five unseen English talkers, 3 s each",
    "EMO-DB, two unseen talkers": "two unseen German actors, in seven emotions",
    "LibriVox, unseen talker": "an unseen English reader",
}
PAIRED = ("GRID s1, unseen sentences", "FACEGOOD, unseen clip", "GRID, five unseen talkers")
LEGIBLE = ("EMO-DB, two unseen talkers", "LibriVox, unseen talker")


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def systems(record: Record) -> str:
    """What else could move a face, on the same clips: jaw on each set, legibility of the lips."""
    body = []
    for name, sets in record["results"]["systems"].items():
        jaws = [row["r_jaw"] for row in sets.values() if "r_jaw" in row]
        legible = sets.get("EMO-DB, two unseen talkers", {}).get("contrasts", {}).get("auc_mean")
        body.append([name, *(f"{r:.2f}" for r in jaws), f"{legible:.2f}" if legible else ""])
    head = "system|jaw, GRID s1|jaw, FACEGOOD|jaw, unseen talkers|lips legible, EMO-DB (AUC)"
    return rows(head.split("|"), body)


def latency(record: Record) -> str:
    """Habits of real time, idle and beside two hogs."""
    found = record["results"]["rows"]
    names = dict.fromkeys(name.rsplit(", ", 1)[0] for name in found)
    body = []
    for name in names:
        line: list[object] = [name]
        for hogs in (0, 2):
            row = found[f"{name}, {hogs} hogs"]
            least, most = row["p99_range"]
            line += [f"{row['p50']:.1f}", f"{row['p99']:.1f} ({least:.1f} to {most:.1f})"]
        body.append(line)
    head = "habit|p50 ms|p99 ms (of the rounds)|p50 ms, two hogs|p99 ms, two hogs (of the rounds)"
    return rows(head.split("|"), body) + measured(record)


def reconnects(record: Record) -> str:
    """What a process keeps of lost microphones."""
    titles = {
        "stream_ends": "the stream ends",
        "unplugged": "unplugged for a second",
        "missing": "nothing there",
    }
    body = []
    for key, title in titles.items():
        first, last = record["results"][key][0], record["results"][key][-1]
        count = last.get("reconnects", f"{last.get('seconds', 0):.0f} s")
        growth = last["rss_kb"] - first["rss_kb"]
        still = [f"{first[k]:.0f} → {last[k]:.0f}" for k in ("threads", "fds")]
        body.append([title, count, f"{growth:+.0f}", *still])
    return rows(["lost how", "times", "kB of memory", "threads", "open files"], body)


def cost(record: Record) -> str:
    """Ours and the peers, from one run on one core."""
    body = []
    for name, row in record["results"]["rows"].items():
        output = row.get("outputs", "52 ARKit shapes, streaming")
        if "not_run" in row:
            body.append([name, output, "not run", "", "", ""])
            continue
        cpu, ratio = row["cpu_s_per_audio_s"], row["ratio_to_edgetalk"]
        start = f"{row['start_s']['median']:.1f}" if "start_s" in row else ""
        body.append(
            [
                name, output, f"{cpu['median']:.4f} ({cpu['min']:.4f} to {cpu['max']:.4f})",
                f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})",
                round(row["peak_mb"]), start,
            ]
        )  # fmt: skip
    head = ["system", "puts out", "CPU s per audio s", "times EdgeTalk", "peak MB", "start s"]
    counted, step = record["results"]["networks"], record["results"]["stages_us"]
    return (
        rows(head, body)
        + (
            f"\nBoth networks: {counted['parameters'] / 1e6:.2f} M parameters, "
            f"{counted['gflop_per_10_s']:.2f} GFLOP for 10 s of audio, {counted['state_kb']} KB of "
            f"state, {step['generator'] + step['decoder']:.0f} us a face.\n"
        )
        + measured(record)
    )


def stages(record: Record) -> str:
    """Where a face's time goes, now and before."""
    found = record["results"]
    then = found.get("before_and_after")
    names = list(found["stages_us"])
    if then is None:
        return rows(["stage", "µs"], [[n, found["stages_us"][n]] for n in names])
    body = [[n, then["before"]["stages_us"][n], then["after"]["stages_us"][n]] for n in names]
    whole = [then[when]["cpu_s_per_audio_s"]["median"] for when in ("before", "after")]
    body.append(["function calls a face", *(then[w]["calls_a_face"] for w in ("before", "after"))])
    body.append(["CPU s per audio s, nothing sent", *(f"{value:.5f}" for value in whole)])
    ratio = then["after_over_before"]
    return rows(["µs a face", f"before (`{then['commit']}`)", "after"], body) + (
        f"\nTurn by turn, {then['turns']} turns: after / before {ratio['median']:.3f} "
        f"(quartiles {ratio['q25']:.3f} and {ratio['q75']:.3f}).\n"
    )


def streams(record: Record) -> str:
    """Many faces on one machine."""
    body = [
        [
            row["streams"], row["processes"], row["weights"], row["faces_per_cpu_s"],
            row["latency_p50_ms"], row["latency_p99_ms"], f"{row['ticks_on_time']:.0%}",
            "" if row["streams"] == row["processes"] else row["stream_mb"],
        ]
        for row in record["results"]["rows"]
    ]  # fmt: skip
    head = "streams|processes|weights|faces a CPU second|p50 ms|p99 ms|ticks on time"
    return rows([*head.split("|"), "MB a further stream"], body) + measured(record)


def precision(record: Record) -> str:
    """fp32, fp16 and int8 networks of the bundle."""
    body = [
        [
            name, f"{row['bytes'] / 1000:.0f} kB",
            f"{row['snr_db']:.1f} dB" if "snr_db" in row else "",
            f"{row['step_us']['p50']:.0f} µs",
        ]
        for name, row in record["results"]["precisions"].items()
    ]  # fmt: skip
    head = ["precision", "size", "SNR of the weights"]
    return rows([*head, "a face's networks on ONNX Runtime, p50"], body)


def encode(record: Record) -> str:
    """A face to datagrams."""
    found = record["results"]
    body = [
        [f"`{url}`", row["p50_us"], row["p99_us"], row["times_faster"]]
        for url, row in found["encode"].items()
    ]
    peer = found["python_osc"]
    body.append(["python-osc (as `vmc`)", peer["p50_us"], peer["p99_us"], ""])
    return rows(["receiver", "p50 µs", "p99 µs", "times faster than python-osc"], body)


# Table -> (its JSON, its function).
TABLES: dict[str, tuple[str, Callable[[Record], str]]] = {
    "accuracy": ("accuracy", accuracy),
    "students": ("accuracy", students),
    "ablation": ("ablation", ablation),
    "steering": ("steering", steering),
    "card": ("accuracy", card),
    "summary": ("peers", summary),
    "systems": ("peers", systems),
    "latency": ("latency", latency),
    "reconnects": ("reconnects", reconnects),
    "codebook": ("codebook", teacher_tables.codebook),
    "emotion": ("emotion", teacher_tables.emotion),
    "probes": ("probes", teacher_tables.probes),
    "diversity": ("diversity", teacher_tables.diversity),
    "text": ("text", teacher_tables.text),
    "cost": ("speed", cost),
    "stages": ("speed", stages),
    "streams": ("scale", streams),
    "precision": ("quantisation", precision),
    "encode": ("encode", encode),
}


def _plot_stages(record: Record, folder: Path) -> None:
    if then := record["results"].get("before_and_after"):
        speed.plot(then, folder / "speed_stages.png")


def _plot_streams(record: Record, folder: Path) -> None:
    scale.plot(record["results"]["rows"], folder / "scale.png")


def _plot_diversity(record: Record, folder: Path) -> None:
    from benchmarks.teachers import diversity as drawn  # needs torch, which the tables do not

    drawn.plot(record["results"]["ways"], folder / "diversity.png")


# JSON -> what draws from it alone; the other plots need faces and are drawn as they are measured.
PLOTS: dict[str, Callable[[Record, Path], None]] = {
    "speed": _plot_stages,
    "scale": _plot_streams,
    "diversity": _plot_diversity,
}


def read(name: str, folder: Path = RESULTS) -> Record:
    """One benchmark's record."""
    record: Record = json.loads((folder / f"{name}.json").read_text())
    return record


def filled(text: str, folder: Path = RESULTS) -> str:
    """The same text with every marked table written anew; ``KeyError`` names an unknown one."""

    def table(found: re.Match[str]) -> str:
        file, write = TABLES[found[2]]
        return found[1] + write(read(file, folder)) + found[3]

    return MARKED.sub(table, text)


def pages() -> list[Path]:
    """The files that may hold tables."""
    card = ROOT / "edge" / "bundles" / "default" / "README.md"
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), card]


def stale() -> list[Path]:
    """Pages whose tables are not what the JSON files say."""
    return [page for page in pages() if filled(page.read_text("utf-8")) != page.read_text("utf-8")]


def main(argv: Sequence[str] | None = None) -> int:
    """Write tables and plots; with ``--check`` only say which pages differ."""
    p = argparse.ArgumentParser("benchmarks.pages.figures", description=__doc__)
    p.add_argument("--check", action="store_true", help="change nothing; status 1 if stale")
    if p.parse_args(argv).check:
        for page in stale():
            print(f"{page.relative_to(ROOT)}: tables differ from the JSON files; make figures")
        return int(bool(stale()))
    for name, draw in PLOTS.items():
        if (RESULTS / f"{name}.json").exists():
            draw(read(name), RESULTS)
    for page in stale():
        write_text(page, filled(page.read_text("utf-8")))
        print(f"{page.relative_to(ROOT)}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
