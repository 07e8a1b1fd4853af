// What makes a head somebody: hair, brows, ears, neck and collar.
import * as THREE from "three";
import { bell, mix, smooth } from "./field.js";
import { facing, shoot } from "./skull.js";

/** A grid of (rows + 1) x (cols + 1) points; `at(u, v)` gives [x, y, z] for u, v in 0..1. */
export function sheet(cols, rows, at) {
  const shape = new THREE.PlaneGeometry(1, 1, cols, rows), p = shape.attributes.position;
  for (let i = 0; i <= rows; i++)
    for (let j = 0; j <= cols; j++) p.setXYZ(i * (cols + 1) + j, ...at(j / cols, i / rows));
  shape.computeVertexNormals();
  return shape;
}

/** Hair: the skull again, a little larger, down to a line that runs above brows and ears. */
export function hair(colour) {
  const bare = [];
  const at = (u, v) => {
    const round = 2 * Math.PI * (u + 0.5), down = v * 2.35; // from a little behind the crown
    const lean = -0.25;
    const a = Math.sin(down) * Math.sin(round), b = Math.cos(down), c = Math.sin(down) * Math.cos(round);
    const dir = [a, b * Math.cos(lean) - c * Math.sin(lean), b * Math.sin(lean) + c * Math.cos(lean)];
    const p = shoot(dir);
    const front = smooth(0.1, 0.5, p.z), temple = smooth(0.35, 0.62, Math.abs(p.x));
    const line = mix(mix(-0.52, 0.0, smooth(-0.75, -0.1, p.z)), mix(0.66, 0.24, temple * 0.9), front)
      + 0.05 * bell((p.x - 0.16) / 0.22) * front;
    const above = smooth(line - 0.02, line + 0.16, p.y);
    const strands = 0.006 * Math.sin(round * 46 + 5 * Math.sin(3 * down)) + 0.004 * Math.sin(round * 83);
    const sweep = 0.05 * front * bell((p.y - line - 0.16) / 0.16);
    const thick = above * (0.085 + sweep + strands) - 0.035 * (1 - above);
    bare.push(above === 0);
    return [p.x + dir[0] * thick, p.y + dir[1] * thick, p.z + dir[2] * thick];
  };
  const shape = sheet(200, 70, at), all = [...shape.index.array], kept = [];
  for (let k = 0; k < all.length; k += 3)
    if (!bare[all[k]] || !bare[all[k + 1]] || !bare[all[k + 2]]) kept.push(...all.slice(k, k + 3));
  shape.setIndex(kept); // nothing under the face, where a cheek drawn in would show it
  return new THREE.Mesh(shape, new THREE.MeshStandardMaterial({
    color: colour, roughness: 0.55, side: THREE.DoubleSide,
  }));
}

/** A brow as points of skin {x, y, z}, to be moved like skin: rows across, columns along. */
export function browPoints(sign) {
  const points = [], cols = 30, rows = 6;
  for (let i = 0; i <= rows; i++)
    for (let j = 0; j <= cols; j++) {
      const u = j / cols, v = i / rows - 0.5;
      const thick = 0.078 * Math.sin(Math.PI * mix(0.02, 0.99, u)) ** 0.45 * mix(1, 0.5, u);
      const x = mix(0.105, 0.545, u);
      const y = 0.268 + 0.07 * Math.sin(Math.PI * u * 0.72) - 0.055 * u * u + thick * v;
      const p = facing(x, y);
      p.z += 0.016 * (1 - (2 * v) ** 2) - 0.004;
      points.push({ ...p, x: sign * p.x, mu: 3, theta: Math.PI / 2, s: 1, t: 0 });
    }
  return { points, cols, rows };
}

export function ear(sign, material) {
  const at = (u, v) => {
    const a = 2 * Math.PI * u, r = v;
    const tall = 0.21 * (1 + 0.12 * Math.sin(a)), broad = 0.125 * (1 + 0.18 * Math.sin(a));
    const rim = 0.045 * bell((r - 0.86) / 0.16), bowl = -0.035 * bell((r - 0.42) / 0.26);
    const inner = 0.022 * bell((r - 0.58) / 0.09) * smooth(-0.6, 0.6, Math.sin(a + 0.4));
    return [sign * (rim + bowl + inner - 0.07 * smooth(0.9, 1, r)), tall * r * Math.sin(a),
      broad * r * Math.cos(a)];
  };
  const one = new THREE.Mesh(sheet(48, 24, at), material);
  one.position.set(sign * 0.765, -0.06, -0.13);
  one.rotation.set(-0.12, sign * -0.42, sign * -0.1);
  return one;
}

export function neck(material, cloth) {
  const turned = (profile) => new THREE.LatheGeometry(
    new THREE.SplineCurve(profile.map(([r, y]) => new THREE.Vector2(r, y))).getPoints(40), 64);
  const throat = new THREE.Mesh(
    turned([[0.5, -1.75], [0.41, -1.5], [0.375, -1.2], [0.375, -0.9], [0.43, -0.5]]), material);
  throat.position.z = -0.12;
  throat.scale.z = 0.84;
  throat.rotation.x = 0.06;
  const collar = new THREE.Mesh(
    turned([[1.9, -2.6], [1.55, -1.95], [1.0, -1.68], [0.62, -1.56], [0.5, -1.38], [0.455, -1.3],
      [0.43, -1.33], [0.42, -1.45]]),
    new THREE.MeshStandardMaterial({ color: cloth, roughness: 0.9, side: THREE.DoubleSide }));
  collar.position.z = -0.16;
  collar.scale.set(1, 1, 0.72);
  const body = new THREE.Group();
  body.add(throat, collar);
  return body;
}
