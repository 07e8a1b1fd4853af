// What each of ARKit's shapes does to a point of skin: {x, y, z, mu, theta, s, t} to [dx, dy, dz].
//
// The jaw turns and shifts (head.js), lids and balls have their own (eyes.js): here is the skin that
// muscles move. Sided shapes are written for the left, +x, and mirrored for the right.
import { bell, blob, clamp, smooth } from "./field.js";

const HALF = 0.25; // of the mouth's width
// Lining follows the lips less and less towards the throat.
const lip = (p) => (p.mu < 0 ? bell(p.mu / 0.4) : bell(p.mu / 0.42));
const wide = (p) => (p.mu < 0 ? bell(p.mu / 0.55)
  : bell(p.mu / 0.72) * smooth(-0.29, -0.42, p.y)); // the nose stays

const upper = (p) => Math.max(0, p.s) * lip(p);
const lower = (p) => Math.max(0, -p.s) * lip(p);
const left = (p) => smooth(-0.1, 0.12, p.x);
/** Rises from the middle of the mouth to its left corner. */
const corner = (p) => clamp(p.x / HALF) ** 1.6 * wide(p) * smooth(-0.02, 0.05, p.x);
/** Narrows the mouth: x of the lips drawn in, less in the middle. */
const narrow = (p, by) => -by * p.x * wide(p);
const cheek = (p) => blob(p, [0.4, -0.28, 0.5], [0.2, 0.17, 0.3]);
const brow = (p, x, w = 0.16) => blob(p, [x, 0.27, 0.62], [w, 0.17, 0.3]);
/** Where the red ends. */
const border = (p) => bell((p.mu - 0.24) / 0.13);
const red = (p) => bell(p.mu / 0.24); // the red of the lips alone

const SIDED = {
  mouthSmile: (p) => {
    const c = corner(p), k = cheek(p), flat = red(p) * left(p);
    const arc = c * Math.sqrt(c + 1e-9); // the lip line bends rather than folds
    return [0.14 * c + 0.015 * k, 0.175 * arc + 0.05 * k + 0.01 * flat, -0.08 * c + 0.055 * k - 0.012 * flat];
  },
  mouthFrown: (p) => {
    const c = corner(p) * (p.y < -0.3 ? 1 : 0.9);
    return [0.02 * c, -0.14 * c, -0.015 * c];
  },
  mouthDimple: (p) => {
    const c = corner(p), pit = blob(p, [0.34, -0.5, 0.6], [0.06, 0.09, 0.2]);
    return [0.075 * c, 0.02 * c, -0.07 * c - 0.075 * pit];
  },
  mouthStretch: (p) => {
    const c = corner(p), thin = red(p) * left(p);
    return [0.15 * c, -0.05 * c - 0.014 * thin * Math.sign(p.s), -0.05 * c - 0.015 * thin];
  },
  mouthPress: (p) => {
    const r = red(p) * left(p), c = corner(p);
    return [0.035 * c, -0.04 * left(p) * p.s * border(p), -0.085 * r * Math.abs(p.s) - 0.02 * c];
  },
  mouthLowerDown: (p) => {
    const l = lower(p) * blob(p, [0.13, -0.56, 0.7], [0.16, 0.5, 9]);
    return [0.02 * l, -0.125 * l, -0.01 * l];
  },
  mouthUpperUp: (p) => {
    const u = upper(p) * blob(p, [0.13, -0.5, 0.7], [0.16, 0.5, 9]);
    const fold = blob(p, [0.22, -0.33, 0.7], [0.1, 0.12, 0.2]);
    return [0.01 * u, 0.12 * u + 0.02 * fold, 0.015 * u + 0.02 * fold];
  },
  noseSneer: (p) => {
    const ala = blob(p, [0.1, -0.26, 0.8], [0.085, 0.09, 0.15]);
    const side = blob(p, [0.13, -0.12, 0.7], [0.09, 0.12, 0.2]);
    const fold = blob(p, [0.2, -0.33, 0.7], [0.1, 0.12, 0.2]);
    const inner = blob(p, [0.1, 0.2, 0.7], [0.11, 0.1, 0.2]);
    const creases = side * 0.022 * Math.sin((p.y + 0.9 * p.x) * 62);
    const u = upper(p) * blob(p, [0.17, -0.5, 0.7], [0.14, 0.5, 9]);
    return [0.03 * ala, 0.075 * ala + 0.045 * side + 0.04 * fold - 0.045 * inner + 0.06 * u,
      0.01 * ala + 0.025 * side + creases + 0.03 * fold + 0.02 * u];
  },
  cheekSquint: (p) => {
    const k = blob(p, [0.36, -0.2, 0.55], [0.2, 0.13, 0.3]);
    const out = blob(p, [0.52, 0.02, 0.42], [0.07, 0.12, 0.2]) * Math.sin((p.y - 0.02) * 70);
    return [0, 0.12 * k, 0.085 * k + 0.008 * out];
  },
  browDown: (p) => {
    const b = brow(p, 0.24, 0.24), inner = brow(p, 0.08, 0.09);
    return [-0.035 * b, -0.11 * b - 0.04 * inner, 0.035 * b + 0.02 * inner];
  },
  browOuterUp: (p) => {
    const b = brow(p, 0.42, 0.17);
    return [0, 0.14 * b, 0.005 * b];
  },
  eyeSquint: (p) => {
    const under = blob(p, [0.33, -0.13, 0.6], [0.17, 0.07, 0.2]);
    const above = blob(p, [0.33, 0.2, 0.6], [0.17, 0.08, 0.2]);
    return [0, 0.045 * under - 0.025 * above, 0.02 * under];
  },
  eyeWide: (p) => {
    const b = brow(p, 0.3, 0.2);
    return [0, 0.03 * b, 0];
  },
};

