// 52 weights to a face: adds up what the shapes do to the skin, turns the jaw, lets lips touch.
import * as THREE from "three";
import { DARK, SKIN, paint } from "./colours.js";
import { bell, clamp } from "./field.js";
import { Eye } from "./eyes.js";
import { browPoints, ear, hair, neck } from "./extras.js";
import { Tongue, teeth } from "./mouth.js";
import { SKIN_SHAPES } from "./shapes.js";
import { RIM, jawShare, skin } from "./skull.js";

const HINGE = { y: -0.12, z: -0.2 }; // of the jaw, below the ears
const SWING = 0.34; // rad at jawOpen 1
const SEAL = 0.012; // lips rest pressed together: they part once they have been drawn apart by this
const CLOTH = "#27615f";

/** Points of skin that shapes move; `base` is kept, `now` is drawn. */
class Moved {
  constructor(points, index) {
    this.points = points;
    this.base = Float32Array.from(points.flatMap((p) => [p.x, p.y, p.z]));
    this.shape = new THREE.BufferGeometry();
    this.now = this.base.slice();
    this.shape.setAttribute("position", new THREE.BufferAttribute(this.now, 3));
    this.normals = new Float32Array(this.now.length);
    this.shape.setAttribute("normal", new THREE.BufferAttribute(this.normals, 3));
    this.shape.setIndex(index);
    this.index = this.shape.index.array;
    this.moves = new Map(Object.entries(SKIN_SHAPES).map(([name, f]) => [name, sparse(points, f)]));
  }

  /** Base plus every shape times its weight. */
  add(weights) {
    this.now.set(this.base);
    for (const [name, [at, by]] of this.moves) {
      const w = weights[name];
      if (!w) continue;
      for (let k = 0; k < at.length; k++) {
        const i = 3 * at[k];
        this.now[i] += w * by[3 * k];
        this.now[i + 1] += w * by[3 * k + 1];
        this.now[i + 2] += w * by[3 * k + 2];
      }
    }
  }

  /** Normals anew; all of it goes to the card. */
  finish() {
    const { now: p, normals: n, index } = this;
    n.fill(0);
    for (let k = 0; k < index.length; k += 3) {
      const a = 3 * index[k], b = 3 * index[k + 1], c = 3 * index[k + 2];
      const ux = p[b] - p[a], uy = p[b + 1] - p[a + 1], uz = p[b + 2] - p[a + 2];
      const vx = p[c] - p[a], vy = p[c + 1] - p[a + 1], vz = p[c + 2] - p[a + 2];
      const x = uy * vz - uz * vy, y = uz * vx - ux * vz, z = ux * vy - uy * vx;
      for (const i of [a, b, c]) {
        n[i] += x;
        n[i + 1] += y;
        n[i + 2] += z;
      }
    }
    for (let i = 0; i < n.length; i += 3) {
      const long = Math.hypot(n[i], n[i + 1], n[i + 2]) || 1;
      n[i] /= long;
      n[i + 1] /= long;
      n[i + 2] /= long;
    }
    this.shape.attributes.position.needsUpdate = this.shape.attributes.normal.needsUpdate = true;
  }
}

/** Which points a shape moves, and by how much. */
function sparse(points, move) {
  const at = [], by = [];
  points.forEach((p, i) => {
    const d = move(p);
    if (Math.hypot(...d) > 2e-4) {
      at.push(i);
      by.push(...d);
    }
  });
  return [Uint32Array.from(at), Float32Array.from(by)];
}

function gridIndex(cols, rows) {
  const index = [];
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < cols; j++) {
      const a = i * (cols + 1) + j, b = a + cols + 1;
      index.push(a, a + 1, b, b, a + 1, b + 1);
    }
  return index;
}

