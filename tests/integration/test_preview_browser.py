"""The preview's page in headless Chromium: every shape moves its own part of the head."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from edge.bundle import DEFAULT
from edge.bundle_reader import read_bundle
from edge.cli import main as edge_run
from edge.contract import ARKIT_52, FPS, INDEX, AudioBlock, Floats
from edge.emotion import load_emotions
from edge.inference.engine import open_engines
from edge.pipeline import Pipeline
from edge.recording.face_record import open_record
from tests.fakes import DEMO, ROOT

pytest.importorskip("websockets", reason="the preview needs websockets: pip install websockets")
from edge.preview.replay import replay_files
from edge.preview.server import PAGE, PreviewServer
from tests.integration.test_peers_browser import need_browser, vrm
from tests.test_preview import FACE, Show

pytestmark = pytest.mark.toolchain  # once in CI is enough for a browser

PICTURES = ROOT / "runs" / "preview"
"""Pictures of the last run, for people."""

# Shape -> where in a front view it shows: left, top, right, bottom as shares of the picture. The
# character's left is on the viewer's right.
EYE, BROW, CHEEK = (0.56, 0.25, 0.82, 0.6), (0.47, 0.15, 0.84, 0.48), (0.5, 0.42, 0.86, 0.72)
LIPS, HALF = (0.28, 0.58, 0.72, 0.95), (0.43, 0.58, 0.84, 0.95)
FACE_BELOW = (0.14, 0.5, 0.86, 1.0)
SIDED = {
    **dict.fromkeys(("eyeBlink", "eyeSquint", "eyeWide"), EYE),
    **{f"eyeLook{way}": (0.6, 0.36, 0.8, 0.52) for way in ("Down", "In", "Out", "Up")},
    **{
        f"mouth{what}": HALF
        for what in ("Frown", "Dimple", "Stretch", "Press", "LowerDown", "UpperUp")
    },
    "mouthSmile": (0.43, 0.45, 0.84, 0.95),
    "browDown": BROW,
    "browOuterUp": BROW,
    "cheekSquint": CHEEK,
    "noseSneer": (0.45, 0.3, 0.72, 0.86),
}
REGIONS = {
    **{f"jaw{way}": FACE_BELOW for way in ("Forward", "Left", "Right", "Open")},
    **{
        f"mouth{what}": LIPS
        for what in ("Close", "Funnel", "Pucker", "Left", "Right", "RollLower", "ShrugUpper")
    },
    "mouthRollUpper": (0.3, 0.62, 0.7, 0.84),
    "mouthShrugLower": (0.3, 0.65, 0.7, 1.0),
    "browInnerUp": (0.28, 0.1, 0.72, 0.5),
    "cheekPuff": FACE_BELOW,
    "tongueOut": (0.36, 0.7, 0.64, 1.0),
    **{name + "Left": box for name, box in SIDED.items()},
    **{name + "Right": (1 - x1, y0, 1 - x0, y1) for name, (x0, y0, x1, y1) in SIDED.items()},
}
FIRST = {"tongueOut": {"jawOpen": 0.3}, "mouthClose": {"jawOpen": 0.5}}
"""What a shape needs beneath it to be seen."""

MOVED = """((regions, first) => {
  edge.held = true;
  edge.stage.size(256, 256);
  edge.stage.aim(0, 0, 5);
  const gl = edge.stage.renderer.getContext();
  const shot = (w) => {
    edge.head.pose(w);
    edge.stage.draw();
    const p = new Uint8Array(4 * 256 * 256);
    gl.readPixels(0, 0, 256, 256, gl.RGBA, gl.UNSIGNED_BYTE, p);
    return p;
  };
  const changes = (a, b, k) => Math.abs(a[k] - b[k]) + Math.abs(a[k + 1] - b[k + 1]) +
    Math.abs(a[k + 2] - b[k + 2]);
  const rest = shot({}), found = {};
  for (const [name, [x0, y0, x1, y1]] of Object.entries(regions)) {
    const a = first[name] ? shot(first[name]) : rest, b = shot({ ...first[name], [name]: 1 });
    let all = 0, inside = 0;
    for (let i = 0; i < 256 * 256; i++) {
      const k = 4 * i;
      if (changes(a, b, k) < 25) continue;
      const x = (i % 256) / 256, y = 1 - i / 65536;
      all++;
      if (x >= x0 && x <= x1 && y >= y0 && y <= y1) inside++;
    }
    found[name] = [all, inside];
  }
  return found;
})"""

GAPS = """(async () => {
  const rows = new Float32Array(await (await fetch("recording.bin")).arrayBuffer());
  const names = edge.about.names, wide = names.length + 1, gaps = [];
  for (let i = 0; i < rows.length; i += wide) {
    edge.head.pose(Object.fromEntries(names.map((n, j) => [n, rows[i + 1 + j]])));
    gaps.push(edge.head.lipGap());
  }
  return gaps;
})()"""

# What README shows: five mouths and three emotions (those of edge/emotion.yaml, at full strength).
MOUTHS: dict[str, dict[str, float]] = {
    "ah": {"jawOpen": 0.62, "mouthLowerDown": 0.25, "mouthUpperUp": 0.1},
    "ee": {
        **{"jawOpen": 0.12, "mouthSmile": 0.35, "mouthStretch": 0.45},
        **{"mouthLowerDown": 0.35, "mouthUpperUp": 0.3},
    },
    "oo": {"jawOpen": 0.12, "mouthPucker": 0.75, "mouthFunnel": 0.35},
    "mm": {
        **{"jawOpen": 0.06, "mouthClose": 0.06, "mouthPress": 0.55},
        **{"mouthRollLower": 0.35, "mouthRollUpper": 0.35},
    },
    "f": {"jawOpen": 0.07, "mouthRollLower": 0.85, "mouthUpperUp": 0.35},
}
EMOTIONS = ("happiness", "sadness", "surprise")
SHEET = """((faces) => {
  edge.held = true;
  edge.stage.size(280, 280);
  edge.stage.look.y = -0.2;
  edge.stage.aim(0.1, 0.02, 5);
  const sheet = Object.assign(document.createElement("canvas"), { width: 1120, height: 560 });
  const c = sheet.getContext("2d"), seen = [];
  c.font = "15px sans-serif";
  c.fillStyle = "white";
  Object.entries(faces).forEach(([name, weights], i) => {
    edge.head.pose(weights);
    edge.stage.draw();
    const x = 280 * (i % 4), y = 280 * Math.floor(i / 4);
    c.drawImage(edge.stage.renderer.domElement, x, y);
    seen.push(c.getImageData(x, y, 280, 280).data.join());
    c.fillText(name, x + 8, y + 20);
  });
  edge.stage.look.y = -0.06;
  return [sheet.toDataURL("image/png").split(",")[1], new Set(seen).size];
})"""

# Seconds at which the demo clip has an "m" (phones aligned with PocketSphinx, read once).
EMS = (0.92, 1.44, 3.03, 6.26, 6.76, 10.64, 12.55)


class Browser:
    """A page that does what it is told."""

    def __init__(self, url: str) -> None:
        self._node = subprocess.Popen(
            ["node", str(ROOT / "tests/peers/page.mjs"), url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            self._answer()
        except BaseException:
            self.close()
            raise

    def _answer(self) -> Any:
        assert self._node.stdout is not None
        line = self._node.stdout.readline()
        assert line, "Chromium did not start; see standard error"
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["value"]

    def ask(self, expression: str) -> Any:
        """The value of an expression in the page."""
        return self._do({"eval": expression})

    def shot(self, name: str) -> None:
        """A picture of the window, kept."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self._do({"shot": str(PICTURES / name)})

    def trouble(self) -> Any:
        """Errors of the page, and addresses it asked for beyond its own server."""
        return self._do({})

    def _do(self, order: dict[str, str]) -> Any:
        assert self._node.stdin is not None
        self._node.stdin.write(json.dumps(order) + "\n")
        self._node.stdin.flush()
        return self._answer()

    def until(self, expression: str) -> None:
        """Wait up to 20 s until it is true."""
        give_up = time.monotonic() + 20
        while not self.ask(expression):
            assert time.monotonic() < give_up, f"never came true: {expression}"

    def close(self) -> None:
        try:
            self._node.communicate(timeout=20)
        finally:
            self._node.kill()


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory, demo: Floats) -> Path:
    """The demo clip as faces."""
    bundle = read_bundle(DEFAULT)
    pipeline = Pipeline(bundle, open_engines(bundle, "onnxruntime", None), bundle.lookahead, 1)
    path = tmp_path_factory.mktemp("preview") / "demo.csv"
    with closing(open_record(str(path))) as record:
        for frame in [*pipeline.push(AudioBlock(demo, 0, 0.0)), *pipeline.flush(0.0)]:
            record.send(frame)
    return path


