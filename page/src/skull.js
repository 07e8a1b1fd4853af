// The head at rest: a signed distance, and the grid of skin about the mouth that is shot onto it.
//
// x is the character's left, y up, z forward; 1 is about 10 cm. The grid is made of confocal
// ellipses about the slit between the corners of the mouth (elliptic coordinates mu, theta), so its
// first ring is the lip line, open between upper and lower, and its last a point behind the head.
import { bell, carve, clamp, ellipsoid, join, mix, rod, smooth } from "./field.js";

export const EYE = { x: 0.315, y: 0.03, z: 0.5, ball: 0.172, lid: 0.188 };
const ORIGIN = [0, -0.16, 0];
const DOWN = 0.475; // rad from ORIGIN to the mouth
const FOCUS = 0.3; // rad: half the width of the mouth
const AROUND = 192;
export const RIM = 6; // rings of lining inside the mouth come first
const LINING = [[0.1, -0.5], [0.16, -0.3], [0.135, -0.17], [0.075, -0.09], [0.035, -0.045],
  [0.012, -0.018]]; // away from the lip line, forward

/** Signed distance to the skin, mouth shut and without lips. */
export function skull(x, y, z) {
  const m = Math.abs(x);
  let d = ellipsoid(m, y, z, [0, 0.38, -0.16], [0.75, 0.8, 0.9]);
  d = join(d, ellipsoid(m, y, z, [0, -0.2, 0.14], [0.58, 0.74, 0.6]), 0.25);
  d = join(d, ellipsoid(m, y, z, [0.34, -0.46, 0.1], [0.24, 0.36, 0.4]), 0.22);
  d = join(d, ellipsoid(m, y, z, [0, -0.62, 0.4], [0.33, 0.3, 0.3]), 0.25);
  d = join(d, ellipsoid(m, y, z, [0.4, -0.2, 0.42], [0.2, 0.17, 0.18]), 0.2);
  d = join(d, ellipsoid(m, y, z, [0, -0.84, 0.57], [0.15, 0.1, 0.11]), 0.16);
  d = carve(d, ellipsoid(m, y, z, [0.3, 0.0, 0.82], [0.2, 0.15, 0.18]), 0.2);
  d = join(d, rod(m, y, z, [0.1, 0.2, 0.68], [0.45, 0.22, 0.5], 0.06, 0.05), 0.16);
  d = join(d, ellipsoid(m, y, z, [EYE.x, EYE.y, EYE.z], [0.181, 0.181, 0.181]), 0.07);
  d = join(d, rod(m, y, z, [0, 0.1, 0.64], [0, -0.24, 0.86], 0.055, 0.075), 0.1);
  d = join(d, ellipsoid(m, y, z, [0, -0.255, 0.875], [0.085, 0.075, 0.08]), 0.05);
  d = join(d, ellipsoid(m, y, z, [0.098, -0.275, 0.785], [0.058, 0.055, 0.085]), 0.045);
  d = carve(d, ellipsoid(m, y, z, [0.052, -0.335, 0.835], [0.026, 0.022, 0.04]), 0.025);
  return d;
}

/** How far from ORIGIN the skin is along a unit direction. */
export function depth(dx, dy, dz) {
  const at = (r) => skull(ORIGIN[0] + r * dx, ORIGIN[1] + r * dy, ORIGIN[2] + r * dz);
  let r = 1.9;
  for (let i = 0; i < 60; i++) {
    const d = at(r);
    if (d < 2e-4) break;
    r -= d * 0.7;
  }
  return r;
}
export const onRay = (dx, dy, dz, r) => ({
  x: ORIGIN[0] + r * dx, y: ORIGIN[1] + r * dy, z: ORIGIN[2] + r * dz,
});

/** Unit direction of a point of the map that is centred on the mouth (azimuthal equidistant). */
export function direction(u, v) {
  const far = Math.hypot(u, v), s = far > 1e-9 ? Math.sin(far) / far : 1;
  const x = s * u, y = s * v, z = Math.cos(far);
  return [x, y * Math.cos(DOWN) - z * Math.sin(DOWN), y * Math.sin(DOWN) + z * Math.cos(DOWN)];
}

function rings() {
  const mus = [];
  for (let mu = 0; FOCUS * Math.cosh(mu) < 2.9; mu += mix(0.016, 0.036, smooth(0.35, 0.6, mu)))
    mus.push(mu);
  return mus;
}

