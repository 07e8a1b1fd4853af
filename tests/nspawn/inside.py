"""Runs as root inside the booted container: installs the service, hurts it, writes what it saw.

Standard library only. The tests read ``/out/facts.json``; nothing is judged here.
"""

import json
import os
import signal
import socket
import subprocess
import threading
import time
import traceback
from pathlib import Path

OUT = Path("/out")
FLAGS = Path("/etc/default/edgetalk")
CONFIG = Path("/etc/edgetalk/edge.yaml")
DROP_IN = Path("/etc/systemd/system/edgetalk.service.d/test.conf")
LONG = Path("/srv/long.wav")
STRETCH = """
import numpy, soundfile
from edge.assets import __path__ as folder
samples, rate = soundfile.read(folder[0] + "/demo.flac", dtype="int16")
soundfile.write("/srv/long.wav", numpy.tile(samples, 20), rate)
"""
BEGAN = time.monotonic()

facts = {}


def saw(name, fact):
    """Write a fact down, and when it was seen."""
    facts[name] = fact
    facts.setdefault("seconds", {})[name] = round(time.monotonic() - BEGAN, 1)


def run(*words, **environ):
    done = subprocess.run(
        words, capture_output=True, text=True, env={**os.environ, **environ}, timeout=120
    )
    return {"rc": done.returncode, "out": done.stdout, "err": done.stderr}


def show():
    names = "ActiveState,Result,NRestarts,StatusText,MainPID,ExecMainStatus,ExecMainCode"
    lines = run("systemctl", "show", "edgetalk", "-p", names)["out"].splitlines()
    return dict(line.split("=", 1) for line in lines)


def wait_until(true, seconds):
    began = time.monotonic()
    while not true() and time.monotonic() - began < seconds:
        time.sleep(0.05)
    return time.monotonic() - began


class Receiver:
    """An avatar's UDP port; keeps the newest datagrams."""

    def __init__(self, port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        self.count, self.newest = 0, []
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            data = self.socket.recv(4096)
            self.count += 1
            self.newest = [*self.newest[-119:], data.hex()]


def start():
    began = time.monotonic()
    done = run("systemctl", "start", "edgetalk")
    return done | {"seconds": time.monotonic() - began} | show()


def process(pid):
    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if ":\t" in line
    )
    stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    keys = ("Uid", "Groups", "CapEff", "NoNewPrivs", "Seccomp", "VmRSS")
    return {key: status[key] for key in keys} | {"nice": int(stat[16])}


def left_over():
    """Everything called edgetalk that the uninstaller should have removed."""
    skip = {"/proc", "/sys", "/src", "/out", "/dist", "/wheels", "/dev"}
    found = []
    for folder, folders, files in os.walk("/"):
        folders[:] = [f for f in folders if os.path.join(folder, f) not in skip]
        found += [os.path.join(folder, f) for f in folders + files if "edgetalk" in f]
    return found


def user_unit():
    """Install, start and remove the unit of a desktop, under a user's own systemd."""
    run("useradd", "-m", "--uid", "1000", "me")
    folder = Path("/run/user/1000")
    folder.mkdir(parents=True)
    os.chown(folder, 1000, 1000)
    me = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "env", "HOME=/home/me",
          f"XDG_RUNTIME_DIR={folder}"]  # fmt: skip
    # With Delegate systemd hands the control group over to the user, as user@.service would.
    own = ["--unit=user-manager", "--uid=1000", "--gid=1000", "-p", "Delegate=yes"]
    own += ["-E", "HOME=/home/me", "-E", f"XDG_RUNTIME_DIR={folder}"]
    run("systemd-run", *own, "/lib/systemd/systemd", "--user")
    wait_until((folder / "systemd/private").exists, 5)
    install = run(*me, "/src/systemd/install.sh", "--user", "--venv", "/opt/edgetalk")
    assert install["rc"] == 0, install
    Path("/home/me/.config/edgetalk/environment").write_text(f"EDGETALK_ARGS=--mic file:{LONG}\n")
    start = run(*me, "systemctl", "--user", "start", "edgetalk")
    time.sleep(2.5)
    status = run(*me, "systemctl", "--user", "show", "edgetalk", "-p", "ActiveState,StatusText")
    uninstall = run(*me, "/src/systemd/uninstall.sh", "--user")
    left = run("find", "/home/me", "-name", "*edgetalk*")["out"]
    return {"install": install, "start": start, "shown": status["out"], "left": left} | uninstall


