"""Outputs and the network: what is refused, what is counted, and what the exit status says."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edge.contract import SAMPLE_RATE, BlendshapeFrame, ConfigError, MissingError
from edge.diagnostics.doctor import look_at_output
from edge.outputs import open_output
from edge.outputs.common import check_delivery
from edge.outputs.frame_number import MOST, FrameNumber
from edge.outputs.output_set import Outputs
from edge.outputs.udp import UdpTarget
from edge.run_stats import RunStats
from edge.service.status_line import StatusLine

ROOT = Path(__file__).parents[1]
NOWHERE = "[fe80::1%9999]"
"""On an interface that is not there: the system refuses it, and nothing leaves."""


def face(end: int = 266, at: float = 0.0) -> BlendshapeFrame:
    return BlendshapeFrame(np.zeros(52, np.float32), end, at)


def edge_run(*arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge.cli", "--control", "off", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=False, **more)  # type: ignore[call-overload]
    return subprocess.CompletedProcess(
        command, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def need_ipv6() -> None:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("IPV6 WAS NOT TRIED: this machine has none")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("vmc://127.0.0.1:0", "nobody can listen on port 0"),
        ("vmc://me@127.0.0.1", "no user or password"),
        ("vmc://me:secret@127.0.0.1:39539", "no user or password"),
        ("vmc://127.0.0.1#left", "what follows '#' is not sent"),
        ("vmc://127.0.0.1?fps=30#left", "what follows '#' is not sent"),
        ("vmc://127.0.0.1?fps=30&fps=60", "fps is there twice"),
        (" vmc://127.0.0.1", "a space or control character"),
        ("vmc://127.0.0.1\n", "a space or control character"),
        ("vmc://127.0.\t0.1", "a space or control character"),
        ("osc://127.0.0.1?form=named&address=/f/{nme}", "write it as /a/b or /a/{name}"),
        ("osc://127.0.0.1?form=named&address=/f/{name}/{name", "write it as /a/b"),
        ("osc://127.0.0.1?address=/a%20b", "write it as /a/b"),
        ("osc://127.0.0.1?address=/a%00b", "address: a control character"),
        ("osc://127.0.0.1?form=named&address=/f/{name}&rename=jawOpen:a%20b", "part of an address"),
        (f"osc://127.0.0.1?address=/{'a' * 1200}", "a message of"),
        (f"vmc://127.0.0.1?rename=jawOpen:{'a' * 1200}", "shorten its names"),
        ("vmc://127.0.0.1?rename=jawOpen:x,mouthClose:x", "two shapes would be called 'x'"),
        ("vmc://127.0.0.1?rename=jawOpen:mouthClose", "two shapes would be called 'mouthClose'"),
        ("vmc://127.0.0.1?preset=vrm1&rename=jawOpen:x", "drop rename"),
        ("vrchat://127.0.0.1?rename=jawOpen:x", "drop rename"),
        ("vrchat://127.0.0.1?prefix=F%20T", "prefix=F T; write a name"),
        ("vrchat://127.0.0.1?prefix=a//b", "prefix=a//b; write a name"),
        ("vrchat://127.0.0.1?mode=visemes", "add prefix=NAME"),
        ("vrchat://127.0.0.1?mode=visemes&prefix=/", "add prefix=NAME"),
        ("vrchat://127.0.0.1?mode=visemes&prefix=a&binary=4", "drop binary"),
        ("vrchat://127.0.0.1?binary=0", "1 to 8 bits"),
        ("vrchat://127.0.0.1?binary=JawOpne:4", "did you mean 'JawOpen'"),
        ("vrchat://127.0.0.1?binary=JawOpen:x", "1 to 8 bits"),
        (f"livelink://127.0.0.1?name={'a' * 1000}", "shorten name or device"),
        ("ifacialmocap://127.0.0.1?rename=jawOpen:a%7Cb", "has one of"),
        (f"ifacialmocap://127.0.0.1?rename=jawOpen:{'a' * 300}", "shorten the names"),
        (f"json://127.0.0.1?rename=jawOpen:{'a' * 900}", "shorten it"),
    ],
)
def test_what_would_be_dropped_or_cut_is_refused(url: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_output(url)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_subject_and_device_of_live_link_are_the_users() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        port = receiver.getsockname()[1]
        sink = open_output(f"livelink://127.0.0.1:{port}?name=my%20face&device=kiosk-7")
        sink.send(face())
        sink.close()
        assert receiver.recv(2000).startswith(b"\x06\0\0\0\x07kiosk-7\0\0\0\x07my face")


def test_numbers_go_on_by_the_clock_without_audio_and_come_back_to_it() -> None:
    number = FrameNumber(60)
    assert [number.of(face(end, at)) for end, at in ((266, 10.0), (533, 10.017))] == [1, 2]
    # A second at rest: the audio's end stands still.
    resting = [number.of(face(533, 10.1 + i / 60)) for i in range(61)]
    assert resting == list(range(3, 64))
    # The audio's clock went on meanwhile: two seconds after the start its number is 120.
    assert number.of(face(32_000, 12.0)) == 120
    assert number.of(face(0, 12.01)) == 121  # the neutral face at the end


def test_audio_that_stood_still_does_not_take_numbers_back() -> None:
    number = FrameNumber(60)
    assert number.of(face(16_000, 1.0)) == 60
    assert number.of(face(16_000, 1.1)) == 61
    assert number.of(face(16_000, 3.1)) == 181
    # As many faces on in audio, dropped ones counted, as the numbers go on.
    assert [number.of(face(end, 3.2)) for end in (16_267, 16_534, 20_534)] == [182, 183, 198]


def test_numbers_at_any_rate_neither_repeat_nor_drift() -> None:
    for fps in (24, 25, 30, 50, 60):
        number = FrameNumber(fps)
        sent = [i for i in range(6000) if i * fps % 60 < fps]
        got = [number.of(face((i + 1) * 800 // 3, i / 60)) for i in sent]
        assert all(b > a for a, b in pairwise(got)), fps
        assert abs(got[-1] - 100 * fps) <= 2, fps


def test_after_the_largest_number_comes_nought() -> None:
    number = FrameNumber(60)
    number._offset = MOST - 1
    assert [number.of(face(end)) for end in (266, 533)] == [MOST, 0]


def test_a_broadcast_address_reaches_whoever_listens() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("0.0.0.0", 0))
        receiver.settimeout(5)
        # The broadcast address of the loopback network: nothing leaves this machine.
        sink = open_output(f"osc://127.255.255.255:{receiver.getsockname()[1]}")
        sink.send(face())
        sink.close()
        assert len(receiver.recv(2000)) == 280
    assert (sink.target.sent, sink.failed) == (1, 0)


def test_a_multicast_address_reaches_a_group() -> None:
    inside = """