@pytest.fixture(scope="module")
def page(recording: Path) -> Iterator[Browser]:
    need_browser()
    with (
        closing(PreviewServer(0, replay_files(recording, DEMO))) as server,
        closing(Browser(server.url)) as one,
    ):
        yield one
        assert one.trouble() == {"errors": [], "elsewhere": []}


def test_every_shape_moves_pixels_in_its_own_region(page: Browser) -> None:
    assert set(REGIONS) == set(ARKIT_52)
    found = page.ask(f"{MOVED}({json.dumps(REGIONS)}, {json.dumps(FIRST)})")
    weak = {name: n for name, (n, _) in found.items() if n < 200}
    assert not weak, "shapes that hardly show (pixels of 65536)"
    astray = {name: n / all_ for name, (all_, n) in found.items() if n < 0.85 * all_}
    assert not astray, "share of the moved pixels that is where the shape belongs"


def test_speech_closes_the_lips_on_m(page: Browser) -> None:
    gaps = np.array(page.ask(GAPS))
    assert len(gaps) > 800
    for second in EMS:
        i = round(second * FPS)
        closed, around = gaps[i - 4 : i + 5].min(), gaps[i - 18 : i + 19].max()
        assert closed < 0.02, second  # 2 mm on a head of life size
        assert closed < 0.35 * around, second


