// Teeth, gums and tongue. The upper row stays with the skull, the lower row and tongue with the jaw.
import * as THREE from "three";
import { clamp, mix, smooth } from "./field.js";

const IVORY = "#e9e0d4", GUM = "#9c4f50", TONGUE = "#b25554"; // darker than life: lips shade them
const WIDTHS = [0.062, 0.05, 0.054, 0.052, 0.05, 0.06]; // from the middle

/** A rounded box about its own middle. */
function tooth(w, h, d) {
  const shape = new THREE.SphereGeometry(1, 14, 12), at = shape.attributes.position;
  const soft = (v, p) => Math.sign(v) * Math.abs(v) ** p;
  for (let i = 0; i < at.count; i++)
    at.setXYZ(i, (soft(at.getX(i), 0.5) * w) / 2, (soft(at.getY(i), 0.55) * h) / 2,
      (soft(at.getZ(i), 0.6) * d) / 2);
  shape.computeVertexNormals();
  return shape;
}

/** One row of teeth in its gum; `up` is 1 for the upper row. */
export function teeth(up, z, y) {
  const row = new THREE.Group();
  const white = new THREE.MeshStandardMaterial({ color: IVORY, roughness: 0.35 });
  const narrow = up > 0 ? 1 : 0.82;
  const place = (far) => [0.225 * narrow * Math.sin(far), z - 0.3 * (1 - Math.cos(far))];
  for (const side of [-1, 1]) {
    let far = 0;
    WIDTHS.forEach((w, k) => {
      const wide = w * narrow, high = (up > 0 ? [0.1, 0.088, 0.1] : [0.08, 0.08, 0.085])[k] ?? 0.075;
      far += wide / 2 / (0.24 * narrow);
      const [x, back] = place(far);
      const one = new THREE.Mesh(tooth(wide * 1.02, high, 0.045), white);
      one.position.set(side * x, y + (up * high) / 2, back);
      one.rotation.y = side * far * 0.95;
      row.add(one);
      far += wide / 2 / (0.24 * narrow);
    });
  }
  const gum = new THREE.CatmullRomCurve3(Array.from({ length: 25 }, (_, i) => {
    const far = (i / 12 - 1) * 1.5, [x, back] = place(far);
    return new THREE.Vector3(x, y + up * 0.095, back - 0.012);
  }));
  row.add(new THREE.Mesh(new THREE.TubeGeometry(gum, 48, 0.036, 8),
    new THREE.MeshStandardMaterial({ color: GUM, roughness: 0.4 })));
  return row;
}

/** A tongue from its root (z back) to its tip, as a tube around a bent spine. */
export class Tongue {
  static LONG = 28;
  static ROUND = 20;

  constructor(root) {
    this.root = root; // {y, z} of the end in the throat
    const { LONG, ROUND } = Tongue, index = [];
    for (let i = 0; i < LONG; i++)
      for (let j = 0; j < ROUND; j++) {
        const a = i * ROUND + j, b = i * ROUND + ((j + 1) % ROUND);
        index.push(a, b, a + ROUND, b, b + ROUND, a + ROUND);
      }
    const shape = new THREE.BufferGeometry();
    const at = new THREE.BufferAttribute(new Float32Array((LONG + 1) * ROUND * 3), 3);
    shape.setAttribute("position", at);
    shape.setIndex(index);
    this.mesh = new THREE.Mesh(shape, new THREE.MeshStandardMaterial({
      color: TONGUE, roughness: 0.62, side: THREE.DoubleSide,
    }));
    this.pose(0);
  }

  /** `out` 0..1 from lying behind the teeth to hanging over the lower lip. */
  pose(out) {
    if (out === this.out) return;
    this.out = out;
    const { LONG, ROUND } = Tongue, at = this.mesh.geometry.attributes.position;
    const long = mix(0.45, 0.94, out);
    for (let i = 0; i <= LONG; i++) {
      const k = i / LONG, far = k * long;
      const past = Math.max(0, far - 0.6); // beyond the lip it hangs
      const z = this.root.z + far - 0.75 * past * out - 0.0 * k;
      const y = this.root.y + 0.05 * Math.sin(Math.PI * clamp(far / 0.6)) + mix(0, 0.055, out * smooth(0.3, 0.6, far))
        - 0.75 * past * out;
      const round = Math.sqrt(clamp(1 - ((k - 0.0) / 1) ** 6));
      const wide = mix(0.15, 0.13, k) * round, thick = mix(0.07, 0.03, k) * round;
      for (let j = 0; j < ROUND; j++) {
        const a = (2 * Math.PI * j) / ROUND, s = Math.sin(a);
        const groove = s > 0 ? 0.018 * Math.exp(-((Math.cos(a) / 0.3) ** 2)) * round : 0;
        const lean = past > 0 ? clamp(past * out * 5) : 0; // the slice turns as the spine bends
        const off = s * thick - groove;
        at.setXYZ(i * ROUND + j, wide * Math.cos(a), y + off * (1 - 0.35 * lean), z + off * 0.6 * lean);
      }
    }
    at.needsUpdate = true;
    this.mesh.geometry.computeVertexNormals();
  }
}
