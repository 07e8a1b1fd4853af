// Faces to the head and the panel: live from edge-run, from a recording, or frame by frame to film.
import { open } from "./avatar.js";
import { Head } from "./head.js";
import { Link } from "./link.js";
import { Panel } from "./panel.js";
import { load, sound } from "./replay.js";
import { Stage } from "./stage.js";

const $ = (id) => document.getElementById(id);
const about = await (await fetch("about.json")).json();
const stage = new Stage($("view"));
const head = new Head();
const own = { object: head.object, pose: (w) => head.pose(w), turn: (...a) => head.object.rotation.set(...a) };
const panel = new Panel(about);
const STALE = 1500; // ms; edge-run lays the preview down first when faces are late
let shown = own;
let newest = null; // Float32Array: weights, pitch, yaw, roll, level, seconds
stage.scene.add(head.object, head.body);
document.title = `EdgeTalk preview: ${about.title}`;

const named = (values) => Object.fromEntries(about.names.map((n, i) => [n, values[i]]));

/** Put a face on whoever is shown. */
function show(values, turn = [0, 0, 0]) {
  shown.pose(named(values));
  shown.turn(...turn);
  panel.weights(values);
  stage.stale = true;
}

function say(text) {
  $("say").textContent = text;
}

function wear(avatar) {
  if (shown !== own) {
    stage.scene.remove(shown.object);
    shown.dispose();
  }
  const mine = avatar === own;
  head.object.visible = head.body.visible = mine;
  if (!mine) stage.scene.add(avatar.object);
  $("own").hidden = mine;
  shown = avatar;
  shown.pose({});
  stage.stale = true;
}

async function drop(file) {
  if (!/\.(vrm|glb)$/i.test(file.name)) return say(`${file.name}: drop a .vrm or .glb file`);
  if (file.size > 200e6) return say(`${file.name}: larger than 200 MB`);
  say(`loading ${file.name}`);
  try {
    const avatar = await open(await file.arrayBuffer(), about.names);
    wear(avatar);
    say(`${file.name}: ${avatar.known.length} of 52 shapes`);
  } catch (error) {
    say(`${file.name}: ${error.message}`);
  }
}

function fill() {
  const { clientWidth: wide, clientHeight: high } = $("stage");
  stage.size(wide, high, Math.min(2, devicePixelRatio));
}

function handle() {
  addEventListener("resize", fill);
  fill();
  for (const button of document.querySelectorAll("[data-yaw]"))
    button.onclick = () => stage.aim(Number(button.dataset.yaw), 0);
  $("own").onclick = () => (wear(own), say(""));
  const place = $("stage");
  place.ondragover = (e) => (e.preventDefault(), place.classList.add("over"));
  place.ondragleave = () => place.classList.remove("over");
  place.ondrop = (e) => {
    e.preventDefault();
    place.classList.remove("over");
    if (e.dataTransfer.files[0]) drop(e.dataTransfer.files[0]);
  };
  let from = null, yaw = 0, pitch = 0;
  $("view").onpointerdown = (e) => (from = [e.clientX + yaw * 200, e.clientY - pitch * 200]);
  onpointerup = () => (from = null);
  $("view").onpointermove = (e) => {
    if (!from) return;
    yaw = (from[0] - e.clientX) / 200;
    pitch = Math.min(0.8, Math.max(-0.8, (e.clientY - from[1]) / 200));
    stage.aim(yaw, pitch);
  };
}

async function live() {
  let cameAt = performance.now(), stale = false;
  const link = new Link({
    face: (values) => {
      newest = values;
      cameAt = performance.now();
    },
    figures: (f) => {
      panel.figures(f);
      const late = performance.now() - cameAt > STALE;
      if (late !== stale) say(late ? "no new face: is edge-run too slow for this machine?" : "");
      stale = late;
    },
    state: (text) => {
      $("state").textContent = text;
      $("state").className = text === "live" ? "live" : "off";
      say(text === "live" ? "" : "no connection to edge-run: is it running?");
    },
  });
  panel.steer((...order) => link.order(...order));
  everyPicture(() => {
    if (!newest) return;
    show(newest, newest.subarray(52, 55));
    panel.level(newest[55]);
    newest = null;
  });
}

async function replay() {
  const recording = await load(about.names.length + 1);
  $("player").hidden = false;
  $("figures").hidden = $("steer").hidden = true;
  $("state").textContent = `${recording.count} faces`;
  await sound($("sound"));
  say("");
  let row = null;
  everyPicture(() => {
    const now = recording.at($("sound").currentTime);
    if (now.byteOffset === row?.byteOffset) return;
    show((row = now));
  });
}

/**
 * Every picture of a film over the web socket: RGBA, from the lowest row up. An empty message says
 * that it failed. Not toBlob: browsers do that when idle, so that a film would take minutes.
 */
async function film() {
  document.body.className = "film";
  const asked = new URLSearchParams(location.search), n = about.names.length;
  const fps = Number(asked.get("fps")), side = Number(asked.get("side"));
  const recording = await load(n + 4);
  const socket = new WebSocket(`ws://${location.host}/live`);
  await new Promise((done) => (socket.onopen = done));
  stage.size(side, side);
  const gl = stage.renderer.getContext(), pixels = new Uint8Array(4 * side * side);
  try {
    for (let i = 0; i < Math.floor((recording.count * fps) / about.fps); i++) {
      const row = recording.at((i + 0.5) / fps);
      show(row, row.subarray(n, n + 3));
      stage.draw();
      gl.readPixels(0, 0, side, side, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
      socket.send(pixels);
      while (socket.bufferedAmount > pixels.length) await new Promise((done) => setTimeout(done, 5));
    }
  } catch (error) {
    socket.send(new Uint8Array());
    throw error;
  }
}

/** Update as often as the screen does and draw what changed, unless `edge.held` for whoever draws by hand. */
function everyPicture(update) {
  if (!window.edge.held) {
    update();
    stage.refresh();
  }
  requestAnimationFrame(() => everyPicture(update));
}

handle();
window.edge = { held: false, about, head, panel, stage, show, drop, shown: () => shown };
await { live, replay, film }[about.mode]();
window.edge.ready = true;