def test_mouth_close_takes_back_what_the_jaw_opens(page: Browser) -> None:
    gap = "(edge.head.pose({}), edge.head.pose(%s), edge.head.lipGap())"
    for jaw in (0.1, 0.5, 1.0):
        assert page.ask(gap % json.dumps({"jawOpen": jaw, "mouthClose": jaw})) < 1e-3
        assert page.ask(gap % json.dumps({"jawOpen": jaw})) > 0.2 * jaw
    pressed = {name: 1.0 for name in ARKIT_52 if name.startswith(("mouthPress", "mouthRoll"))}
    assert abs(page.ask(gap % json.dumps(pressed))) < 1e-3


def test_the_sound_says_which_face_is_shown(page: Browser, recording: Path) -> None:
    rows = np.loadtxt(recording, np.float32, delimiter=",", skiprows=1)
    page.ask("(edge.held = false, null)")
    loudest = int(rows[:, 1 + INDEX["jawOpen"]].argmax())
    page.ask(f"(document.getElementById('sound').currentTime = {rows[loudest, 0] + 0.004}, null)")
    displayed = f"edge.panel.rows[{INDEX['jawOpen']}].shown"
    page.until(f"{displayed} === {round(100 * rows[loudest, 1 + INDEX['jawOpen']])}")
    page.ask("(dispatchEvent(new Event('resize')), edge.stage.aim(0.12, 0.02), null)")
    page.shot("replay.png")


def both(shapes: dict[str, float]) -> dict[str, float]:
    """A shape without its side stands for both sides."""
    return {
        name: weight
        for short, weight in shapes.items()
        for name in (short, short + "Left", short + "Right")
        if name in INDEX
    }


def test_mouths_and_emotions_for_people_to_judge(page: Browser) -> None:
    emotions = {
        name: dict(zip(ARKIT_52, load_emotions()[0][name].tolist(), strict=True))
        for name in EMOTIONS
    }
    faces = {name: both(mouth) for name, mouth in MOUTHS.items()} | emotions
    sheet, different = page.ask(f"{SHEET}({json.dumps(faces)})")
    assert different == len(faces)
    PICTURES.mkdir(parents=True, exist_ok=True)
    (PICTURES / "faces.png").write_bytes(base64.b64decode(sheet))


