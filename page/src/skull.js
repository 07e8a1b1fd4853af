// The head at rest: a signed distance, and the grid of skin about the mouth that is shot onto it.
//
// x is the character's left, y up, z forward; 1 is about 10 cm. The grid is made of confocal
// ellipses about the slit between the corners of the mouth (elliptic coordinates mu, theta), so its
// first ring is the lip line, open between upper and lower, and its last a point behind the head.
import { bell, carve, clamp, ellipsoid, join, mix, rod, smooth } from "./field.js";

export const EYE = { x: 0.32, y: 0.03, z: 0.485, ball: 0.178, lid: 0.194,
  corner: 0.74, out: 0.16 }; // rad: from the middle of the opening to its corners; that it looks outwards
const DOWN = 0.155; // rad to the mouth
const FOCUS = 0.3; // rad: half the width of the mouth
const AROUND = 208;
export const RIM = 6; // rings of lining inside the mouth come first
const LINING = [[0.1, -0.42], [0.15, -0.3], [0.135, -0.17], [0.075, -0.09], [0.035, -0.045],
  [0.012, -0.018]]; // away from the lip line, forward

/** Signed distance to the skin, mouth shut and without lips. */
export function skull(x, y, z) {
  const m = Math.abs(x);
  let d = ellipsoid(m, y, z, [0, 0.38, -0.16], [0.75, 0.8, 0.9]);
  d = join(d, ellipsoid(m, y, z, [0, -0.2, 0.14], [0.58, 0.74, 0.6]), 0.25);
  d = join(d, ellipsoid(m, y, z, [0.29, -0.46, 0.12], [0.21, 0.33, 0.4]), 0.24);
  d = join(d, ellipsoid(m, y, z, [0, -0.62, 0.42], [0.3, 0.29, 0.3]), 0.25);
  d = join(d, ellipsoid(m, y, z, [0.4, -0.2, 0.42], [0.2, 0.17, 0.18]), 0.2);
  d = join(d, ellipsoid(m, y, z, [0, -0.845, 0.62], [0.14, 0.095, 0.105]), 0.18);
  d = carve(d, ellipsoid(m, y, z, [0.3, 0.01, 0.82], [0.19, 0.12, 0.15]), 0.2);
  d = join(d, rod(m, y, z, [0.1, 0.2, 0.68], [0.45, 0.22, 0.5], 0.06, 0.05), 0.16);
  d = join(d, ellipsoid(m, y, z, [EYE.x, EYE.y, EYE.z], [0.187, 0.187, 0.187]), 0.08);
  d = join(d, rod(m, y, z, [0, 0.1, 0.64], [0, -0.24, 0.86], 0.055, 0.075), 0.1);
  d = join(d, ellipsoid(m, y, z, [0, -0.25, 0.87], [0.085, 0.075, 0.08]), 0.06);
  // A slope under the nose rather than a ledge, which rays from inside would miss.
  d = join(d, rod(m, y, z, [0, -0.27, 0.84], [0, -0.37, 0.735], 0.05, 0.03), 0.06);
  d = join(d, rod(m, y, z, [0.09, -0.27, 0.78], [0.07, -0.35, 0.7], 0.052, 0.03), 0.05);
  d = join(d, ellipsoid(m, y, z, [0.098, -0.27, 0.785], [0.056, 0.055, 0.085]), 0.06);
  return d;
}

/** Where a ray inside the head hits the skin. It starts low, to see the nose from below, or high. */
export function shoot([dx, dy, dz]) {
  const oy = mix(-0.42, 0.3, smooth(0.05, 0.85, dy));
  let r = 1.9;
  for (let i = 0; i < 200; i++) {
    const d = skull(r * dx, oy + r * dy, r * dz);
    if (d < 2e-5) break;
    r -= d * 0.7;
  }
  return { x: r * dx, y: oy + r * dy, z: r * dz };
}

/** The point of skin that is seen at x, y from the front. */
export function facing(x, y) {
  let z = 1.3;
  for (let i = 0; i < 80; i++) z -= Math.max(1e-4, skull(x, y, z) * 0.7);
  return { x, y, z };
}

/** Unit direction of a point of the map that is centred on the mouth (azimuthal equidistant). */
export function direction(u, v) {
  const far = Math.hypot(u, v), s = far > 1e-9 ? Math.sin(far) / far : 1;
  const x = s * u, y = s * v, z = Math.cos(far);
  return [x, y * Math.cos(DOWN) - z * Math.sin(DOWN), y * Math.sin(DOWN) + z * Math.cos(DOWN)];
}

