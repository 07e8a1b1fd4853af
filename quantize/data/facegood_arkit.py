"""FACEGOOD's rig channels to ARKit, by the table (xlsx) that its authors publish with the data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree
from zipfile import BadZipFile, ZipFile

import numpy as np

from edge.contract import ARKIT_52, INDEX, Floats
from quantize.data.clips import DataError

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def arkit_sources(sheet: Path) -> dict[str, list[str]]:
    """ARKit shape -> rig channels whose maximum it is; only rows that the table calls valid."""
    try:
        with ZipFile(sheet) as book:
            shared = ElementTree.fromstring(book.read("xl/sharedStrings.xml"))
            table = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    except (OSError, KeyError, BadZipFile, ElementTree.ParseError) as error:
        raise DataError(f"{sheet}: not the table of FACEGOOD ({error})") from error
    strings = ["".join(t.text or "" for t in s.iter(f"{MAIN}t")) for s in shared]
    found = {}
    for row in table.iter(f"{MAIN}row"):
        cells = [strings[int(v.text or 0)] for v in row.iter(f"{MAIN}v")]
        if len(cells) == 3 and cells[0] in INDEX and cells[2].lower() == "valid":
            found[cells[0]] = re.findall(r"\w+", cells[1].removeprefix("max"))
    return found


def to_arkit(values: Floats, names: Sequence[str], sources: Mapping[str, Sequence[str]]) -> Floats:
    """(frames, 52) in ``ARKIT_52`` order from (frames, channels) called ``names``; 0 elsewhere."""
    column = {name: k for k, name in enumerate(names)}
    out = np.zeros((len(values), len(ARKIT_52)), np.float32)
    for shape, channels in sources.items():
        out[:, INDEX[shape]] = values[:, [column[c] for c in channels]].max(axis=1)
    return out
