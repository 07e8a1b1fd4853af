// One lip-sync package of npm over many clips: node peers.mjs PEER FOLDER JOBS.json OUT.json
//
// FOLDER holds node_modules. JOBS is {id: 16-bit mono WAV}. OUT becomes {id: {fps, first, names,
// frames}}: frame k is shown at first + k / fps seconds and holds a weight for each name. Packages
// that want a browser's audio get stand-ins of what they call, each pushed as fast as it goes.
import fs from 'node:fs';
import path from 'node:path';
import vm from 'node:vm';

const FPS = 60;
const WEB_RATE = 48000;
const [peer, folder, jobsPath, outPath] = process.argv.slice(2);
const inside = (name) => path.join(path.resolve(folder), 'node_modules', name);

function readWav(file) {
  const bytes = fs.readFileSync(file);
  let rate = 0;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const id = bytes.toString('ascii', at, at + 4);
    const length = bytes.readUInt32LE(at + 4);
    if (id === 'fmt ') rate = bytes.readUInt32LE(at + 12);
    if (id === 'data') {
      const samples = new Float32Array(length / 2);
      for (let i = 0; i < samples.length; i++) samples[i] = bytes.readInt16LE(at + 8 + 2 * i) / 32768;
      return { samples, rate };
    }
    at += 8 + length + (length & 1);
  }
  throw new Error(`${file}: no data`);
}

function resample({ samples, rate }, wanted) {
  const out = new Float32Array(Math.floor((samples.length * wanted) / rate));
  for (let i = 0; i < out.length; i++) {
    const t = (i * rate) / wanted;
    const k = Math.floor(t);
    out[i] = (samples[k] ?? 0) * (k + 1 - t) + (samples[k + 1] ?? 0) * (t - k);
  }
  return out;
}

// What a browser's audio thread does: blocks of 128, and a picture 60 times a second.
function pushBlocks(samples, process, look) {
  const frames = [];
  let next = WEB_RATE / FPS;
  for (let i = 0; i + 128 <= samples.length; i += 128) {
    process(samples.subarray(i, i + 128), i / WEB_RATE);
    if (i + 128 >= next) {
      frames.push(look());
      next += WEB_RATE / FPS;
    }
  }
  return frames;
}

async function headaudio() {
  globalThis.AudioWorkletNode = class {
    constructor() {
      this.port = { postMessage() {}, onmessage: null };
      this.parameters = new Map();
    }
  };
  const at = inside('@met4citizen/headaudio');
  const { Processor } = await import(`${at}/modules/processor.mjs`);
  const { HeadAudio } = await import(`${at}/modules/headaudio.mjs`);
  const { Training } = await import(`${at}/modules/training.mjs`);
  const file = fs.readFileSync(`${at}/dist/model-en-mixed.bin`);
  const buffer = file.buffer.slice(file.byteOffset, file.byteOffset + file.length);
  globalThis.fetch = async () => ({ ok: true, arrayBuffer: async () => buffer });
  const { model } = await new Training().loadModel('model');
  return async (wav) => {
    const node = new HeadAudio({});
    const names = [...node.visemeNames];
    const now = Object.fromEntries(names.map((n) => [n, 0]));
    node.onvalue = (name, value) => (now[name] = value);
    const port = { postMessage: (data) => node._onmessage({ data }) };
    const processor = new Processor({ sampleRate: WEB_RATE }, { port });
    processor._onmessage({ data: { event: 'model', model } });
    const frames = pushBlocks(
      resample(wav, WEB_RATE),
      (block) => processor.process(block),
      () => (node.update(1000 / FPS), names.map((n) => now[n])),
    );
    return { names, frames };
  };
}

async function wlipsync() {
  let Worklet;
  globalThis.AudioWorkletProcessor = class {
    constructor() {
      this.port = { postMessage() {} };
    }
  };
  globalThis.AudioWorkletNode = class {
    constructor() {
      this.port = {};
    }
  };
  globalThis.registerProcessor = (_, found) => (Worklet = found);
  globalThis.sampleRate = WEB_RATE;
  globalThis.currentTime = 0;
  const at = inside('wlipsync/dist');
  const wasmModule = await WebAssembly.compile(fs.readFileSync(`${at}/wlipsync.wasm`));
  const profile = JSON.parse(fs.readFileSync(path.join(folder, 'wlipsync_profile.json')));
  vm.runInThisContext(fs.readFileSync(`${at}/audio-processor.js`, 'utf8'));
  const { WLipSyncAudioNode } = await import(`${at}/wlipsync.js`);
  return async (wav) => {
    const node = new WLipSyncAudioNode({ currentTime: 0 }, profile, wasmModule);
    const worklet = new Worklet({ processorOptions: { wasmModule, profile } });
    worklet.port.postMessage = (data) => node.onMessage({ data });
    await new Promise((done) => setTimeout(done, 50)); // it compiles in the background
    const names = Object.keys(node.weights);
    const frames = pushBlocks(
      resample(wav, WEB_RATE),
      (block, seconds) => {
        globalThis.currentTime = seconds;
        worklet.process([[block]], [], { blockSize: [512] });
      },
      () => names.map((n) => node.weights[n] * node.volume),
    );
    return { names, frames };
  };
}