/** Rings are closest at the lips, and close about nose and eyes. */
const fine = (mu) => mix(0.016, mix(mix(0.03, 0.07, smooth(2, 2.6, mu)), 0.012,
  bell((mu - 1.4) / 0.42)), smooth(0.35, 0.6, mu));

function rings() {
  const mus = [];
  for (let mu = 0; FOCUS * Math.cosh(mu) < 2.9; mu += fine(mu))
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

/** Forward that the lips add to the skull, at mu and theta. */
function lips(mu, theta) {
  const s = Math.sin(theta), upper = s > 0;
  const v = mu / vermilion(theta);
  const full = (upper ? 0.05 : 0.064) * Math.abs(s) ** 0.7;
  const bulge = full * (bell((v - 0.5) / 0.55) - 0.42 * bell(v / 0.26));
  const ridge = 0.012 * Math.abs(s) * bell((v - 1.05) / 0.3);
  const mound = 0.035 * bell(mu / 0.5) * (0.35 + 0.65 * Math.abs(s)); // the teeth behind
  const fold = upper ? 0 : -0.035 * bell((mu - 0.55) / 0.16) * s * s;
  const philtrum = upper ? -0.014 * bell(Math.cos(theta) / 0.09) * bell((mu - 0.42) / 0.2) : 0;
  return bulge + ridge + mound + fold + philtrum;
}

/** The lip line: not quite straight, and its corners a little down. */
const seam = (t) => 0.006 * bell((Math.abs(t) - 0.25) / 0.2) - 0.014 * t * t;

/**
 * The skin as {points, index, around}: points row by row, `RIM` rows of lining, then the lip line.
 * A point has x, y, z, mu, theta, s and t (sine and cosine of theta); lining has mu < 0.
 */
export function skin() {
  const points = [];
  const mus = rings();
  const at = (mu, theta) => {
    const u = FOCUS * Math.cosh(mu) * Math.cos(theta), v = FOCUS * Math.sinh(mu) * Math.sin(theta);
    const p = shoot(direction(u, v));
    makeWay(p);
    p.z += lips(mu, theta);
    p.y += seam(Math.cos(theta)) * bell(mu / 0.5);
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
  points.push({ ...rim[0], x: 0, z: 0.36, mu: -1, s: 0 });
  points.push({ ...shoot(direction(Math.PI, 0)), mu: 4, theta: 0, s: 0, t: 1 });
  return { points, index: weave(points, rows), around: AROUND };
}

function weave(points, rows) {
  const index = [];
  for (let i = 0; i < rows - 1; i++)
    for (let j = 0; j < AROUND; j++) {
      const a = i * AROUND + j, b = i * AROUND + ((j + 1) % AROUND), c = a + AROUND, d = b + AROUND;
      // Diagonals mirrored, so that both halves of the face are shaded alike.
      if (j < AROUND / 4 || j >= (3 * AROUND) / 4) index.push(a, c, b, b, c, d);
      else index.push(a, c, d, a, d, b);
    }
  const last = (rows - 1) * AROUND;
  for (let j = 0; j < AROUND; j++) {
    const next = (j + 1) % AROUND;
    index.push(last + j, points.length - 1, last + next, next, points.length - 2, j);
  }
  return index;
}

/** Behind the opening of the lids the skin is drawn in, so that the ball shows. */
function makeWay(p) {
  const x = Math.abs(p.x) - EYE.x, y = p.y - EYE.y, z = p.z - EYE.z;
  if (z < 0) return;
  const side = Math.atan2(x, z) - EYE.out, up = Math.atan2(y, z);
  const far = Math.hypot(side / (EYE.corner + 0.05), (up - 0.1) / 0.5);
  const r = Math.hypot(x, y, z);
  const near = smooth(1.8, 1.1, far) * smooth(0.28, 0.21, r);
  const to = mix(1, (EYE.ball - 0.02) / r, near);
  if (to >= 1) return;
  p.x += Math.sign(p.x) * x * (to - 1);
  p.y += y * (to - 1);
  p.z += z * (to - 1);
}

/** How much of the jaw's motion a point of skin takes, 0..1. */
export function jawShare(p) {
  // Along the lip line nearly all or nothing, over the cheeks little by little.
  const side = Math.sign(p.s) * Math.abs(p.s) ** mix(0.45, 1.4, smooth(0, 0.7, p.mu));
  return (0.5 - 0.5 * side) * smooth(-0.55, 0.15, p.z) * smooth(0.0, -0.3, p.y);
}
