// A page in headless Chromium, told by lines of JSON what to do.
//   node page.mjs URL
// Each line in is {"eval": "an expression"} or {"shot": "FILE.png"}; each line out is
// {"value": ...} or {"error": "..."}. Prints {"value": "ready"} once window.edge.ready is true.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const url = process.argv[2];
const PATIENCE = 90000; // ms: a browser without a graphics card on a busy machine
const profile = await mkdtemp(path.join(tmpdir(), "edge-chromium-"));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  timeout: PATIENCE,
  viewport: { width: 1180, height: 760 },
  args: [
    "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--autoplay-policy=no-user-gesture-required",
  ],
});
const page = browser.pages()[0] ?? (await browser.newPage());
page.setDefaultTimeout(PATIENCE);
const errors = [];
const elsewhere = [];
page.on("pageerror", (error) => errors.push(String(error)));
page.on("console", (said) => { if (said.type() === "error") errors.push(said.text()); });
page.on("request", (asked) => {
  if (!/^(data|blob):/.test(asked.url()) && !asked.url().startsWith(url)) elsewhere.push(asked.url());
});
const answer = (value) => console.log(JSON.stringify(value));
await page.goto(url);
await page.waitForFunction(() => window.edge?.ready, null, { timeout: PATIENCE, polling: 100 })
  .then(() => answer({ value: "ready" }))
  .catch((error) => answer({ error: [String(error), ...errors].join("\n") }));

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  try {
    if (order.eval) answer({ value: (await page.evaluate(order.eval)) ?? null });
    else if (order.shot) answer({ value: (await page.screenshot({ path: order.shot })).length });
    else answer({ value: { errors, elsewhere } });
  } catch (error) {
    answer({ error: String(error) });
  }
}
await browser.close();
await rm(profile, { recursive: true, force: true });
