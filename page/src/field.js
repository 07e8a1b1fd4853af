// Scalars in space: smooth steps, bumps and the signed distances that the head is sculpted from.

export const clamp = (x, low = 0, high = 1) => Math.min(high, Math.max(low, x));
export const mix = (a, b, t) => a + (b - a) * t;
export const smooth = (low, high, x) => {
  const t = clamp((x - low) / (high - low));
  return t * t * (3 - 2 * t);
};
/** 1 at 0, 0.37 at 1, flat at both ends. */
export const bell = (x) => Math.exp(-x * x);
/** A bell about a point, with its own width along each axis. */
export const blob = (p, [x, y, z], [a, b, c]) =>
  Math.exp(-(((p.x - x) / a) ** 2) - ((p.y - y) / b) ** 2 - ((p.z - z) / c) ** 2);

/** Union, rounded over k (Quilez, "Smooth minimum", quadratic polynomial). */
export const join = (a, b, k) => {
  const h = Math.max(k - Math.abs(a - b), 0) / k;
  return Math.min(a, b) - (h * h * k) / 4;
};
/** a without b, rounded over k. */
export const carve = (a, b, k) => -join(-a, b, k);

/** Distance to an ellipsoid, good near its surface. */
export function ellipsoid(x, y, z, [cx, cy, cz], [a, b, c]) {
  const px = (x - cx) / a, py = (y - cy) / b, pz = (z - cz) / c;
  const k0 = Math.hypot(px, py, pz);
  const k1 = Math.hypot(px / a, py / b, pz / c);
  return k1 ? (k0 * (k0 - 1)) / k1 : -Math.min(a, b, c);
}
/** Distance to a rod between two points, r thick at one end and s at the other. */
export function rod(x, y, z, [ax, ay, az], [bx, by, bz], r, s) {
  const dx = bx - ax, dy = by - ay, dz = bz - az;
  const t = clamp(
    ((x - ax) * dx + (y - ay) * dy + (z - az) * dz) / (dx * dx + dy * dy + dz * dz),
  );
  return Math.hypot(x - ax - t * dx, y - ay - t * dy, z - az - t * dz) - mix(r, s, t);
}
