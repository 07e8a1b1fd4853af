"""The teachers' JSON files to the tables of docs/findings.md; ``figures`` puts them there."""

from __future__ import annotations

from typing import Any

from benchmarks.pages.table_format import Record, rows


def codebook(record: Record) -> str:
    """The codebook beside principal components at the same bits a second."""
    found = record["results"]
    pca = found["principal_components"]
    bits = f"{found['bits_per_second']:.0f}"
    body = [
        ["two levels of codes", bits, f"{found['unseen']['explained']:.1%}"],
        [
            f"{pca['components']} principal components, {pca['bits_each']} bits each, "
            f"{pca['per_second']:g} a second",
            bits, f"{pca['explained']:.1%}",
        ],
    ]  # fmt: skip
    titles = {"taught": "captures and the teacher's faces", "all": "captures alone"}
    used = [
        f"{found[key]['slow_used']:.1%} of the slow and {found[key]['fast_used']:.1%} of the fast "
        f"codes over {title}"
        for key, title in titles.items()
        if key in found
    ]
    return rows(["motion as", "bits a second", "variance kept"], body) + (
        f"\nUsed: {'; '.join(used)}.\n"
    )


def emotion(record: Record) -> str:
    """Emotion recognised in voices not trained on."""
    found = record["results"]
    body = [
        [name, *(_both(row[k]) if k in row else "" for k in KINDS), clips]
        for name, row in found.items()
        if isinstance(row, dict) and "embedding" in row
        for clips in [row["embedding"]["clips"]]
    ]
    again, listeners = found["retrieval, described faces"], found["variance_and_listeners"]
    return rows(["right / mean recall", *KINDS.values(), "clips"], body) + (
        f"\nA voice finds a described face of its emotion first in {again['face_of_voice']:.0%} of "
        f"{again['pairs']} cases, a face a voice in {again['voice_of_face']:.0%}; by chance "
        f"{again['by_chance']:.0%}. Variance beside the share of listeners who recognised a "
        f"clip: rank correlation {listeners['rank_correlation']:.2f} (p {listeners['p']:.2g}).\n"
    )


KINDS = {
    "embedding": "embedding",
    "student": "the student, face by face",
    "prosody": "prosody, linear",
}


def _both(row: dict[str, Any]) -> str:
    return f"{row['right']:.0%} / {row['mean_recall']:.0%}"


def probes(record: Record) -> str:
    """What each branch of a teacher tells, and what a swapped emotion does to the face."""
    found = record["results"]
    read = [
        [name, f"{e['right']:.0%} / {e['mean_recall']:.0%}", f"{row['speaker']['right']:.0%}"]
        for name, row in found["readings"].items()
        for e in [row["emotion"]]
    ]
    swapped = [
        [
            name, row["faces"], f"{row['expected_rise']:.0%}", f"{row['others_rise']:.0%}",
            f"{row['strength']:.2f}", f"{row['cosine'][name]:.2f}",
            ", ".join(f"{k} {n / row['faces']:.0%}" for k, n in _first(row["matched"])),
            f"{found['words_alone'][name]:.2f}",
        ]
        for name, row in found["swaps"].items()
    ]  # fmt: skip
    named = found["checkpoint"]
    head = "emotion fed|faces|expected shapes rise|other shapes rise|strength|cosine"
    return "\n".join(
        (
            rows(["read from", "emotion, right / mean recall", "speaker, right"], read),
            rows([*head.split("|"), "pattern matched best", "strength by words alone"], swapped),
            _closures(found["lips"]),
            f"Run `{named['run']}`, checkpoint `{named['sha256']}`, commit `{record['git']}`.\n",
        )
    )