import socket, numpy as np
from edge.contract import BlendshapeFrame
from edge.outputs import open_output
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
    heard.bind(("239.255.1.1", 39999))
    here = socket.inet_aton("239.255.1.1") + socket.inet_aton("127.0.0.1")
    heard.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, here)
    heard.settimeout(5)
    sink = open_output("osc://239.255.1.1:39999")
    sink.send(BlendshapeFrame(np.zeros(52, np.float32), 1, 0.0))
    sink.close()
    print(len(heard.recv(2000)))
"""
    setup = 'ip link set lo up multicast on && ip route add 239.0.0.0/8 dev lo && exec "$@"'
    command = ["unshare", "-n", "sh", "-c", setup, "sh", sys.executable, "-c", inside]
    if not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("MULTICAST WAS NOT TRIED: needs unshare and iproute2")
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    if re.search("not permitted|unshare failed|Operation not supported", done.stderr):
        pytest.skip("MULTICAST WAS NOT TRIED: no network namespaces here")
    assert done.stdout == "280\n", done.stderr


def test_failed_sends_are_counted_by_output() -> None:
    need_ipv6()
    urls = (f"vmc://{NOWHERE}", "vmc://127.0.0.1:9")
    outputs = Outputs(urls, open_output)
    outputs.send(face())
    assert [row["failed"] for row in outputs.listed()] == [3, 0]
    assert outputs.send_failures() == {urls[0]: 3, urls[1]: 0}
    with pytest.raises(MissingError, match=r"nothing was sent to fe80::1%9999:39539, 3 datagrams"):
        outputs.check()
    outputs.close()


def test_an_output_that_failed_for_a_while_did_not_fail() -> None:
    target = UdpTarget("127.0.0.1", 9)
    target.send(b"x" * 70_000)  # more than a datagram holds

    class Sink:
        def __init__(self) -> None:
            self.target = target

    with pytest.raises(MissingError, match="Message too long"):
        check_delivery([Sink()])  # type: ignore[list-item]
    target.send(b"x")
    check_delivery([Sink()])  # type: ignore[list-item]
    target.close()


def test_the_minutes_line_names_the_output_that_lost_datagrams() -> None:
    class Source:
        dropped = 0

    failures = {"vmc://a": 0, "vmc://b": 5}
    stats = RunStats(send_failures=lambda: dict(failures))
    line = StatusLine(stats, Source(), 0.0)
    stats.faces = 60
    assert line.line(1.0)[1] is False
    failures["vmc://a"] = 120
    stats.faces = 120
    text, trouble = line.line(2.0)
    assert text.endswith(", 120 datagrams to vmc://a refused")
    assert trouble
    stats.faces = 180
    assert "refused" not in line.line(3.0)[0]


SILENCE = bytes(SAMPLE_RATE)  # half a second


@pytest.mark.parametrize(
    ("arguments", "audio"),
    [
        (("--mic", "-"), SILENCE),
        (("--mic", "file:edge/assets/demo.flac", "--offline"), None),
    ],
)
def test_a_run_of_which_nothing_left_says_so_with_its_exit_status(
    arguments: tuple[str, ...], audio: bytes | None
) -> None:
    need_ipv6()
    to = ("--to", "vmc://127.0.0.1:9")
    done = edge_run(*arguments, *to, "--to", f"json://{NOWHERE}", input=audio)
    assert done.returncode == 69, done.stderr
    assert "nothing was sent to fe80::1%9999:9100" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert edge_run(*arguments, *to, input=audio).returncode == 0


def localhost(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """``localhost`` as many systems have it: ::1 first."""
    both = [
        (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("::1", port, 0, 0)),
        (socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", port)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)


def test_the_doctor_asks_the_address_that_the_faces_go_to(monkeypatch: pytest.MonkeyPatch) -> None:
    need_ipv6()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        port = receiver.getsockname()[1]
        localhost(monkeypatch, port)
        assert look_at_output(f"vmc://localhost:{port}").verdict == "ok"
        assert receiver.recv(100).startswith(b"#bundle\0")


def test_the_doctor_may_ask_a_broadcast_address() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("0.0.0.0", 0))
        assert look_at_output(f"vmc://127.255.255.255:{receiver.getsockname()[1]}").verdict == "ok"


def test_an_output_that_cannot_start_its_thread_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(MissingError, match="no thread to look up host 'localhost'"):
        open_output("vmc://localhost")
