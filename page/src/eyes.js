// Eyes: a ball with an iris, and one sheet of lid around it with a hole that opens and closes.
import * as THREE from "three";
import { DARK, flesh } from "./colours.js";
import { clamp, mix, smooth } from "./field.js";
import { EYE } from "./skull.js";

const AROUND = 64, ROWS = 12;
const UP = 0.36, LOW = 0.29; // rad that the lids stand open at rest
const SHUT = -0.24; // where they meet

/** How far the lids of one side stand open, from the weights: rad above and below the middle. */
function opening(w, side) {
  const of = (name) => w["eye" + name + side] ?? 0;
  const blink = clamp(of("Blink")), squint = of("Squint");
  const up = UP + 0.17 * of("Wide") - 0.13 * squint + 0.1 * of("LookUp") - 0.16 * of("LookDown");
  const low = LOW + 0.05 * of("Wide") - 0.17 * squint - 0.19 * (w["cheekSquint" + side] ?? 0)
    - 0.06 * of("LookUp") + 0.08 * of("LookDown");
  return [mix(up, SHUT, blink), mix(-low, SHUT - 0.01, blink)];
}

function iris() {
  const canvas = Object.assign(document.createElement("canvas"), { width: 512, height: 512 });
  const c = canvas.getContext("2d");
  const disc = (r, fill) => {
    c.fillStyle = fill;
    c.beginPath();
    c.arc(256, 256, r, 0, 7);
    c.fill();
  };
  const shade = (r, ...stops) => {
    const g = c.createRadialGradient(256, 256, 0, 256, 256, r);
    stops.forEach(([at, colour]) => g.addColorStop(at, colour));
    return g;
  };
  c.fillStyle = shade(256, [0.3, "#fbf8f4"], [0.75, "#f1e6de"], [1, "#d9b5a8"]);
  c.fillRect(0, 0, 512, 512);
  disc(120, shade(120, [0.3, "#8a5a2c"], [0.6, "#5f3a1c"], [0.86, "#39210f"], [1, "#1d120b"]));
  c.strokeStyle = "#c08a4a55";
  for (let i = 0; i < 72; i++) {
    const a = (i * Math.PI) / 36, far = 76 + 18 * Math.sin(i * 2.7);
    c.beginPath();
    c.moveTo(256 + 50 * Math.cos(a), 256 + 50 * Math.sin(a));
    c.lineTo(256 + far * Math.cos(a), 256 + far * Math.sin(a));
    c.stroke();
  }
  disc(50, "#070505");
  const map = new THREE.CanvasTexture(canvas);
  map.colorSpace = THREE.SRGBColorSpace;
  return map;
}

/** A ball whose front wears the picture: u, v are the direction's x and y. */
function ball(map) {
  const shape = new THREE.SphereGeometry(EYE.ball, 40, 32);
  const at = shape.attributes.position, uv = shape.attributes.uv;
  for (let i = 0; i < at.count; i++) {
    const k = at.getZ(i) < 0 ? 9 : 0.5 / EYE.ball;
    uv.setXY(i, clamp(0.5 + at.getX(i) * k), clamp(0.5 + at.getY(i) * k));
  }
  return new THREE.Mesh(shape, new THREE.MeshPhysicalMaterial({
    map, roughness: 0.32, clearcoat: 1, clearcoatRoughness: 0.06,
  }));
}

const onBall = (azimuth, height, r) => [
  r * Math.sin(azimuth) * Math.cos(height), r * Math.sin(height),
  r * Math.cos(azimuth) * Math.cos(height),
];

