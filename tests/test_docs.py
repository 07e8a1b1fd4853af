"""What the pages tell a reader to type is known, their YAML is read and their links lead somewhere.

``tests/integration/test_typed_commands.py`` types it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from edge.bundle import DEFAULT
from edge.config import parse
from tests.fakes import ROOT

# jetson.md and precision.md have a test of their own.
PAGES = [
    page
    for page in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").glob("*.md")),
    ]
    if page.name not in ("jetson.md", "precision.md")
]
PROGRAMS = (
    "edge-run", "edge-batch", "edge-build", "edge-quantize", "edge-preview", "make", "python",
    "python3", "pip", "git", "sudo", "sudoedit", "systemctl", "journalctl", "oscsend", "ffmpeg",
    "arecord", "apt", "npm", "kill", "cd", "torchrun",
)  # fmt: skip

NOT_RUN = {
    r"^(sudo|sudoedit|systemctl|journalctl) ": "changes or asks the system's services",
    r"^/opt/edgetalk/": "is the installed service",
    r"^git (clone|pull)": "needs the network",
    r"^(pip install|make (run|test(-\w+)?|install-service))": "installs from the package index",
    r"^python -m benchmarks\.(accuracy|teachers)\b": "needs the data sets",
    r"^python -m benchmarks\.runtime\.": "measures for minutes",
    r"^edge-quantize quantize": "trains for minutes; tests/test_quantise.py runs it",
    r"^edge-quantize evaluate runs/teacher": "needs the data sets; tests/test_evaluate.py runs it",
    r"^edge-quantize distill": "needs trained teachers; tests/test_distill.py runs it",
    r"^python -m quantize\.data\.convert": "needs the downloads; tests/test_convert.py runs it",
    r"^make (teachers|bundle)": "trains for an hour",
    r"^torchrun ": "trains in two processes; tests/test_teachers.py runs them",
    r"^ffmpeg ": "needs the reader's own video",
    r"^edge-preview ": "serves until it is stopped; tests/test_preview.py runs it",
    r"^edge-run .*--render": "draws for a minute; tests/integration runs it",
    r"^cd page ": "needs the npm registry; tests/integration builds the page",
}
"""What no sandbox can run, and why."""

ADAPTED = [
    (r"\b(192\.168|10\.0)\.\d+\.\d+", "127.0.0.1", "no network but loopback"),
    (r'--mic "USB Audio"', "--mic file:speech.wav", "no microphone here"),
    (r"^(edge-run (?!.*(--mic|--list|--version)).*)$", r"\1 --mic file:speech.wav", "the same"),
    (
        r"^(edge-quantize train teacher .*)$",
        r"\1 --config teacher.yaml --threads 1",
        "one step, not two hours",
    ),
    (r"--renditions 12", "--renditions 2", "the same"),
    (
        r"^(edge-quantize train (?!.*--config).*)$",
        r"\1 --config small.yaml --threads 1",
        "seconds of audio, not an hour",
    ),
    (r'edge\.faces\("default"\)', 'edge.faces("speech.wav")', "no microphone here"),
]
"""What is run a little differently: pattern, replacement, reason."""


class Block(NamedTuple):
    """Lines that belong together, from one page."""

    page: Path
    lines: tuple[str, ...]
    python: bool = False

    def __str__(self) -> str:
        return f"{self.page.name}: {self.lines[0][:50]}"


FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^    \S.*\n)+", re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")


def commands(text: str) -> tuple[str, ...]:
    """The lines of a block without the explanations beside them; none if no program is called."""
    lines = [re.split(r"\s{2,}|\s+# ", line.strip())[0] for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    return tuple(lines) if any(is_command(line) for line in lines) else ()


def is_command(line: str) -> bool:
    first = line.split()[0]
    return first in PROGRAMS or first.startswith("/opt/")


def blocks(page: Path, text: str) -> Iterator[Block]:
    """Everything in a page that a reader might type, in order of kind."""
    for language, body in FENCED.findall(text):
        if language == "python":
            yield Block(page, tuple(body.splitlines()), python=True)
        elif language in ("", "sh") and (lines := commands(body)):
            yield Block(page, lines)
    rest = FENCED.sub("", text)
    for body in INDENTED.findall(rest):
        if lines := commands(body):
            yield Block(page, lines)
    for span in INLINE.findall(INDENTED.sub("", rest)):
        # Fewer words only name a program or a flag; capitals and dots stand for the reader's own.
        whole = is_command(span) and len(span.split()) > 2
        if whole and not re.search(r"…|\b[A-Z]{3,}\b", span):
            yield Block(page, (span,))


BLOCKS = [block for page in PAGES for block in blocks(page, page.read_text("utf-8"))]


def reason_not_to(line: str) -> str | None:
    return next((why for pattern, why in NOT_RUN.items() if re.search(pattern, line)), None)


def adapted(line: str) -> str:
    for pattern, replacement, _ in ADAPTED:
        line = re.sub(pattern, replacement, line)
    return line


def test_the_pages_hold_commands_at_all() -> None:
    commands = {line.split()[0] for block in BLOCKS for line in block.lines if not block.python}
    assert {"edge-run", "edge-batch", "edge-quantize", "make", "oscsend"} <= commands
    assert sum(block.python for block in BLOCKS) >= 4


def test_every_reason_is_still_needed() -> None:
    lines = [line for block in BLOCKS for line in block.lines]
    idle = [p for p in NOT_RUN if not any(re.search(p, line) for line in lines)]
    assert idle == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_yaml_in_the_pages_is_a_configuration(page: Path) -> None:
    for language, body in FENCED.findall(page.read_text("utf-8")):
        if language == "yaml":
            parse(yaml.safe_load(body), page.name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_page_of_the_bundle_names_every_key() -> None:
    text = (ROOT / "docs" / "bundle.md").read_text("utf-8")
    bundle = yaml.safe_load((DEFAULT / "bundle.yaml").read_text("utf-8"))
    for key in [*bundle, *bundle["generator"], *bundle["generator"]["variants"]["int8"]]:
        assert re.search(rf"^\| [^|]*`{key}`", text, re.MULTILINE), key
