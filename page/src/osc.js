// An OSC 1.0 message: what the page asks for goes the way of every other controller.
const text = new TextEncoder();

const padded = (bytes) => {
  const out = new Uint8Array((Math.floor(bytes.length / 4) + 1) * 4);
  out.set(bytes);
  return out;
};

/** Address and values (strings, or numbers as float32) to bytes. */
export function message(address, ...values) {
  const tags = "," + values.map((v) => (typeof v === "string" ? "s" : "f")).join("");
  const parts = [address, tags].map((s) => padded(text.encode(s)));
  for (const v of values) {
    if (typeof v === "string") parts.push(padded(text.encode(v)));
    else {
      const four = new Uint8Array(4);
      new DataView(four.buffer).setFloat32(0, v);
      parts.push(four);
    }
  }
  const whole = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  parts.reduce((at, p) => (whole.set(p, at), at + p.length), 0);
  return whole;
}
