import json
import socket
import struct

import numpy as np
import pytest

from edge.contract import ARKIT_52, INDEX, BlendshapeFrame, ConfigError
from edge.outputs import open_output, tables
from edge.outputs.facecap import ORDER
from edge.outputs.turn import unity


@pytest.fixture
def receiver():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        s.setblocking(False)
        yield s


def face(emotion=None, strength=0.0, delay=0.0, **weights):
    values = np.zeros(52, np.float32)
    for name, value in weights.items():
        values[INDEX[name]] = value
    return BlendshapeFrame(values, 1, 0.0, emotion=emotion, emotion_strength=strength, delay=delay)


def waiting(receiver):
    got = []
    while True:
        try:
            got.append(receiver.recv(65536))
        except BlockingIOError:
            return got


def sent(receiver, scheme, *frames):
    name, _, query = scheme.partition("?")
    port = receiver.getsockname()[1]
    sink = open_output(f"{name}://127.0.0.1:{port}" + (f"?{query}" if query else ""))
    for frame in frames or (face(jawOpen=0.5),):
        sink.send(frame)
    sink.close()
    return waiting(receiver)


HALF = b"\x3f\x00\x00\x00"


@pytest.mark.parametrize(
    ("scheme", "literal"),
    [
        ("vmc", b"/VMC/Ext/Blend/Val\0\0,sf\0JawOpen\0" + HALF),
        ("vmc?case=camel", b"/VMC/Ext/Blend/Val\0\0,sf\0jawOpen\0" + HALF),
        ("vrchat", b"/avatar/parameters/v2/JawOpen\0\0\0,f\0\0" + HALF),
        ("vrchat?prefix=FT", b"/avatar/parameters/FT/v2/JawOpen\0\0\0\0,f\0\0" + HALF),
        ("vrchat", b"/avatar/parameters/EyeTrackingActive\0\0\0\0,T\0\0"),
        ("vrchat?mode=visemes", b"/avatar/parameters/Viseme\0\0\0,i\0\0\0\0\0\x0a"),
        ("facecap", b"/W\0\0,if\0\0\0\0\x18" + HALF),
        ("osc?form=named", b"/blendshape\0,sf\0jawOpen\0" + HALF),
        ("osc?form=named&address=/f/{name}", b"/f/jawOpen\0\0,f\0\0" + HALF),
        ("osc?form=named&rename=jawOpen:Jaw", b"/blendshape\0,sf\0Jaw\0" + HALF),
        ("ifacialmocap", b"|jawOpen-50|"),
        ("ifacialmocap?version=2", b"|jawOpen&50|"),
        ("ifacialmocap", b"|mouthSmile_L-0|"),
        ("ifacialmocap", b"|mouthLeft-0|mouthRight-0|"),
        ("ifacialmocap?names=full", b"|mouthSmileLeft-0|"),
        ("json", b'"jawOpen":0.5,'),
    ],
)
def test_a_half_open_jaw_is_these_bytes(receiver, scheme, literal):
    assert literal in b"".join(sent(receiver, scheme))


def test_the_array_is_one_message_of_52_floats(receiver):
    (data,) = sent(receiver, "osc")
    assert data[:72] == b"/blendshapes\0\0\0\0," + b"f" * 52 + b"\0\0\0"
    assert struct.unpack(">52f", data[72:])[INDEX["jawOpen"]] == 0.5


def test_live_link_has_a_header_of_these_bytes(receiver):
    (data,) = sent(receiver, "livelink?device=0123&fps=30")
    names = b"\x06\0\0\0\x040123\0\0\0\x04edge"
    assert data[:-244] == names + struct.pack(">ifiiB", 0, 0, 30, 1, 61)
    assert struct.unpack(">61f", data[-244:])[INDEX["jawOpen"]] == 0.5
    (whole,) = sent(receiver, "livelink")
    assert len(whole) == 310


@pytest.mark.parametrize(
    ("scheme", "count"),
    [("vmc", 2), ("vmc?case=both", 4), ("vmc?preset=vrm0", 1), ("facecap", 1), ("osc", 1)],
)
def test_datagrams_stay_within_the_ethernet_frame(receiver, scheme, count):
    got = sent(receiver, scheme)
    assert len(got) == count
    assert max(map(len, got)) <= 1472


def test_ok_and_time_come_once_a_face(receiver):
    got = b"".join(sent(receiver, "vmc?case=both"))
    assert got.count(b"/VMC/Ext/OK\0,i\0\0\0\0\0\x01") == got.count(b"/VMC/Ext/T\0\0,f") == 1
    assert b"/Bone/Pos" not in got


def test_presets_and_the_52_never_go_out_together(receiver):
    got = b"".join(sent(receiver, "vmc?preset=vrm1", face("happy", 0.5)))
    assert b"happy\0\0\0" + HALF in got
    assert b"JawOpen" not in got
    with pytest.raises(ConfigError, match="drop one"):
        open_output("vmc://127.0.0.1?preset=vrm0&case=camel")
    assert b"Joy\0" + HALF in b"".join(sent(receiver, "vmc?preset=vrm0", face("joy", 0.5)))


def test_a_region_does_not_send_what_another_tracker_owns(receiver):
    lower = b"".join(sent(receiver, "vmc?region=lower"))
    assert lower.count(b"Blend/Val\0") == 31
    assert b"EyeBlink" not in lower
    assert b"".join(sent(receiver, "vmc?region=no-gaze")).count(b"Blend/Val\0") == 44
    assert b"v2/Eye" not in b"".join(sent(receiver, "vrchat?region=mouth"))


