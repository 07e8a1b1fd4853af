// UDP VMC to three-vrm in headless Chromium.
//   node bridge.mjs AVATAR.vrm
// Prints {"port": N} once the avatar is loaded. When standard input closes it prints one JSON
// object a face (what three-vrm holds after Apply), then {"faces": N, "errors": [...], ...}.
import dgram from "node:dgram";
import { readFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import osc from "osc";
import { chromium } from "playwright-core";

const here = path.dirname(fileURLToPath(import.meta.url));
const types = { ".html": "text/html", ".js": "text/javascript", ".vrm": "model/gltf-binary" };
const profile = await mkdtemp(path.join(tmpdir(), "edge-chromium-"));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: [
    "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
  ],
});
const page = browser.pages()[0] ?? (await browser.newPage());
const errors = [];
page.on("pageerror", (error) => errors.push(String(error)));
page.on("console", (said) => { if (said.type() === "error") errors.push(said.text()); });
await browser.route("**/*", async (route) => {
  const { host, pathname } = new URL(route.request().url());
  const file = pathname === "/avatar.vrm" ? process.argv[2] : path.join(here, pathname);
  if (host !== "edge.invalid" || pathname === "/favicon.ico") return route.abort();
  const contentType = types[path.extname(file)] ?? "application/octet-stream";
  await route.fulfill({ body: await readFile(file), contentType });
});
await page.goto("http://edge.invalid/vrm.html");
await page.waitForFunction(() => window.ready, null, { timeout: 30000 }).catch((error) => {
  throw new Error([String(error), ...errors].join("\n"));
});

const faces = [];
const pictures = { rest: await page.evaluate(() => window.covered()), widest: 0 };
let values = [];
let widest = 0;
let done = Promise.resolve();
function apply(face) {
  done = done.then(async () => {
    const seen = await page.evaluate((given) => window.face(given), face);
    faces.push(seen);
    const open = seen.morphs.jawOpen + seen.morphs.aa;
    if (open > widest) {
      widest = open;
      pictures.widest = await page.evaluate(() => window.covered());
    }
  });
}
function take(packet) {
  if (packet.packets) return packet.packets.forEach(take);
  if (packet.address === "/VMC/Ext/Blend/Val") values.push(packet.args);
  if (packet.address === "/VMC/Ext/Blend/Apply") {
    apply(values);
    values = [];
  }
}
const socket = dgram.createSocket({ type: "udp4", recvBufferSize: 1 << 20 });
socket.on("message", (data) => take(osc.readPacket(data, {})));
socket.bind(0, "127.0.0.1", () => console.log(JSON.stringify(socket.address())));

process.stdin.resume();
process.stdin.on("end", () => setTimeout(async () => {  // what is on its way still comes in
  socket.close();
  await done;
  pictures.last = await page.evaluate(() => window.covered());
  const lines = [...faces, { faces: faces.length, errors, pictures }];
  process.stdout.write(lines.map((line) => JSON.stringify(line) + "\n").join(""));
  await browser.close();
  await rm(profile, { recursive: true, force: true });
}, 200));
