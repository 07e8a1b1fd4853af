import json
import socket
import struct
import time

import numpy as np
import pytest

from edge.contract import ARKIT_52, INDEX, BlendshapeFrame, ConfigError, face_end
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


def together(datagrams):
    """The weights of one face in JSON."""
    return {k: v for data in datagrams for k, v in json.loads(data)["weights"].items()}


HALF = b"\x3f\x00\x00\x00"


@pytest.mark.parametrize(
    ("scheme", "literal"),
    [
        ("vmc", b"/VMC/Ext/Blend/Val\0\0,sf\0JawOpen\0" + HALF),
        ("vmc?case=camel", b"/VMC/Ext/Blend/Val\0\0,sf\0jawOpen\0" + HALF),
        ("vrchat", b"/avatar/parameters/v2/JawOpen\0\0\0,f\0\0" + HALF),
        ("vrchat?prefix=FT", b"/avatar/parameters/FT/v2/JawOpen\0\0\0\0,f\0\0" + HALF),
        ("vrchat", b"/avatar/parameters/EyeTrackingActive\0\0\0\0,T\0\0"),
        ("vrchat?mode=visemes&prefix=Lip", b"/parameters/Lip/Viseme\0\0\0,i\0\0\0\0\0\x0a"),
        ("vrchat?mode=visemes&prefix=Lip", b"/avatar/parameters/Lip/Voice\0\0\0\0,f\0\0"),
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
    [
        ("vmc", 3), ("vmc?case=both", 5), ("vmc?preset=vrm0", 1), ("vmc?bones=all", 3),
        ("vmc?region=no-gaze", 2), ("vmc?stamp=1", 4), ("facecap", 1), ("osc", 1),
        ("osc?form=named", 2), ("vrchat?prefix=FT", 6), ("vrchat?binary=4", 25),
        ("vrchat?mode=visemes&prefix=FT", 1), ("livelink", 1), ("ifacialmocap", 1),
        ("ifacialmocap?names=full&version=2", 1), ("json", 2), ("json?stamp=1", 2),
        ("json?form=array", 1), ("json?region=mouth", 1),
    ],
)  # fmt: skip
def test_no_face_makes_a_datagram_of_more_than_1200_bytes(receiver, scheme, count):
    worst = BlendshapeFrame(
        np.full(52, 1 if "ifacial" in scheme else 0.123, np.float32), 10**9, 1e8 + 0.123456,
        np.full(3, -3.0, np.float32), -120.0, "happiness", 0.123,
    )  # fmt: skip
    got = sent(receiver, scheme, worst)
    assert len(got) == count
    assert max(map(len, got)) <= 1200


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
    weights = together(sent(receiver, options, face(jawOpen=0.5, mouthPucker=0.5, jawLeft=0.5)))
    assert weights["jawOpen"] == 1
    assert weights["mouthPucker"] == weights["cheekPuff"] == 0.25
    assert (weights["jawLeft"], weights["jawRight"]) == (0, 0.5)


def test_thirty_faces_a_second_are_every_other_one_and_the_last(receiver):
    frames = [face(jawOpen=i / 10) for i in range(6)]
    got = [json.loads(data) for data in sent(receiver, "json?fps=30", *frames)]
    assert [d["weights"]["jawOpen"] for d in got if d["part"] == [1, 2]] == [0, 0.2, 0.4, 0.5]


def test_the_stamp_carries_the_declared_delay(receiver):
    *_, data = sent(receiver, "vmc?stamp=1", face(delay=0.5))
    assert data.startswith(b"/edge/time\0\0,iff\0\0\0\0")
    assert data.endswith(HALF)


def test_json_carries_the_emotion_and_times(receiver):
    got = sent(receiver, "json", face("sad", 0.25, delay=0.05))
    for found in map(json.loads, got):
        assert (found["emotion"], found["emotion_strength"], found["delay"]) == ("sad", 0.25, 0.05)
    assert tuple(together(got)) == ARKIT_52


def test_json_in_two_parts_says_which_face_they_belong_to(receiver):
    got = [json.loads(data) for data in sent(receiver, "json", face(), face(tongueOut=0.5))]
    assert [(d["part"], d["frame"]) for d in got[:2]] == [([1, 2], 0), ([2, 2], 0)]
    assert [(d["part"], d["frame"]) for d in got[2:4]] == [([1, 2], 1), ([2, 2], 1)]
    assert got[3]["weights"]["tongueOut"] == 0.5
    (small,) = sent(receiver, "json?region=mouth", face())
    assert "part" not in json.loads(small)


def test_json_without_names_is_one_object(receiver):
    (data,) = sent(receiver, "json?form=array&region=mouth", face(jawOpen=0.5, eyeBlinkLeft=1))
    weights = json.loads(data)["weights"]
    assert (len(weights), weights[INDEX["jawOpen"]], weights[INDEX["eyeBlinkLeft"]]) == (52, 0.5, 0)
    with pytest.raises(ConfigError, match="an array has no names"):
        open_output("json://127.0.0.1?form=array&rename=jawOpen:x")


def test_json_with_a_stamp_says_how_old_a_face_is(receiver):
    now = BlendshapeFrame(np.zeros(52, np.float32), 1, time.monotonic() - 2)
    (data,) = sent(receiver, "json?form=array&stamp=1", now)
    assert 2 <= json.loads(data)["age"] < 3
    (data,) = sent(receiver, "json?form=array", now)
    assert "age" not in json.loads(data)


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


BUILT_IN = [
    "IsLocal", "PreviewMode", "Viseme", "Voice", "GestureLeft", "GestureRight",
    "GestureLeftWeight", "GestureRightWeight", "AngularY", "VelocityX", "VelocityY", "VelocityZ",
    "VelocityMagnitude", "Upright", "Grounded", "Seated", "AFK", "TrackingType", "VRMode",
    "MuteSelf", "InStation", "Earmuffs", "IsOnFriendsList", "AvatarVersion", "IsAnimatorEnabled",
    "ScaleModified", "ScaleFactor", "ScaleFactorInverse", "EyeHeightAsMeters",
    "EyeHeightAsPercent",
]  # fmt: skip
"""VRChat's own parameters, which its documentation says are read-only."""


def addresses(datagrams):
    found = set()
    for data in datagrams:
        at = 16
        while at < len(data):
            (size,) = struct.unpack_from(">i", data, at)
            found.add(data[at + 4 : at + 4 + size].split(b"\0")[0].decode())
            at += 4 + size
    return found


@pytest.mark.parametrize(
    "options",
    ["", "prefix=FT", "prefix=/a/b/", "binary=4", "mode=visemes&prefix=Me", "region=mouth"],
)
def test_nothing_is_sent_to_an_address_that_vrchat_keeps_for_itself(receiver, options):
    got = addresses(sent(receiver, f"vrchat?{options}", face(jawOpen=0.5), face(mouthPucker=1)))
    assert got
    assert all(address.startswith("/avatar/parameters/") for address in got)
    assert not got & {f"/avatar/parameters/{name}" for name in BUILT_IN}


def bits(receiver, url, **weights):
    """Parameter of an avatar to the value it has after a face at rest and this one."""
    held = {}
    for data in sent(receiver, url, face(), face(**weights)):
        at = 16
        while at < len(data):
            (size,) = struct.unpack_from(">i", data, at)
            name, rest = data[at + 4 : at + 4 + size].split(b"\0", 1)
            held[name.decode().rpartition("v2/")[2]] = rest.strip(b"\0")
            at += 4 + size
    return held


def test_a_shape_as_bits_counts_sixteenths_and_its_sign(receiver):
    held = bits(receiver, "vrchat?binary=4", jawOpen=0.7, mouthLeft=0.3)
    assert [held[f"JawOpen{k}"] for k in (1, 2, 4, 8)] == [b",T", b",T", b",F", b",T"]  # 11 of 16
    assert held["JawOpenNegative"] == b",F"
    assert [held[f"MouthX{k}"] for k in (1, 2, 4, 8)] == [b",F", b",F", b",T", b",F"]  # 4 of 16
    assert held["MouthXNegative"] == b",T"
    assert "JawOpen" not in held
    whole = bits(receiver, "vrchat?binary=4", jawOpen=1)
    assert [whole[f"JawOpen{k}"] for k in (1, 2, 4, 8)] == [b",T"] * 4


def test_some_shapes_may_be_bits_and_the_others_floats(receiver):
    held = bits(receiver, "vrchat?binary=JawOpen:2,MouthX:3&prefix=FT", jawOpen=0.5)
    assert [held[f"JawOpen{k}"] for k in (1, 2)] == [b",F", b",T"]
    assert held["TongueOut"].startswith(b",f")
    assert {"MouthX4", "MouthXNegative"} <= set(held)
    assert not {"JawOpen4", "JawOpen", "MouthX", "MouthX8", "TongueOut1"} & set(held)


def test_only_the_bits_that_flip_are_sent(receiver):
    frames = [face(), face(jawOpen=0.5), face(jawOpen=0.5)]
    got = sent(receiver, "vrchat?binary=1", *frames)
    refresh = len(sent(receiver, "vrchat?binary=1", face()))
    assert len(got) == refresh + 1
    assert {a.rpartition("/")[2] for a in addresses(got[-1:])} == {"JawOpen1"}


def test_frame_numbers_go_with_the_audio_and_not_with_the_packets(receiver):
    def numbers(url, *ends):
        frames = [BlendshapeFrame(np.zeros(52, np.float32), face_end(i), i / 60) for i in ends]
        got = sent(receiver, url, *frames)
        return [struct.unpack(">i", data[-261:-257])[0] for data in got]

    # Off for four seconds, then on again.
    assert numbers("livelink", 0, 1, 241, 242) == [1, 2, 242, 243]
    got = sent(receiver, "json?form=array", *[
        BlendshapeFrame(np.zeros(52, np.float32), face_end(i), i / 60) for i in (0, 1, 241)
    ])  # fmt: skip
    assert [json.loads(data)["frame"] for data in got] == [1, 2, 242]
    assert numbers("livelink?fps=30", *range(8)) == [0, 1, 2, 3, 4]  # and the last, at the end


@pytest.mark.parametrize("url", ["vmc://127.0.0.1?preset=", "json://127.0.0.1?fps=30&rename="])
def test_an_option_without_a_value_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"(preset|rename)= has no value; give one, or drop it"):
        open_output(url)
