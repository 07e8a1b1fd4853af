"""The unit files as systemd itself reads them."""

import os
import shutil
import subprocess

import pytest

from tests.integration.test_systemd_units import SYSTEM, SYSTEMD, USER

needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"),
    reason="UNIT FILES WERE NOT CHECKED BY SYSTEMD: systemd-analyze missing (apt install systemd)",
)


@needs_systemd
@pytest.mark.parametrize("unit", [SYSTEM, USER], ids=["system", "user"])
def test_systemd_has_nothing_to_say_about_a_unit(unit, tmp_path):
    program = tmp_path / "edge-run"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = unit.read_text()
    start = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    copy = tmp_path / "edgetalk.service"
    copy.write_text(text.replace(start.split()[0], f"ExecStart={program}"))
    scope = ["--user"] if unit == USER else []
    done = subprocess.run(
        ["systemd-analyze", *scope, "verify", copy],
        capture_output=True, text=True, env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
    )  # fmt: skip
    # verify returns 0 even for a key it does not know: only silence is good.
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("drop_in", [None, "lan.conf", "jetson.conf"])
def test_the_kiosk_unit_is_exposed_by_at_most_two_of_ten(drop_in, tmp_path):
    unit = tmp_path / "edgetalk.service"
    text = SYSTEM.read_text() + ((SYSTEMD / drop_in).read_text() if drop_in else "")
    # One file, as systemd would merge them; an --offline check does not look for drop-ins.
    unit.write_text(text)
    words = ["systemd-analyze", "security", "--offline=true", "--no-pager", unit]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    verdict = next(line for line in done.stdout.splitlines() if "Overall exposure" in line)
    assert float(verdict.split(": ")[1].split()[0]) <= 2.0, done.stdout


@needs_systemd
@pytest.mark.parametrize("drop_in", ["lan.conf", "jetson.conf"])
def test_a_drop_in_is_read_without_complaint(drop_in, tmp_path):
    unit = tmp_path / "edgetalk.service"
    unit.write_text("[Service]\nExecStart=/bin/sh\n")
    (tmp_path / "edgetalk.service.d").mkdir()
    shutil.copy(SYSTEMD / drop_in, tmp_path / "edgetalk.service.d")
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