/** The head as an object of the scene; `pose(weights)` by ARKit name. */
export class Head {
  constructor() {
    this.object = new THREE.Group();
    const { points, index, around } = skin();
    this.face = new Moved(points, index);
    this.around = around;
    this.face.shape.setAttribute("color", new THREE.BufferAttribute(paint(points), 3));
    this.share = Float32Array.from(points, jawShare);
    this.reach = Float32Array.from(points, (p) => bell(Math.max(0, p.mu) / 0.42));
    const flesh = { roughness: 0.55 };
    const material = new THREE.MeshStandardMaterial({ ...flesh, vertexColors: true });
    const plain = new THREE.MeshStandardMaterial({ ...flesh, color: SKIN });
    const both = new THREE.MeshStandardMaterial({ ...flesh, color: SKIN, side: THREE.DoubleSide });
    const hairy = new THREE.MeshStandardMaterial({ color: DARK, roughness: 0.85, side: THREE.DoubleSide });
    this.brows = [1, -1].map((sign) => {
      const { points: row, cols, rows } = browPoints(sign);
      return new Moved(row, gridIndex(cols, rows));
    });
    this.eyes = ["Left", "Right"].map((side) => new Eye(side));
    this.jaw = new THREE.Group();
    this.tongue = new Tongue({ y: -0.64, z: 0.17 });
    this.jaw.add(teeth(-1, 0.69, -0.578), this.tongue.mesh);
    this.object.add(new THREE.Mesh(this.face.shape, material), teeth(1, 0.705, -0.558), this.jaw,
      ...this.brows.map((b) => new THREE.Mesh(b.shape, hairy)), ...this.eyes.map((e) => e.root),
      hair(DARK), ear(1, both), ear(-1, both));
    this.body = neck(plain, CLOTH);
    this.#measure();
    this.pose({});
  }

  /** How far jawOpen 1 parts the lips, column by column: what mouthClose 1 takes back. */
  #measure() {
    this.parted = new Float32Array(this.around / 2);
    this.face.add({});
    this.#swing({ jawOpen: 1 });
    for (let j = 1; j < this.around / 2; j++) this.parted[j] = Math.max(0, this.gap(j));
  }

  /** Height between upper and lower lip at column j of 1..around/2 - 1, negative where they cross. */
  gap(j) {
    const upper = 3 * (RIM * this.around + j), lower = 3 * (RIM * this.around + this.around - j);
    return this.face.now[upper + 1] - this.face.now[lower + 1];
  }

  /** The widest gap between the lips, in units of the face as it is drawn. */
  lipGap() {
    let widest = 0;
    for (let j = 1; j < this.around / 2; j++) widest = Math.max(widest, this.gap(j));
    return widest;
  }

  /** Show the weights {name: 0..1}; absent ones are 0. */
  pose(weights) {
    this.face.add(weights);
    this.#swing(weights);
    this.#touch(clamp(weights.mouthClose ?? 0));
    this.face.finish();
    for (const brow of this.brows) {
      brow.add(weights);
      brow.finish();
    }
    for (const eye of this.eyes) eye.pose(weights);
    this.tongue.pose(clamp(weights.tongueOut ?? 0));
  }

  #swing(w) {
    const turn = SWING * (w.jawOpen ?? 0), sin = Math.sin(turn), cos = Math.cos(turn);
    const x = 0.11 * ((w.jawLeft ?? 0) - (w.jawRight ?? 0)), z = 0.1 * (w.jawForward ?? 0);
    const p = this.face.now;
    for (let k = 0, i = 0; k < this.share.length; k++, i += 3) {
      const s = this.share[k];
      if (!s) continue;
      const dy = p[i + 1] - HINGE.y, dz = p[i + 2] - HINGE.z;
      p[i] += s * x;
      p[i + 1] += s * (dy * cos - dz * sin - dy);
      p[i + 2] += s * (dy * sin + dz * cos - dz + z);
    }
    this.jaw.position.set(x, HINGE.y - HINGE.y * cos + HINGE.z * sin,
      HINGE.z - HINGE.y * sin - HINGE.z * cos + z);
    this.jaw.rotation.x = turn;
  }

  /** Draw the lips together by mouthClose, and push them apart where they would cross. */
  #touch(close) {
    const p = this.face.now, n = this.around, rows = Math.floor(p.length / 3 / n);
    for (let j = 1; j < n / 2; j++) {
      const gap = this.gap(j), by = gap < 0 ? gap : Math.min(gap, close * this.parted[j] + SEAL);
      if (!by) continue;
      const rim = 3 * RIM * n, up = rim + 3 * j, low = rim + 3 * (n - j);
      const back = gap > 0 ? ((p[up + 2] - p[low + 2]) * by) / gap : 0;
      for (let i = 0; i < rows; i++) {
        const a = i * n + j, b = i * n + n - j;
        if (this.reach[a] < 1e-3) break;
        p[3 * a + 1] -= 0.35 * by * this.reach[a];
        p[3 * b + 1] += 0.65 * by * this.reach[b];
        p[3 * a + 2] -= 0.3 * back * this.reach[a];
        p[3 * b + 2] += 0.7 * back * this.reach[b];
      }
    }
  }
}
