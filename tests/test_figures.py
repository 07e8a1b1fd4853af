"""Tables in the pages: what the JSON files say, and nothing typed in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.pages import figures, runtime_tables
from benchmarks.pages.figures import TABLES, filled, pages
from benchmarks.pages.table_format import rows


def test_the_pages_say_what_the_json_files_say() -> None:
    assert figures.stale() == [], "run `make figures`"


def test_readme_holds_tables_at_all() -> None:
    found = [name for page in pages() for _, name, _ in figures.MARKED.findall(page.read_text())]
    assert {"accuracy", "cost"} <= set(found) <= set(TABLES)


def test_a_table_is_written_anew_and_the_rest_is_left(tmp_path: Path) -> None:
    page = "before\n<!-- table:encode -->\nold\n<!-- /table -->\nafter\n"
    record = {
        "results": {
            "encode": {"vmc": {"p50_us": 2.5, "p99_us": 3, "times_faster": 160}},
            "python_osc": {"p50_us": 400, "p99_us": 900},
        }
    }
    (tmp_path / "encode.json").write_text(json.dumps(record))
    wanted = (
        "before\n<!-- table:encode -->\n"
        "| receiver | p50 µs | p99 µs | times faster than python-osc |\n"
        "| --- | --- | --- | --- |\n"
        "| `vmc` | 2.5 | 3 | 160 |\n"
        "| python-osc (as `vmc`) | 400 | 900 |  |\n"
        "<!-- /table -->\nafter\n"
    )
    assert filled(page, tmp_path) == wanted
    assert filled(wanted, tmp_path) == wanted


def test_a_table_that_nobody_writes_is_an_error() -> None:
    with pytest.raises(KeyError, match="nothing"):
        filled("<!-- table:nothing -->\n<!-- /table -->")


def test_a_changed_page_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "README.md"
    page.write_text("<!-- table:encode -->\ntyped in\n<!-- /table -->\n")
    assert figures.main(["--check"], tmp_path, plots={}) == 1
    assert "README.md: tables differ" in capsys.readouterr().out
    assert figures.main([], tmp_path, plots={}) == 0
    assert figures.main(["--check"], tmp_path, plots={}) == 0
    assert "python-osc" in page.read_text()


def test_rows_are_markdown() -> None:
    assert rows(["a", "b"], [[1, "x"]]) == "| a | b |\n| --- | --- |\n| 1 | x |\n"


def test_a_peer_that_was_not_run_has_a_row() -> None:
    record = {
        "bundle": "b", "git": "g", "machine": {"cpu": "c", "cores": 2, "load": 0.5},
        "results": {
            "rows": {"wLipSync": {"not_run": "no node", "outputs": "6 phonemes"}},
            "networks": {"parameters": 600_000, "gflop_per_10_s": 0.7, "state_kb": 3.5},
            "stages_us": {"features": 9, "generator": 40, "decoder": 12},
        },
    }  # fmt: skip
    assert "0.60 M parameters, 0.70 GFLOP for 10 s of audio, 3.5 KB of state, 52 us a face" in (
        runtime_tables.cost(record)
    )
    assert "| wLipSync | 6 phonemes | not run |  |  |  |\n" in runtime_tables.cost(record)
