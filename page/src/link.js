// The web socket to edge-run: newest face in, OSC out. Opens again by itself; rests while hidden.
import { message } from "./osc.js";

const AGAIN = 1000; // ms

export class Link {
  /** `face(Float32Array)`, `figures(object)` and `state(text)` are called as things come. */
  constructor({ face, figures, state }) {
    Object.assign(this, { face, figures, state, waiting: new Map() });
    document.addEventListener("visibilitychange", () =>
      document.hidden ? this.socket?.close() : this.open());
    this.open();
    setInterval(() => this.#flush(), 50);
  }

  open() {
    if (document.hidden || (this.socket && this.socket.readyState <= WebSocket.OPEN)) return;
    const socket = (this.socket = new WebSocket(`ws://${location.host}/live`));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.state("live");
    socket.onmessage = ({ data }) =>
      typeof data === "string" ? this.figures(JSON.parse(data)) : this.face(new Float32Array(data));
    socket.onclose = () => {
      this.state("no connection");
      setTimeout(() => this.open(), AGAIN);
    };
  }

  /** Ask edge-run for something; of what comes faster than 20 a second the newest is sent. */
  order(address, ...values) {
    this.waiting.set(address + (address === "/edge/gain" ? values[0] : ""), [address, ...values]);
  }

  #flush() {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    for (const order of this.waiting.values()) this.socket.send(message(...order));
    this.waiting.clear();
  }
}
