// npm osc and npm node-osc, each on a port of its own: {"osc": PORT, "node-osc": PORT}, then
// [peer, address, ...arguments] a message, until standard input closes.
import osc from "osc";
import { Server } from "node-osc";

const say = (...line) => console.log(JSON.stringify(line));
const one = new osc.UDPPort({ localAddress: "127.0.0.1", localPort: 0 });
one.on("message", ({ address, args }) => say("osc", address, ...args));
one.on("error", (error) => say("osc", "error", String(error)));
const two = new Server(0, "127.0.0.1");
const flat = ({ elements }) => elements.forEach((e) => (e.elements ? flat(e) : say("node-osc", ...e)));
two.on("message", (content) => say("node-osc", ...content));
two.on("bundle", flat);
two.on("error", (error) => say("node-osc", "error", String(error)));
await Promise.all([
  new Promise((ready) => { one.on("ready", ready); one.open(); }),
  new Promise((ready) => two.on("listening", ready)),
]);
const port = (server) => (server.socket ?? server._sock).address().port;
console.log(JSON.stringify({ osc: port(one), "node-osc": port(two) }));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