def main():
    wheel = next(Path("/dist").glob("*.whl"))
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels", "PACKAGE": str(wheel)}
    saw("install", run("/src/systemd/install.sh", **offline))
    CONFIG.write_text("to: [vmc://127.0.0.1:39539]\n")
    saw("install again", run("/src/systemd/install.sh", **offline))
    saw("config kept", CONFIG.read_text())
    unit = "/etc/systemd/system/edgetalk.service"
    saw("verify", run("systemd-analyze", "verify", unit))

    run("/opt/edgetalk/bin/python", "-c", STRETCH)
    saw("long", LONG.stat().st_size)
    FLAGS.write_text(f"EDGETALK_ARGS=--mic file:{LONG} --record faces.csv\n")
    DROP_IN.parent.mkdir()
    DROP_IN.write_text("[Service]\nWatchdogSec=2\n")
    run("systemctl", "daemon-reload")

    receiver = Receiver(39539)
    saw("start", start() | {"datagrams": receiver.count})
    wait_until(lambda: show()["StatusText"], 5)
    time.sleep(3)  # longer than the watchdog: a service that does not feed it dies here
    saw("running", show())
    saw("process", process(facts["running"]["MainPID"]))

    other = Receiver(39549)
    CONFIG.write_text("to: [vmc://127.0.0.1:39539, vmc://127.0.0.1:39549]\n")
    reload = run("systemctl", "reload", "edgetalk")
    wait_until(lambda: other.count > 60, 5)
    saw("reload", reload | show() | {"datagrams": other.count})

    os.kill(int(facts["running"]["MainPID"]), signal.SIGSTOP)
    took = wait_until(lambda: show()["NRestarts"] == "1", 20)
    wait_until(lambda: show()["ActiveState"] == "active", 20)
    before = receiver.count
    wait_until(lambda: receiver.count > before + 60, 5)
    saw("hang", show() | {"seconds": took, "datagrams after": receiver.count - before})

    began = time.monotonic()
    run("systemctl", "stop", "edgetalk")
    time.sleep(0.2)
    recorded = Path("/var/lib/edgetalk/faces.csv")
    saw("recorded", recorded.read_text()[:20] if recorded.exists() else "")
    saw("stop", show() | {"seconds": time.monotonic() - began, "newest": receiver.newest})

    CONFIG.write_text("too: [vmc://127.0.0.1:39539]\n")
    saw("bad config", start())
    time.sleep(3)  # three times RestartSec
    saw("bad config later", show())
    CONFIG.write_text("to: [vmc://127.0.0.1:39539]\n")

    FLAGS.write_text("EDGETALK_ARGS=\n")  # the default microphone, and there is no sound here
    run("systemctl", "reset-failed", "edgetalk")
    before = receiver.count
    run("systemctl", "start", "--no-block", "edgetalk")
    wait_until(lambda: show()["ActiveState"] == "active", 8)
    time.sleep(3)
    saw("no microphone", show() | {"datagrams": receiver.count - before})

    run("systemctl", "stop", "edgetalk")
    saw("user unit", user_unit())
    saw("journal", run("journalctl", "-o", "json", "-u", "edgetalk")["out"].splitlines())
    saw("uninstall", run("/src/systemd/uninstall.sh"))
    saw("left over", left_over())


try:
    main()
except Exception:
    facts["error"] = traceback.format_exc() + "".join(run("journalctl", "-n", "50")["out"])
finally:
    (OUT / "facts.json").write_text(json.dumps(facts, indent=1))
