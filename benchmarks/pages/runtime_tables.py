"""The records of latency, cost, scale and precision to tables; ``figures`` puts them there."""

from __future__ import annotations

from benchmarks.pages.table_format import Record, measured, rows


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
