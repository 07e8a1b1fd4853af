// src/ to one script beside its page, for the Python package: `npm ci && npm run build`.
import { build } from "esbuild";
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";

const out = new URL(process.argv[2] ? `file://${process.argv[2]}/` : "../edge/preview/page/", import.meta.url);
const here = new URL(".", import.meta.url).pathname;
await mkdir(out, { recursive: true });
const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: ["src/main.js"],
  outfile: new URL("app.js", out).pathname,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none", // LICENSES.txt has them whole
  metafile: true,
});
for (const name of ["index.html", "style.css"])
  await copyFile(`${here}src/${name}`, new URL(name, out));

// Every package of which something went into the bundle, with its licence.
const packages = new Set(
  Object.keys(metafile.inputs).flatMap((p) => /^node_modules\/((@[^/]+\/)?[^/]+)/.exec(p)?.[1] ?? []),
);
let text = "app.js contains parts of these packages.\n";
for (const name of [...packages].sort()) {
  const root = `${here}node_modules/${name}/`;
  const { version, license } = JSON.parse(await readFile(`${root}package.json`));
  const full = await readFile(`${root}LICENSE`, "utf8").catch(() => license);
  text += `\n== ${name} ${version}\n\n${full.trim()}\n`;
}
await writeFile(new URL("LICENSES.txt", out), text);