function fft(re, im) {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [re[i], re[j]] = [re[j], re[i]];
      [im[i], im[j]] = [im[j], im[i]];
    }
  }
  for (let length = 2; length <= n; length <<= 1) {
    for (let i = 0; i < n; i += length) {
      for (let k = 0; k < length / 2; k++) {
        const c = Math.cos((-2 * Math.PI * k) / length);
        const s = Math.sin((-2 * Math.PI * k) / length);
        const u = i + k;
        const v = u + length / 2;
        const real = re[v] * c - im[v] * s;
        const imag = re[v] * s + im[v] * c;
        re[v] = re[u] - real;
        im[v] = im[u] - imag;
        re[u] += real;
        im[u] += imag;
      }
    }
  }
}

async function wawa() {
  let heard = new Float32Array(0);
  let position = 0;
  let milliseconds = 0;
  // An AnalyserNode as the WebAudio specification has it: Blackman window, smoothing 0.8.
  class Analyser {
    set fftSize(n) {
      this.size = n;
      this.frequencyBinCount = n / 2;
      this.smooth = new Float32Array(n / 2);
    }
    connect() {}
    getByteFrequencyData(bytes) {
      const n = this.size;
      const re = new Float64Array(n);
      const im = new Float64Array(n);
      for (let i = 0; i < n; i++) {
        const phase = (2 * Math.PI * i) / n;
        const window = 0.42 - 0.5 * Math.cos(phase) + 0.08 * Math.cos(2 * phase);
        re[i] = (heard[position - n + i] ?? 0) * window;
      }
      fft(re, im);
      for (let i = 0; i < n / 2; i++) {
        this.smooth[i] = 0.8 * this.smooth[i] + (0.2 * Math.hypot(re[i], im[i])) / n;
        const db = 20 * Math.log10(this.smooth[i] + 1e-12);
        bytes[i] = Math.max(0, Math.min(255, (255 / 70) * (db + 100)));
      }
    }
  }
  globalThis.window = {
    AudioContext: class {
      sampleRate = WEB_RATE;
      createAnalyser() {
        return new Analyser();
      }
    },
  };
  globalThis.performance = { now: () => milliseconds };
  const { Lipsync } = await import(`${inside('wawa-lipsync')}/dist/wawa-lipsync.es.js`);
  return async (wav) => {
    heard = resample(wav, WEB_RATE);
    const lipsync = new Lipsync();
    const shown = [];
    for (let k = 0; k < Math.floor((heard.length / WEB_RATE) * FPS); k++) {
      position = Math.floor(((k + 1) * WEB_RATE) / FPS);
      milliseconds = ((k + 1) * 1000) / FPS;
      lipsync.processAudio();
      shown.push(lipsync.viseme);
    }
    const names = [...new Set(shown)];
    // Its demo moves half the way to the new viseme at each picture.
    const now = names.map(() => 0);
    const frames = shown.map((viseme) => {
      names.forEach((n, i) => (now[i] += ((n === viseme ? 1 : 0) - now[i]) * 0.5));
      return [...now];
    });
    return { names, frames };
  };
}

async function rhubarb() {
  const { Rhubarb } = await import(`${inside('rhubarb-lip-sync-wasm')}/dist/index.js`);
  await Rhubarb.getModule();
  const names = [...'ABCDEFGHX'];
  return async (wav) => {
    const samples = resample(wav, 16000);
    const pcm = Buffer.alloc(samples.length * 2);
    samples.forEach((v, i) => {
      pcm.writeInt16LE(Math.max(-32768, Math.min(32767, Math.round(v * 32767))), 2 * i);
    });
    const { mouthCues } = await Rhubarb.getLipSync(pcm, { dialogText: '' });
    const frames = [];
    for (let k = 0; k < Math.floor((samples.length / 16000) * FPS); k++) {
      const seconds = (k + 1) / FPS;
      const cue = mouthCues.find((c) => c.start <= seconds && seconds < c.end);
      frames.push(names.map((n) => (n === (cue?.value ?? 'X') ? 1 : 0)));
    }
    return { names, frames };
  };
}

const follow = await { headaudio, wlipsync, wawa, rhubarb }[peer]();
const jobs = JSON.parse(fs.readFileSync(jobsPath));
const out = {};
for (const [id, wav] of Object.entries(jobs)) {
  const { names, frames } = await follow(readWav(wav));
  const rounded = frames.map((f) => f.map((v) => +v.toFixed(4)));
  out[id] = { fps: FPS, first: 1 / FPS, names, frames: rounded };
}
fs.writeFileSync(outPath, JSON.stringify(out));
process.exit(0); // wasm threads of some packages would keep node alive