def test_an_avatar_with_the_shapes_is_worn_and_one_without_says_so(page: Browser) -> None:
    drop = "edge.drop(new File([Uint8Array.from(atob('%s'), (c) => c.charCodeAt(0))], '%s'))"
    say = "document.getElementById('say').textContent"
    page.ask(drop % (base64.b64encode(vrm()).decode(), "square.vrm"))
    assert page.ask(say) == "square.vrm: 52 of 52 shapes"
    page.ask("edge.held = true")
    page.ask("edge.show(edge.about.names.map((n) => (n === 'tongueOut' ? 0.5 : 0)))")
    worn = """(() => {
      let seen = {};
      edge.shown().object.traverse((mesh) => {
        for (const [name, i] of Object.entries(mesh.morphTargetDictionary ?? {}))
          if (mesh.morphTargetInfluences[i]) seen[name] = mesh.morphTargetInfluences[i];
      });
      return seen;
    })()"""
    assert page.ask(worn) == {"tongueOut": 0.5}
    for name, data, expected in (
        ("a.txt", b"", "a.txt: drop a .vrm or .glb file"),
        ("a.glb", b"glTF nonsense", "a.glb: "),
    ):
        page.ask(drop % (base64.b64encode(data).decode(), name))
        assert page.ask(say).startswith(expected)
        assert page.ask("edge.shown().vrm !== undefined")  # the one before is still worn
    page.ask("document.getElementById('own').click()")
    assert page.ask("edge.shown().object === edge.head.object")


def test_a_live_page_follows_the_faces_and_steers_them() -> None:
    need_browser()
    show = Show()
    with closing(show.preview), closing(Browser(show.server.url)) as page:
        page.until("document.getElementById('state').textContent === 'live'")
        show.preview.send(FACE)
        page.until("edge.panel.rows[51].shown === 100")
        page.until("document.getElementById('drops').textContent === '3 audio'")
        page.ask(
            "(() => { const gain = document.getElementById('gain'); gain.value = 2;"
            " gain.dispatchEvent(new Event('input', { bubbles: true })); })()"
        )
        page.ask(
            "(() => { const mood = document.getElementById('mood'); mood.value = 'sadness';"
            " mood.dispatchEvent(new Event('change')); })()"
        )
        give_up = time.monotonic() + 20
        while show.preview._commands.accepted < 2 and time.monotonic() < give_up:
            page.ask("null")
        show.desk.live.inbox.drain()
        assert show.desk.live.gains == {"jawOpen": 2.0}
        assert show.desk.pipeline.face.emotion_blend.name == "sadness"
        page.shot("live.png")
        show.server.close()
        page.until("document.getElementById('say').textContent.startsWith('no connection')")
        trouble = page.trouble()
        assert trouble["elsewhere"] == []


@pytest.mark.slow
def test_a_film_has_a_picture_for_every_second_face_and_the_sound(
    tmp_path: Path, demo: Floats
) -> None:
    need_browser()
    if not shutil.which("ffprobe"):
        pytest.skip("ffmpeg is not installed: apt install ffmpeg")
    clip, out = tmp_path / "clip.wav", tmp_path / "clip.mp4"
    soundfile.write(clip, demo[16_000:19_200], 16_000)
    assert edge_run(["--mic", f"file:{clip}", "--offline", "--render", str(out)]) == 0
    probe = ["ffprobe", "-v", "error", "-count_packets", "-of", "json", "-show_entries"]
    streams = json.loads(
        subprocess.check_output([*probe, "stream=codec_type,nb_read_packets,width,duration", out])
    )["streams"]
    film, sound = sorted(streams, key=lambda s: s["codec_type"], reverse=True)
    assert (film["nb_read_packets"], film["width"]) == ("6", 720)
    assert float(sound["duration"]) == pytest.approx(0.2, abs=0.05)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["clip.mp4", "clip.wav"]


def test_the_page_that_ships_is_what_its_sources_build(tmp_path: Path) -> None:
    if not (ROOT / "page/node_modules").is_dir() or not shutil.which("node"):
        pytest.skip("page/node_modules is not there: run npm ci in page/")
    subprocess.run(
        ["node", "build.mjs", str(tmp_path)], cwd=ROOT / "page", check=True, env=os.environ
    )
    built = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    shipped = {path.name: path.read_bytes() for path in PAGE.iterdir()}
    assert sorted(built) == sorted(shipped)
    assert [name for name in built if built[name] != shipped[name]] == []
