// Where the head is which colour.
import * as THREE from "three";
import { bell, smooth } from "./field.js";
import { EYE, vermilion } from "./skull.js";

const C = (text) => new THREE.Color(text);
export const SKIN = C("#d69a78"), DARK = C("#33211a");
const LIP = C("#b9564f"), BLUSH = C("#cf7f66"), WET = C("#7c2f33"), DEEP = C("#1c0709"),
  SHADE = C("#8a5540");

/** Skin away from the lips, at a point of the head. */
export function flesh(x, y, z, c = C("#fff")) {
  const m = Math.abs(x), front = smooth(0.1, 0.4, z);
  c.copy(SKIN);
  c.lerp(BLUSH, 0.55 * bell((m - 0.42) / 0.2) * bell((y + 0.24) / 0.17) * front);
  c.lerp(BLUSH, 0.5 * bell(x / 0.12) * bell((y + 0.25) / 0.1) * smooth(0.7, 0.85, z));
  const socket = bell((m - EYE.x + 0.03) / 0.2) * bell((y - EYE.y - 0.06) / 0.13);
  c.lerp(SHADE, 0.32 * socket * smooth(0.3, 0.5, z));
  c.lerp(DEEP, 0.75 * bell((m - 0.05) / 0.032) * bell((y + 0.335) / 0.026) * smooth(0.6, 0.7, z));
  return c;
}

/** RGB of every point of skin and lining. */
export function paint(points) {
  const colours = new Float32Array(points.length * 3), c = C("#fff");
  points.forEach((p, i) => {
    if (p.mu < 0) {
      c.copy(LIP).lerp(WET, smooth(0, -0.3, p.mu)).lerp(DEEP, smooth(-0.2, -0.75, p.mu));
    } else {
      const v = p.mu / vermilion(p.theta);
      flesh(p.x, p.y, p.z, c);
      c.lerp(SHADE, 0.35 * bell((p.mu - 0.5) / 0.12) * Math.max(0, -p.s) ** 2);
      c.lerp(LIP, 0.9 * smooth(1.12, 0.88, v));
      c.lerp(WET, 0.85 * bell(v / 0.1) * (p.mu < 0.1 ? 1 : 0));
    }
    c.toArray(colours, 3 * i);
  });
  return colours;
}
