"""The records of accuracy, ablation, steering and peers to tables; ``figures`` puts them there."""

from __future__ import annotations

from benchmarks.pages.table_format import Record, measured, number, rows

VOICES = {
    "GRID s1, unseen sentences": "GRID s1, an English man whose face was learned; new sentences",
    "FACEGOOD, unseen clip": "FACEGOOD, a Mandarin speaker whose face was learned; a new take",
    "GRID, five unseen talkers": "five unseen English talkers, 3 s each",
    "EMO-DB, two unseen talkers": "two unseen German actors, in seven emotions",
    "LibriVox, unseen talker": "an unseen English reader",
}
PAIRED = ("GRID s1, unseen sentences", "FACEGOOD, unseen clip", "GRID, five unseen talkers")
LEGIBLE = ("EMO-DB, two unseen talkers", "LibriVox, unseen talker")


def accuracy(record: Record) -> str:
    """Correlation with captured faces, for the default look-ahead, for none and of the teacher."""
    found = record["results"]
    systems = {
        ahead: found["by_lookahead"][ahead] for ahead in dict.fromkeys([found["default"], "0 ms"])
    }
    if "teacher" in found["baselines"]:
        systems["teacher, the whole clip"] = found["baselines"]["teacher"]
    body = [
        [
            ahead, name, row["clips"], f"{row['r_jaw']:.2f}", f"{row['r_jaw_log_energy']:.2f}",
            f"{row['r_mouth_live']:.2f}", f"{row['r_mouth_all']:.2f}",
            f"{row['std_ratio_jaw']:.2f}", f"{row['jitter_ratio_jaw']:.2f}",
        ]
        for ahead, sets in systems.items()
        for name, row in sets.items()
        if "r_jaw" in row
    ]  # fmt: skip
    head = "look-ahead|clips of|clips|jaw|loudness alone, jaw|other live mouth shapes"
    return rows([*head.split("|"), "all that move", "spread", "jitter"], body)


def students(record: Record) -> str:
    """Teacher, student at each look-ahead, the bundle before and loudness, on the same clips."""
    found = record["results"]
    others, aheads = found["baselines"], found["by_lookahead"]
    systems = {"teacher, the whole clip": others.get("teacher")}
    systems |= {f"student, {ahead}": sets for ahead, sets in aheads.items()}
    systems |= {"the bundle before, 67 ms": others.get("before"), "loudness": others["loudness"]}
    body = []
    for name, sets in systems.items():
        if sets is None:
            continue
        paired = [row for row in sets.values() if "r_jaw" in row]
        legible = [row["contrasts"]["auc_mean"] for n, row in sets.items() if n in LEGIBLE]
        quiet = [v for n, v in sets["made silence"].items() if n != "clips"]
        body.append(
            [
                name,
                *(f"{number(row['r_jaw'])} / {number(row.get('r_mouth_live'))}" for row in paired),
                *(f"{area:.2f}" for area in legible),
                f"{number(paired[1]['jaw_in_silence'], 3)} / {max(quiet):.3f}",
                " / ".join(number(row["jitter_ratio_jaw"]) for row in paired),
            ]
        )
    head = "jaw / other live shapes|GRID s1|FACEGOOD|unseen talkers|lips legible, EMO-DB|LibriVox"
    return rows([*head.split("|"), "jaw in silence: FACEGOOD / worst made", "jitter"], body)


def ablation(record: Record) -> str:
    """The student without one part of its loss at a time, after a short training."""
    body = []
    for name, run in record["results"]["runs"].items():
        sets = run["sets"]
        paired = [row for row in sets.values() if "r_jaw" in row]
        contrasts = [sets[name]["contrasts"] for name in LEGIBLE]
        body.append(
            [
                name,
                *(f"{row['r_jaw']:.3f} / {number(row.get('r_mouth_live'), 3)}" for row in paired),
                *(f"{one['auc_mean']:.3f}" for one in contrasts),
                f"{contrasts[0]['auc']['pbm lips']:.3f}",
                number(paired[0]["jitter_ratio_jaw"]),
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
                cells.append(f"{row['r_jaw']:.3f} / {number(row.get('r_mouth_live'), 3)}")
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
        body.append([voices, row["clips"], *map(number, both)])
    return rows(["voices", "clips", "jaw", "other live shapes", "lips legible"], body)


def systems(record: Record) -> str:
    """What else could move a face, on the same clips: jaw on each set, legibility of the lips."""
    body = []
    for name, sets in record["results"]["systems"].items():
        jaws = [row["r_jaw"] for row in sets.values() if "r_jaw" in row]
        legible = sets.get("EMO-DB, two unseen talkers", {}).get("contrasts", {}).get("auc_mean")
        body.append([name, *(f"{r:.2f}" for r in jaws), f"{legible:.2f}" if legible else ""])
    head = "system|jaw, GRID s1|jaw, FACEGOOD|jaw, unseen talkers|lips legible, EMO-DB (AUC)"
    return rows(head.split("|"), body)