const WHOLE = {
  mouthFunnel: (p) => {
    const out = 0.12 * lip(p) * (0.4 + 0.6 * Math.abs(p.s));
    const grown = 0.03 * p.s * border(p);
    return [narrow(p, 0.42), 0.038 * upper(p) - 0.05 * lower(p) + grown, out];
  },
  mouthPucker: (p) => {
    const grown = 0.035 * p.s * border(p); // the red pouts, the lips stay shut
    return [narrow(p, 0.56), grown, 0.16 * lip(p) * (0.45 + 0.55 * Math.abs(p.s))];
  },
  mouthLeft: (p) => [0.15 * wide(p), 0.012 * wide(p) * clamp(p.x / HALF, -1, 1), 0],
  mouthRight: (p) => [-0.15 * wide(p), -0.012 * wide(p) * clamp(p.x / HALF, -1, 1), 0],
  mouthRollLower: (p) => {
    const s = Math.max(0, -p.s);
    return [0, 0.05 * s * border(p), -0.11 * s * red(p)];
  },
  mouthRollUpper: (p) => {
    const s = Math.max(0, p.s);
    return [0, -0.042 * s * border(p), -0.085 * s * red(p)];
  },
  mouthShrugLower: (p) => {
    const l = lower(p), chin = blob(p, [0, -0.76, 0.7], [0.18, 0.13, 0.3]);
    const dimples = chin * 0.0035 * Math.sin(p.x * 60) * Math.sin(p.y * 60);
    return [0, 0.075 * l + 0.06 * chin + 0.06 * upper(p), 0.055 * l + 0.035 * chin + dimples];
  },
  mouthShrugUpper: (p) => {
    const u = upper(p), n = bell((p.mu - 0.45) / 0.25) * Math.max(0, p.s);
    return [0, 0.055 * u + 0.01 * n, 0.07 * u];
  },
  browInnerUp: (p) => {
    const m = { ...p, x: Math.abs(p.x) };
    const b = brow(m, 0.06, 0.17);
    const lines = 0.008 * blob(m, [0, 0.5, 0.7], [0.3, 0.13, 0.4]) * Math.sin(p.y * 68);
    return [0, 0.15 * b, 0.01 * b + lines];
  },
  cheekPuff: (p) => {
    const m = { ...p, x: Math.abs(p.x) };
    const k = blob(m, [0.38, -0.44, 0.42], [0.22, 0.23, 0.36]);
    const over = 0.03 * bell((p.mu - 0.35) / 0.22) * (p.mu > 0 ? 1 : 0);
    return [0.14 * k * clamp(p.x / 0.12, -1, 1), 0, 0.13 * k + over];
  },
};

/** Name to displacement, for every shape that moves skin. */
export const SKIN_SHAPES = { ...WHOLE };
for (const [name, move] of Object.entries(SIDED)) {
  SKIN_SHAPES[name + "Left"] = move;
  SKIN_SHAPES[name + "Right"] = (p) => {
    const [x, y, z] = move({ ...p, x: -p.x, t: -p.t });
    return [-x, y, z];
  };
}
