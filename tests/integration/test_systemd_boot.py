"""A real systemd, booted in a container, starts, watches, restarts and stops the service."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import numpy as np
import pytest

from tests.fakes import ROOT

CHECK = """\
[Unit]
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
TimeoutStartSec=180
ExecStart=/usr/bin/python3 /src/tests/nspawn/inside.py
"""


def missing():
    tools = [tool for tool in ("systemd-nspawn", "debootstrap") if not shutil.which(tool)]
    if tools:
        return f"{' and '.join(tools)} missing (apt install systemd-container debootstrap)"
    if os.geteuid():
        return "containers need root"
    return None


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    """What tests/nspawn/inside.py saw; 30 s, and two minutes more the first time."""
    if reason := missing():
        pytest.skip(f"THE SERVICE WAS NOT TRIED ON A REAL SYSTEMD: {reason}")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "edgetalk-nspawn"
    cache.mkdir(parents=True, exist_ok=True)
    dist, out = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("out")
    made = subprocess.run(
        [ROOT / "tests/nspawn/make_root.sh", cache, *build_wheel(dist)],
        env=os.environ | {"PYTHON": sys.executable}, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    boot(made.stdout.strip(), dist, out)
    found = json.loads((out / "facts.json").read_text())
    assert "error" not in found, found["error"]
    return found


def build_wheel(dist):
    """Build the project's wheel in ``dist``; returns what it needs at run time."""
    # From a copy: setuptools would leave its build folder in the tree, and use an old one.
    with tempfile.TemporaryDirectory() as copy:
        tree = Path(copy) / "tree"
        shutil.copytree(
            ROOT, tree, ignore=shutil.ignore_patterns(".*", "build", "dist", "runs", "*.egg-info")
        )
        words = ["wheel", "--quiet", "--no-deps", "--wheel-dir", dist, tree]
        subprocess.run([sys.executable, "-m", "pip", *words], check=True)
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        (name,) = (n for n in files.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(files.read(name))
    return [need for need in metadata.get_all("Requires-Dist") if "extra ==" not in need]


def boot(root, dist, out):
    (out / "check.service").write_text(CHECK)
    with (out / "console.txt").open("w") as console:
        subprocess.run(
            ["systemd-nspawn", "--register=no", "--keep-unit", "--quiet", "--private-network",
             "--boot", f"--directory={root}", "--volatile=overlay",  # what is written is forgotten
             f"--bind-ro={ROOT}:/src", f"--bind-ro={dist}:/dist", f"--bind={out}:/out",
             f"--bind-ro={out}/check.service:/etc/systemd/system/check.service",
             "systemd.wants=check.service"],
            stdin=subprocess.DEVNULL, stdout=console, stderr=console, timeout=240, check=False,
        )  # fmt: skip
    assert (out / "facts.json").is_file(), (out / "console.txt").read_text()[-2000:]


def messages(facts, priority=None):
    records = map(json.loads, facts["journal"])
    return [r["MESSAGE"] for r in records if priority in (None, r["PRIORITY"])]


def floats(datagram):
    """Every float of an OSC bundle whose messages are values of shapes."""
    data, at, values = bytes.fromhex(datagram), 16, []
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        element = data[at + 4 : at + 4 + size]
        if element.startswith(b"/VMC/Ext/Blend/Val\0"):
            values.append(float(np.frombuffer(element[-4:], ">f4")[0]))
        at += 4 + size
    return values


def test_installing_twice_works_and_keeps_the_configuration(facts):
    assert facts["install"]["rc"] == 0, facts["install"]["err"]
    assert facts["install again"]["rc"] == 0, facts["install again"]["err"]
    assert facts["config kept"] == "to: [vmc://127.0.0.1:39539]\n"


def test_systemd_finds_nothing_to_say_about_the_installed_unit(facts):
    assert facts["verify"] == {"rc": 0, "out": "", "err": ""}


def test_the_service_is_ready_once_faces_leave(facts):
    start = facts["start"]
    assert (start["rc"], start["ActiveState"]) == (0, "active")
    assert start["datagrams"] > 0


def test_status_shows_faces_and_latency(facts):
    assert "faces/s, latency p50" in facts["running"]["StatusText"]


def test_a_reload_adds_an_output_without_a_restart(facts):
    seen = facts["reload"]
    assert (seen["rc"], seen["ActiveState"], seen["NRestarts"]) == (0, "active", "0")
    assert seen["MainPID"] == facts["running"]["MainPID"]
    assert seen["datagrams"] > 60


def test_a_service_that_sends_faces_is_not_killed_by_its_watchdog(facts):
    assert facts["running"]["NRestarts"] == "0"
    assert facts["running"]["ActiveState"] == "active"


def test_the_process_is_nobody_without_rights_at_high_priority(facts):
    process = facts["process"]
    uid = int(process["Uid"].split()[0])
    assert 61184 <= uid <= 65519  # the range of dynamic users
    assert int(process["CapEff"], 16) == 0
    assert (process["NoNewPrivs"], process["Seccomp"]) == ("1", "2")
    assert process["nice"] == -10


def test_a_hang_is_killed_and_restarted_and_faces_flow_again(facts):
    assert facts["hang"]["NRestarts"] == "1"
    assert facts["hang"]["ActiveState"] == "active"
    assert facts["hang"]["datagrams after"] > 60
    assert any("Watchdog timeout" in text for text in messages(facts))


def test_sigterm_leaves_a_neutral_face_and_status_0(facts):
    stop = facts["stop"]
    assert (stop["ActiveState"], stop["Result"], stop["ExecMainStatus"]) == (
        "inactive", "success", "0",
    )  # fmt: skip
    values = [floats(datagram) for datagram in stop["newest"]]
    assert sum(map(len, values[-3:])) == 52
    assert not any(values[-3] + values[-2] + values[-1])
    assert any(value > 0.05 for face in values[:-3] for value in face)


def test_a_bad_configuration_ends_with_78_and_is_not_tried_again(facts):
    for when in ("bad config", "bad config later"):
        seen = facts[when]
        assert (seen["ActiveState"], seen["ExecMainStatus"]) == ("failed", "78")
        assert seen["NRestarts"] == "0"
    assert any("unknown key 'too'" in text for text in messages(facts, priority="3"))


def test_log_lines_carry_no_time_or_name_of_their_own(facts):
    assert any(text.startswith("bundle ") for text in messages(facts, priority="6"))


def test_a_recording_that_was_asked_for_has_a_place(facts):
    assert facts["recorded"].startswith("time_s,eyeBlinkLeft")


def test_uninstalling_leaves_nothing_behind(facts):
    assert facts["uninstall"]["rc"] == 0
    assert facts["left over"] == []


def test_the_unit_of_a_desktop_runs_under_a_users_own_systemd(facts):
    seen = facts["user unit"]
    for what in ("install", "start"):
        assert seen[what]["rc"] == 0, seen[what]["err"]
    assert "ActiveState=active" in seen["shown"]
    assert "faces/s" in seen["shown"]
    assert (seen["rc"], seen["left"]) == (0, "")


def test_a_kiosk_without_its_microphone_boots_and_waits(facts):
    seen = facts["no microphone"]
    assert (seen["ActiveState"], seen["NRestarts"]) == ("active", "0")
    assert "waiting for microphone" in seen["StatusText"]
    assert seen["datagrams"] > 60
