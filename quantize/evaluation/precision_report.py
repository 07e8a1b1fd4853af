"""The comparison of precisions to pictures and one HTML page that needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from edge.contract import FPS, INDEX
from edge.files import write_text
from quantize.evaluation.gpu_table import gpu_table
from quantize.evaluation.precision import PrecisionOutput
from quantize.evaluation.precision_targets import TARGET_DB
from quantize.evaluation.record import write_record
from quantize.plotting import pyplot

STYLE = """body{font:15px system-ui,sans-serif;max-width:62em;margin:2em auto;padding:0 1em}
table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #bbb;padding:.2em .6em;
text-align:right}td:first-child,th:first-child{text-align:left}img{max-width:100%}
.miss{color:#b00020;font-weight:600}"""


def plot_shapes(precisions: Mapping[str, Any], path: Path) -> None:
    """SNR of each shape, a dot a precision."""
    plt = pyplot()
    others = {p: r["shapes"] for p, r in precisions.items() if p != "fp32"}
    names = list(next(iter(others.values())))
    figure, axes = plt.subplots(figsize=(9, 0.24 * len(names) + 1), layout="constrained")
    for colour, (precision, shapes) in zip(("tab:green", "tab:blue"), others.items(), strict=False):
        axes.plot([shapes[n]["snr_db"] for n in names], names, "o", color=colour, label=precision)
        axes.axvline(TARGET_DB[precision], color=colour, linestyle=":")
    axes.invert_yaxis()
    axes.grid(axis="y", alpha=0.3)
    axes.set_xlabel("SNR against fp32, dB (dotted: the target for all shapes together)")
    axes.legend()
    figure.savefig(path, dpi=90)
    plt.close(figure)


def plot_worst(
    precisions: Mapping[str, Any],
    streams: Mapping[str, PrecisionOutput],
    precision: str,
    path: Path,
) -> None:
    """One second to each side of the worst frames of one precision, fp32 beside it."""
    plt = pyplot()
    frames = precisions[precision]["worst"][:3]
    figure, panels = plt.subplots(1, len(frames), figsize=(11, 3), layout="constrained")
    for axes, frame in zip(np.atleast_1d(panels), frames, strict=True):
        first = max(0, frame["face"] - FPS)
        part = slice(first, frame["face"] + FPS)
        column = INDEX[frame["shape"]]
        for name, colour in (("fp32", "0.45"), (precision, "tab:blue")):
            values = streams[name].weights[part, column]
            time = (np.arange(len(values)) + first - frame["face"]) / FPS
            axes.plot(time, values, color=colour, label=name)
        axes.axvline(0, color="tab:red", linewidth=0.8)
        axes.set_title(f"{frame['shape']}\n{frame['clip']} at {frame['seconds']} s", fontsize=9)
        axes.set_xlabel("s")
    np.atleast_1d(panels)[0].legend(fontsize=8)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def write_report(
    results: dict[str, Any],
    streams: Mapping[str, PrecisionOutput],
    bundle: Path,
    out: Path,
    gpu_records: Path,
) -> Path:
    """``quantisation.json``, ``.html`` and pictures in ``out``; returns the page.

    ``gpu_records`` is the folder of what ``benchmarks.runtime.gpu`` wrote.
    """
    out.mkdir(parents=True, exist_ok=True)
    precisions = results["precisions"]
    plot_shapes(precisions, out / "quantisation_shapes.png")
    for precision in list(precisions)[1:]:
        plot_worst(precisions, streams, precision, out / f"quantisation_worst_{precision}.png")
    record = write_record("quantisation", results, out, bundle)
    return page(results, out, record, gpu_records)


def page(results: Mapping[str, Any], folder: Path, record: Path, gpu_records: Path) -> Path:
    """``quantisation.html`` and its pictures in ``folder``; the pictures are inside the page."""
    precisions = results["precisions"]
    others = [p for p in precisions if p != "fp32"]
    parts = [
        "<!doctype html><meta charset=utf-8><title>fp16 and int8 beside fp32</title>",
        f"<style>{STYLE}</style><h1>fp16 and int8 beside fp32</h1>",
        f"<p>{results['clips']} clips that nobody trained on, {results['faces']} faces in one "
        f"stream without a reset, look-ahead {results['lookahead']} faces, ONNX Runtime on one CPU "
        f"thread. No Jetson was measured. Every number: {escape(record.name)}.</p>",
        _summary(precisions),
        f"<h2>Latency on GPUs</h2><pre>{escape(gpu_table(gpu_records))}</pre>",
        "<h2>Targets missed</h2>",
        _list([f"{p}: {m}" for p in others for m in precisions[p]["misses"]]),
        "<h2>Accuracy</h2>",
        _accuracy(precisions, others),
        "<h2>Worst frames</h2>",
        *(_worst(precisions, p, folder) for p in others),
        "<h2>Each shape</h2>",
        _image(folder / "quantisation_shapes.png"),
        _shapes(precisions, others),
    ]
    scan = folder / "sensitivity.png"
    if scan.exists():
        parts += ["<h2>Sensitivity of int8</h2>", _image(scan)]
    path = folder / "quantisation.html"
    write_text(path, "\n".join(parts) + "\n")
    return path


def _summary(precisions: Mapping[str, Any]) -> str:
    head = ["", "kB", "SNR of weights, dB", "SNR of latent, dB", "decoder alone, dB", "max error"]
    head += ["r", "same slow code", "same fast code", "step p50, us", "p99, us"]
    rows = []
    for name, r in precisions.items():
        keys = ("snr_db", "generator_latent_snr_db", "decoder_alone_snr_db")
        apart = [f"{r[k]:.1f}" if k in r else "" for k in keys]
        apart += [f"{r['max_error']:.4f}" if "max_error" in r else ""]
        apart += [f"{r['r']:.6f}" if "r" in r else ""]
        same = r.get("code_agreement", {})
        apart += [f"{same[level]:.2%}" if level in same else "" for level in ("slow", "fast")]
        step = [f"{r['step_us'][p]:.0f}" for p in ("p50", "p99")]
        rows.append([name, f"{r['bytes'] / 1e3:.0f}", *apart, *step])
    return _table(head, rows)


def _accuracy(precisions: Mapping[str, Any], others: Sequence[str]) -> str:
    rows = []
    for name, values in precisions["fp32"]["accuracy"].items():
        for row, plain in values.items():
            line = [f"{name}: {row}", f"{plain:.4f}"]
            for p in others:
                value = precisions[p]["accuracy"][name][row]
                share = precisions[p]["accuracy_loss"][name][row]
                line += [f"{value:.4f}", f"{share:+.2%}"]
            rows.append(line)
    head = ["", "fp32", *(h for p in others for h in (p, "worse by"))]
    return _table(head, rows)


def _worst(precisions: Mapping[str, Any], precision: str, folder: Path) -> str:
    rows = [
        [
            f"{f['clip']} at {f['seconds']} s",
            f["shape"],
            f"{f['fp32']:.4f}",
            f"{f['value']:.4f}",
            f"{abs(f['value'] - f['fp32']):.4f}",
        ]
        for f in precisions[precision]["worst"]
    ]
    head = [precision, "shape", "fp32", precision, "error"]
    return _table(head, rows) + _image(folder / f"quantisation_worst_{precision}.png")


def _shapes(precisions: Mapping[str, Any], others: Sequence[str]) -> str:
    head = ["", *(h for p in others for h in (f"{p} SNR, dB", "max error", "r"))]
    rows = []
    for name in precisions[others[0]]["shapes"]:
        line = [name]
        for p in others:
            s = precisions[p]["shapes"][name]
            line += [f"{s['snr_db']:.1f}", f"{s['max_error']:.4f}", f"{s['r']:.5f}"]
        rows.append(line)
    return _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["<tr>" + "".join(f"<th>{escape(h)}</th>" for h in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in rows]
    return "<table>" + "\n".join(lines) + "</table>"


def _list(items: Sequence[str]) -> str:
    if not items:
        return "<p>None.</p>"
    return "<ul>" + "".join(f"<li class=miss>{escape(i)}</li>" for i in items) + "</ul>"


def _image(path: Path) -> str:
    coded = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{escape(path.stem)}" src="data:image/png;base64,{coded}">'