def _closures(lips: dict[str, Any]) -> str:
    """What the swap leaves of closed lips."""
    auc, sounds = lips["auc"], lips["sounds"]
    body = [
        [title, *(f"{row[key]:.2f}" for row in auc.values())]
        for title, key in (
            ("p, b, m shut: jaw", "pbm jaw"),
            ("p, b, m shut: lips", "pbm lips"),
            ("all contrasts", "all"),
        )
    ]
    shut, others = sounds["pbm"], sounds["others"]
    weights = " and ".join(
        f"`{n}` goes from {shut[f'{n}_before']:.3f} to {shut[f'{n}_after']:.3f}"
        for n in ("jawOpen", "mouthClose")
    )
    gaps = [
        f"from {row['gap_mm_before']:.2f} to {row['gap_mm_after']:.2f} mm, "
        f"each by {row['gap_mm_moved']:.2f}"
        for row in (shut, others)
    ]
    return rows(["AUC", *auc], body) + (
        f"\nAt p, b, m the swap leaves, on average: {weights}; the gap of the lips {gaps[0]} "
        f"(other sounds {gaps[1]}).\n"
    )


def _first(counts: dict[str, int], most: int = 2) -> list[tuple[str, int]]:
    """The most frequent, without those that never are."""
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    return [(name, n) for name, n in ranked[:most] if n]


def diversity(record: Record) -> str:
    """Many faces of one voice: how far apart, and what it costs the lips."""
    found = record["results"]
    body = []
    for way, curve in found["ways"].items():
        for row in curve if way == "as shipped" else [r for r in curve if r["temperature"] == 1]:
            sets = list(row["sets"].values())
            line: list[object] = [way, row["temperature"]]
            for one in sets:
                line.append(f"{one['diversity_upper']:.2f} / {one['diversity_mouth']:.2f}")
                if "rmse_mean" in one:
                    errors = (one[f"{key}_over_greedy"] - 1 for key in ("rmse_mean", "lve"))
                    line += [" / ".join(f"{e:+.0%}" for e in errors), f"{one['r_jaw']:.2f}"]
                if "auc" in one:
                    line.append(f"{one['auc']:.2f}")
            body.append(line)
    head = ["drawn", "temperature"]
    for name, one in found["ways"]["as shipped"][0]["sets"].items():
        head.append(f"{name}: upper face / mouth")
        head += ["lip RMSE / LVE", "r jaw"] if "rmse_mean" in one else []
        head += ["AUC"] if "auc" in one else []
    sentences = []
    for name, one in found["verdict"]["as shipped"].items():
        grows = "grows throughout" if all(one["grows"].values()) else "does not grow throughout"
        bound = one.get("lips_within_bound_up_to")
        borne = f", lips within {found['bound'] - 1:.0%} up to temperature {bound}" if bound else ""
        sentences.append(f"{name}: diversity {grows}{borne}")
    legible = [f"{k} {list(v.values())[-1]['auc']:.2f}" for k, v in found["ceilings"].items()]
    return rows(head, body) + (
        f"\n{'; '.join(sentences)}. Lips of {name}, AUC: {', '.join(legible)}.\n"
    )


def text(record: Record) -> str:
    """Whether the words help the upper face, beside controls."""
    found = record["results"]
    body = []
    for name, row in found["rows"].items():
        least, most = min(row["r_of_seeds"]), max(row["r_of_seeds"])
        body.append([name, f"{row['r']:.3f} ({least:.3f} to {most:.3f})", f"{row['rmse']:.3f}"])
    gains = [
        f"“{ours}” less “{theirs}”: {g['r']:+.3f} ({g['low']:+.3f} to {g['high']:+.3f})"
        for ours, against in found["gains"].items()
        for theirs, g in against.items()
    ]
    count = found["sentences"]
    return rows(["the upper face from", "r (of the seeds)", "RMSE, deviations"], body) + (
        f"\n{len(found['live'])} live shapes, {count['train']} sentences to learn from, "
        f"{count['test']} to test, {found['seeds']} seeds. Differences of r, and where 95 % lie "
        f"when the test sentences are drawn anew: {'; '.join(gains)}.\n"
    )
