// What Khronos' validator and three.js make of a GLB file: issues, and each shape at a time in s.
import fs from "node:fs";
import { validateBytes } from "gltf-validator";
import { AnimationMixer } from "three";
import { GLTFLoader } from "three/examples/jsm/loaders/GLTFLoader.js";

const [path, time] = process.argv.slice(2);
const bytes = new Uint8Array(fs.readFileSync(path));
const { issues } = await validateBytes(bytes);
const gltf = await new GLTFLoader().parseAsync(bytes.buffer, "");
const face = gltf.scene.getObjectByName("face");
const mixer = new AnimationMixer(gltf.scene);
mixer.clipAction(gltf.animations[0]).play();
mixer.setTime(Number(time));
const shapes = Object.entries(face.morphTargetDictionary);
const weights = shapes.map(([name, at]) => [name, face.morphTargetInfluences[at]]);
console.log(JSON.stringify({ issues: issues.messages, weights: Object.fromEntries(weights) }));
