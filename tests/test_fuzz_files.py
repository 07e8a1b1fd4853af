"""Damaged files and datagrams by the thousand: no traceback, no hang, nothing half-written."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="THE FUZZ WAS NOT RUN: the toolchain is not installed")
from benchmarks.runtime import control_flood, fuzz


def check(found: dict, files: int) -> None:
    bad = {key: found[key] for key in ("tracebacks", "hangs", "half_written")}
    assert bad == {"tracebacks": 0, "hangs": 0, "half_written": 0}, found["examples"]
    assert found["files"] == files
    assert all(kind.get("refused") for kind in found["kinds"].values())  # the damage is felt


def test_some_damaged_files_are_refused_in_a_sentence() -> None:
    check(fuzz.fuzz(120), 120)


def test_a_case_that_should_not_be_is_counted() -> None:
    came = [
        {"kind": "wav", "number": 0, "end": "accepted", "seconds": 0.1, "half_written": False},
        {"kind": "wav", "number": 1, "end": "traceback", "seconds": 0.1, "half_written": True},
        {"kind": "wav", "number": 2, "end": "refused", "seconds": 3.0, "half_written": False},
        {"kind": "onnx", "number": 0, "end": "exit -11"},
    ]
    found = fuzz.summary(came)
    assert (found["tracebacks"], found["hangs"], found["half_written"]) == (2, 1, 1)
    assert [case["number"] for case in found["examples"]] == [1, 0, 2]


@pytest.mark.slow
def test_ten_thousand_damaged_files_are_refused_in_a_sentence() -> None:
    check(fuzz.fuzz(fuzz.FILES), fuzz.FILES)


@pytest.mark.slow
def test_a_million_datagrams_leave_no_traceback() -> None:
    found = control_flood.measure(1_000_000, 2.0)
    assert found["tracebacks"] == [0, 0]
    assert found["exit_status"] == [0, 0]
