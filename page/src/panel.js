// Bars, figures and sliders beside the head.
const $ = (id) => document.getElementById(id);
const option = (value, text = value) => Object.assign(document.createElement("option"), { value, textContent: text });

export class Panel {
  constructor(about) {
    this.names = about.names;
    this.gains = {};
    this.rows = about.names.map((name) => this.#bar(name));
    $("shape").append(...about.names.map((n) => option(n)));
    $("mood").append(option("", "none"), ...about.emotions.map((n) => option(n)));
    $("shape").onchange = () => this.choose($("shape").value);
    this.choose("jawOpen");
    this.#print();
    $("steer").addEventListener("input", () => this.#print());
  }

  /** Sliders to orders; `order(address, ...values)`. */
  steer(order) {
    const mood = () => order("/edge/emotion", $("mood").value || "neutral", $("mood").value ? Number($("much").value) : 0);
    $("mood").onchange = () => ($("mood").value ? mood() : order("/edge/emotion/auto"));
    $("much").oninput = () => $("mood").value && mood();
    $("gain").oninput = () => {
      this.gains = { ...this.gains, [$("shape").value]: Number($("gain").value) };
      order("/edge/gain", $("shape").value, Number($("gain").value));
    };
  }

  #bar(name) {
    const row = Object.assign(document.createElement("button"), { className: "bar" });
    row.innerHTML = "<span></span><i><u></u></i><span></span>";
    const [label, , number] = row.children;
    label.textContent = name;
    row.onclick = () => this.choose(name);
    $("bars").append(row);
    return { row, label, number, fill: row.querySelector("u"), shown: -1 };
  }

  choose(name) {
    $("shape").value = name;
    $("gain").value = this.gains[name] ?? 1;
    this.names.forEach((n, i) => this.rows[i].row.setAttribute("aria-pressed", n === name));
    this.#print();
  }

  #print() {
    $("muchIs").value = Number($("much").value).toFixed(2);
    $("gainIs").value = "×" + Number($("gain").value).toFixed(2);
  }

  /** Weights in the order of `names`. */
  weights(values) {
    this.rows.forEach((bar, i) => {
      const now = Math.round(values[i] * 100);
      if (now === bar.shown) return;
      bar.shown = now;
      bar.fill.style.transform = `scaleX(${now / 100})`;
      bar.number.textContent = (now / 100).toFixed(2);
    });
  }

  level(db) {
    $("level").value = db;
    $("db").textContent = `${db.toFixed(0)} dBFS`;
  }

  figures(f) {
    $("emotion").textContent = f.emotion ? `${f.emotion} ${f.emotion_strength.toFixed(2)}` : "none";
    $("mic").textContent = f.microphone;
    $("faces").textContent = `${f.faces} from audio, ${f.rested} at rest`;
    const lost = Object.entries(f.drops).filter(([, n]) => n);
    $("drops").textContent = lost.map(([why, n]) => `${n} ${why}`).join(", ") || "none";
    $("latency").textContent =
      `p50 ${f.latency_ms.p50} ms, p99 ${f.latency_ms.p99} ms, declared ${f.declared_ms} ms`;
    this.gains = f.gains;
    this.names.forEach((name, i) => {
      const { row, label } = this.rows[i], gain = f.gains[name];
      row.classList.toggle("gained", gain !== undefined);
      if (gain !== undefined) label.dataset.gain = gain.toFixed(2);
    });
    if (document.activeElement !== $("gain")) {
      $("gain").value = f.gains[$("shape").value] ?? 1;
      this.#print();
    }
    histogram($("histogram"), f.histogram);
  }
}

/** Faces by latency, logarithmic from 0.25 ms to 1 s. */
function histogram(canvas, { bounds_ms: bounds, counts }) {
  const c = canvas.getContext("2d"), { width, height } = canvas, most = Math.max(1, ...counts);
  const wide = width / bounds.length;
  c.clearRect(0, 0, width, height);
  c.fillStyle = "#4fc3b5";
  counts.forEach((n, i) => {
    const high = n ? Math.max(1, (height - 16) * (n / most)) : 0;
    c.fillRect(i * wide, height - 14 - high, wide - 0.5, high);
  });
  c.fillStyle = "#93a1b0";
  c.font = "10px system-ui, sans-serif";
  for (const ms of [1, 10, 100]) {
    const x = bounds.findIndex((b) => b >= ms) * wide;
    c.fillRect(x, height - 14, 1, 4);
    c.fillText(`${ms} ms`, x + 3, height - 3);
  }
}