/** Where the red of the lips ends, in mu. */
export function vermilion(theta) {
  const t = Math.cos(theta), s = Math.abs(Math.sin(theta));
  const bow = 1 + 0.16 * bell((Math.abs(t) - 0.2) / 0.17) - 0.16 * bell(t / 0.1);
  const high = Math.sin(theta) > 0 ? 0.215 * bow : 0.285;
  return high * (0.12 + 0.88 * s ** 0.8);
}

/** Forward and up that the lips add to the skull, at mu and theta. */
function lips(mu, theta) {
  const s = Math.sin(theta), upper = s > 0;
  const v = mu / vermilion(theta);
  const full = (upper ? 0.062 : 0.078) * Math.abs(s) ** 0.7;
  const bulge = full * (bell((v - 0.5) / 0.55) - 0.55 * bell(v / 0.3));
  const ridge = 0.012 * Math.abs(s) * bell((v - 1.05) / 0.3);
  const mound = 0.05 * bell(mu / 0.5) * (0.35 + 0.65 * Math.abs(s)); // the teeth behind
  const fold = upper ? 0 : -0.035 * bell((mu - 0.55) / 0.16) * s * s;
  const philtrum = upper ? -0.014 * bell(Math.cos(theta) / 0.09) * bell((mu - 0.42) / 0.2) : 0;
  return [bulge + ridge + mound + fold + philtrum, upper ? 0.004 * s : 0];
}

/** The lip line: not quite straight, and its corners a little down. */
const seam = (t) => 0.012 * bell((Math.abs(t) - 0.3) / 0.22) - 0.01 * bell(t / 0.13) - 0.006 * t * t;

/**
 * The skin as {points, index, around}: points row by row, `RIM` rows of lining, then the lip line.
 * A point has x, y, z, mu, theta, s and t (sine and cosine of theta); lining has mu < 0.
 */
export function skin() {
  const points = [];
  const mus = rings();
  const at = (mu, theta) => {
    const u = FOCUS * Math.cosh(mu) * Math.cos(theta), v = FOCUS * Math.sinh(mu) * Math.sin(theta);
    const dir = direction(u, v);
    const p = onRay(...dir, depth(...dir));
    const [out, up] = lips(mu, theta);
    p.z += out;
    p.y += up + seam(Math.cos(theta)) * bell(mu / 0.5);
    return { ...p, mu, theta, s: Math.sin(theta), t: Math.cos(theta) };
  };
  const rim = [];
  for (let j = 0; j < AROUND; j++) rim.push(at(0, (2 * Math.PI * j) / AROUND));
  for (const [k, [away, forth]] of LINING.entries())
    for (const p of rim) {
      const s = Math.sign(p.s) * Math.abs(p.s) ** 0.5;
      points.push({ ...p, x: p.x * (0.86 + 0.023 * k), y: p.y + away * s, z: p.z + forth,
        mu: -(RIM - k) / RIM });
    }
  points.push(...rim);
  for (const mu of mus.slice(1))
    for (let j = 0; j < AROUND; j++) points.push(at(mu, (2 * Math.PI * j) / AROUND));
  const rows = RIM + mus.length;
  const back = direction(Math.PI, 0);
  points.push({ ...onRay(...back, depth(...back)), mu: 4, theta: 0, s: 0, t: 1 });
  return { points, index: weave(points, rows), around: AROUND };
}

function weave(points, rows) {
  const index = [];
  for (let i = 0; i < rows - 1; i++)
    for (let j = 0; j < AROUND; j++) {
      const a = i * AROUND + j, b = i * AROUND + ((j + 1) % AROUND), c = a + AROUND, d = b + AROUND;
      if (![a, b, c, d].every((k) => inEye(points[k]))) index.push(a, c, b, b, c, d);
    }
  const last = (rows - 1) * AROUND;
  for (let j = 0; j < AROUND; j++)
    index.push(last + j, points.length - 1, last + ((j + 1) % AROUND));
  return index;
}

/** Behind the lids there is no skin, so that the ball shows between them. */
function inEye(p) {
  const x = Math.abs(p.x) - EYE.x, y = p.y - EYE.y;
  return p.z > EYE.z && (x / 0.15) ** 2 + (y / 0.11) ** 2 < 1;
}

/** How much of the jaw's motion a point of skin takes, 0..1. */
export function jawShare(p) {
  const side = p.mu < 0.02 ? p.s : clamp(p.s * (1 + 1.2 * clamp(p.mu)), -1, 1);
  return (0.5 - 0.5 * side) * smooth(-0.55, 0.15, p.z);
}