def test_values_are_scaled_shifted_mirrored_and_cut(receiver):
    options = "json?gain=jawOpen:3,mouthPucker:0.5&offset=cheekPuff:0.25&mirror=1"
    (data,) = sent(receiver, options, face(jawOpen=0.5, mouthPucker=0.5, jawLeft=0.5))
    weights = json.loads(data)["weights"]
    assert weights["jawOpen"] == 1
    assert weights["mouthPucker"] == weights["cheekPuff"] == 0.25
    assert (weights["jawLeft"], weights["jawRight"]) == (0, 0.5)


def test_thirty_faces_a_second_are_every_other_one_and_the_last(receiver):
    frames = [face(jawOpen=i / 10) for i in range(6)]
    got = [json.loads(d)["weights"]["jawOpen"] for d in sent(receiver, "json?fps=30", *frames)]
    assert got == [0, 0.2, 0.4, 0.5]


def test_the_stamp_carries_the_declared_delay(receiver):
    *_, data = sent(receiver, "vmc?stamp=1", face(delay=0.5))
    assert data.startswith(b"/edge/time\0\0,iff\0\0\0\0")
    assert data.endswith(HALF)


def test_json_carries_the_emotion_and_times(receiver):
    (data,) = sent(receiver, "json", face("sad", 0.25, delay=0.05))
    found = json.loads(data)
    assert (found["emotion"], found["emotion_strength"], found["delay"]) == ("sad", 0.25, 0.05)
    assert tuple(found["weights"]) == ARKIT_52


def test_vrchat_hears_only_what_changed_until_the_refresh(receiver):
    frames = [face(), face(), face(jawOpen=0.5)]
    got = sent(receiver, "vrchat", *frames)
    assert got[-1] == (
        b"#bundle\0" + bytes(7) + b"\1\0\0\0\x28/avatar/parameters/v2/JawOpen\0\0\0,f\0\0" + HALF
    )
    assert len(sent(receiver, "vrchat", face(), *[face()] * 59)) == len(got) - 1


def test_the_greeting_switches_ifacialmocap_to_version_two(receiver):
    sink = open_output(f"ifacialmocap://127.0.0.1:{receiver.getsockname()[1]}")
    sink.send(face())
    first, sender = receiver.recvfrom(4096)
    assert b"jawOpen-0" in first
    hello = b"iFacialMocap_sahuasouryya9218sauhuiayeta91555dy3719|sendDataVersion=v2"
    receiver.sendto(hello, ("127.0.0.1", sender[1]))
    for _ in range(15):
        sink.send(face())
    sink.close()
    assert b"jawOpen&0" in waiting(receiver)[-1]


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("vmc://h?csae=pascal", "did you mean 'case'"),
        ("vmc://h?gain=jawOpne:1", "did you mean 'jawOpen'"),
        ("vmc://h?gain=jawOpen:nan", "not a number"),
        ("vmc://h?fps=0", "from 1 to 60"),
        ("vmc://h?region=nose", "all|face"),
        ("livelink://h?rename=jawOpen:x", "no names"),
        ("nope://h", "known: vmc"),
    ],
)
def test_a_wrong_option_names_the_way_out(url, hint):
    with pytest.raises(ConfigError) as error:
        open_output(url)
    assert hint in str(error.value)


def test_tables_use_only_names_that_exist():
    for table in (tables.UNIFIED, tables.VRM1, tables.VISEMES):
        for terms in table.values():
            assert tables.inputs_of(terms) <= set(ARKIT_52)
    assert sorted(ORDER) == sorted(ARKIT_52)


def test_directions_are_not_sides():
    assert tables.suffixed("mouthLeft") == "mouthLeft"
    assert tables.suffixed("jawRight") == "jawRight"
    assert tables.suffixed("mouthFrownRight") == "mouthFrown_R"
    assert tables.opposite("jawLeft") == "jawRight"


def test_both_eyes_looking_right_is_positive_x_for_each():
    inputs = np.zeros(57, np.float32)
    tables.extend(face(eyeLookInLeft=1, eyeLookOutRight=1).weights, inputs)
    got = dict(zip(tables.UNIFIED, tables.matrix(tables.UNIFIED) @ inputs, strict=True))
    assert (got["EyeLeftX"], got["EyeRightX"], got["EyeX"]) == (1, 1, 1)
    assert got["EyeLidLeft"] == 0.75


def test_a_turn_to_the_left_is_negative_about_unitys_y():
    assert unity(0, np.pi / 2, 0) == pytest.approx((0, -(0.5**0.5), 0, 0.5**0.5))
    assert unity(np.pi / 2, 0, 0) == pytest.approx((0.5**0.5, 0, 0, 0.5**0.5))


def test_live_link_eyes_turn_as_an_iphone_says(receiver):
    left = face(eyeLookOutLeft=1, eyeLookInRight=1, eyeLookDownLeft=1, eyeLookDownRight=1)
    (data,) = sent(receiver, "livelink", left)
    yaw, pitch, _, yaw2, pitch2, _ = struct.unpack(">6f", data[-24:])
    assert yaw < 0 < pitch
    assert (yaw, pitch) == (yaw2, pitch2)


def test_a_name_with_both_addresses_is_reached_over_ipv4(receiver, monkeypatch):
    port = receiver.getsockname()[1]
    both = [
        (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("::1", port, 0, 0)),
        (socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", port)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    sink = open_output(f"osc://localhost:{port}")
    sink.send(face())
    sink.close()
    assert len(waiting(receiver)) == 1