/** One eye; `side` is "Left" or "Right". */
export class Eye {
  constructor(side) {
    this.side = side;
    this.sign = side === "Left" ? 1 : -1;
    this.root = new THREE.Group();
    this.root.position.set(this.sign * EYE.x, EYE.y, EYE.z);
    this.ball = ball(iris());
    this.lids = new THREE.Mesh(this.#sheet(), new THREE.MeshStandardMaterial({
      vertexColors: true, roughness: 0.55, side: THREE.DoubleSide,
    }));
    this.lash = new THREE.Mesh(this.#ribbon(), new THREE.MeshStandardMaterial({
      color: DARK, roughness: 0.9, side: THREE.DoubleSide,
    }));
    const spark = new THREE.Mesh(new THREE.SphereGeometry(0.0155, 12, 8),
      new THREE.MeshBasicMaterial({ color: "#ffffff" }));
    spark.position.set(...onBall(-0.17, 0.2, EYE.ball - 0.008));
    const aim = new THREE.Group();
    aim.rotation.y = this.sign * EYE.out;
    aim.add(this.lids, this.lash);
    this.root.add(this.ball, aim, spark);
    this.pose({});
  }

  #sheet() {
    const shape = new THREE.BufferGeometry();
    const count = (ROWS + 1) * AROUND, index = [], colours = new Float32Array(count * 3);
    for (let i = 0; i < ROWS; i++)
      for (let j = 0; j < AROUND; j++) {
        const a = i * AROUND + j, b = i * AROUND + ((j + 1) % AROUND);
        index.push(a, a + AROUND, b, b, a + AROUND, b + AROUND);
      }
    const pink = new THREE.Color("#b9705f"), crease = new THREE.Color("#a4644b");
    for (let i = 0; i <= ROWS; i++)
      for (let j = 0; j < AROUND; j++) {
        const s = Math.sin((2 * Math.PI * j) / AROUND);
        const [x, y, z] = this.#point(i, j, [UP, -LOW]);
        const c = flesh(this.sign * EYE.x + x, EYE.y + y, EYE.z + z);
        c.lerp(pink, i < 2 ? 0.7 : 0.3 * smooth(5, 2, i));
        c.lerp(crease, s > 0 ? 0.4 * smooth(0, 0.5, s) * Math.exp(-((i - 4.5) ** 2)) : 0);
        c.toArray(colours, 3 * (i * AROUND + j));
      }
    shape.setAttribute("position", new THREE.BufferAttribute(new Float32Array(count * 3), 3));
    shape.setAttribute("normal", new THREE.BufferAttribute(new Float32Array(count * 3), 3));
    shape.setAttribute("color", new THREE.BufferAttribute(colours, 3));
    shape.setIndex(index);
    return shape;
  }

  #ribbon() {
    const shape = new THREE.BufferGeometry(), index = [], n = AROUND / 2;
    for (let j = 0; j < n; j++) index.push(2 * j, 2 * j + 1, 2 * j + 2, 2 * j + 2, 2 * j + 1, 2 * j + 3);
    shape.setAttribute("position", new THREE.BufferAttribute(new Float32Array((n + 1) * 6), 3));
    shape.setIndex(index);
    return shape;
  }

  #edge(j, [up, low]) {
    const a = (2 * Math.PI * j) / AROUND, t = Math.cos(a), s = Math.sin(a);
    const tilt = 0.05 * t * this.sign; // outer corners a little higher
    const arch = Math.abs(s) ** 0.85;
    return [EYE.corner * t, tilt + arch * (s > 0 ? up : low), a];
  }

  /** Row i of the sheet, from the ball's side of the edge to under the skin; column j around. */
  #point(i, j, open) {
    const [azimuth, height, a] = this.#edge(j, open);
    const k = Math.max(0, i - 2) / (ROWS - 2), far = k ** 1.15;
    const r = i === 0 ? EYE.ball - 0.004
      : EYE.lid - 0.012 * smooth(0.6, 1, k) - (i === 1 ? 0.0035 : 0);
    return onBall(mix(azimuth, 1.3 * Math.cos(a), far), mix(height, 1.2 * Math.sin(a), far), r);
  }

  /** Put lids, lashes and ball where the weights have them. */
  pose(w) {
    const open = opening(w, this.side);
    const at = this.lids.geometry.attributes.position, normal = this.lids.geometry.attributes.normal;
    for (let i = 0; i <= ROWS; i++)
      for (let j = 0; j < AROUND; j++) {
        const p = this.#point(i, j, open), r = Math.hypot(...p);
        at.setXYZ(i * AROUND + j, ...p);
        normal.setXYZ(i * AROUND + j, p[0] / r, p[1] / r, p[2] / r);
      }
    at.needsUpdate = normal.needsUpdate = true;
    const line = this.lash.geometry.attributes.position;
    for (let j = 0; j <= AROUND / 2; j++) {
      const [azimuth, height, a] = this.#edge(j, open);
      const outer = 0.5 + 0.5 * Math.cos(a) * this.sign;
      const long = 0.002 + (0.01 + 0.028 * outer) * Math.sin(a) ** 0.4;
      line.setXYZ(2 * j, ...onBall(azimuth, height - 0.018, EYE.lid + 0.002));
      line.setXYZ(2 * j + 1, ...onBall(azimuth * (1 + 0.04 * outer),
        height + (0.03 + 0.05 * outer) * Math.sin(a) ** 0.5, EYE.lid + long));
    }
    line.needsUpdate = true;
    this.lash.geometry.computeVertexNormals();
    const of = (name) => w["eyeLook" + name + this.side] ?? 0;
    this.ball.rotation.set(0.42 * of("Down") - 0.42 * of("Up"),
      this.sign * 0.6 * (of("Out") - of("In")), 0);
  }
}
