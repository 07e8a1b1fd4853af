// The user's own avatar: a VRM with expressions or a GLB with morph targets, by ARKit name.
import * as THREE from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { VRMLoaderPlugin, VRMUtils } from "@pixiv/three-vrm";

const plain = (name) => name.toLowerCase().replace(/^.*\./, "").replace(/_l$/, "left").replace(/_r$/, "right")
  .replace(/[^a-z]/g, "");

/** Bytes of a file to an avatar; an Error says what is wrong with it. */
export async function open(bytes, names) {
  const loader = new GLTFLoader();
  loader.register((parser) => new VRMLoaderPlugin(parser));
  const gltf = await loader.parseAsync(bytes, "");
  const vrm = gltf.userData.vrm;
  if (vrm) VRMUtils.rotateVRM0(vrm);
  const avatar = new Avatar(vrm?.scene ?? gltf.scene, vrm, names);
  if (!avatar.known.length) {
    avatar.dispose();
    throw new Error("it has none of the 52 ARKit shapes, neither as expressions nor as morph targets");
  }
  return avatar;
}

class Avatar {
  constructor(object, vrm, names) {
    this.object = new THREE.Group();
    this.object.add(object);
    this.vrm = vrm;
    const wanted = new Map(names.map((n) => [n.toLowerCase(), n]));
    this.expressions = new Map(); // ARKit name -> the avatar's own
    for (const name of Object.keys(vrm?.expressionManager?.expressionMap ?? {}))
      if (wanted.has(plain(name))) this.expressions.set(wanted.get(plain(name)), name);
    this.morphs = []; // [ARKit name, mesh, index]
    object.traverse((mesh) => {
      mesh.frustumCulled = false;
      for (const [name, i] of Object.entries(mesh.morphTargetDictionary ?? {}))
        if (wanted.has(plain(name)) && !this.expressions.has(wanted.get(plain(name))))
          this.morphs.push([wanted.get(plain(name)), mesh, i]);
    });
    this.known = [...new Set([...this.expressions.keys(), ...this.morphs.map(([n]) => n)])];
    this.neck = vrm?.humanoid?.getNormalizedBoneNode("head");
    this.#fit();
  }

  /** Scale and place it so that its head is where ours is. */
  #fit() {
    this.object.updateWorldMatrix(true, true);
    const box = new THREE.Box3().setFromObject(this.object, true);
    const high = box.max.y - box.min.y, head = this.vrm?.humanoid?.getNormalizedBoneNode("head");
    const bottom = head ? head.getWorldPosition(new THREE.Vector3()).y : high > 3 * (box.max.x - box.min.x)
      ? box.max.y - high / 7 : box.min.y;
    const scale = 2.3 / Math.max(1e-6, box.max.y - bottom);
    const middle = box.getCenter(new THREE.Vector3());
    this.object.scale.setScalar(scale);
    this.object.position.set(-middle.x * scale, 1.15 - box.max.y * scale, -middle.z * scale);
  }

  pose(weights) {
    for (const [name, own] of this.expressions)
      this.vrm.expressionManager.setValue(own, weights[name] ?? 0);
    for (const [name, mesh, i] of this.morphs) mesh.morphTargetInfluences[i] = weights[name] ?? 0;
    this.vrm?.update(1 / 60);
  }

  turn(pitch, yaw, roll) {
    (this.neck ?? this.object).rotation.set(pitch, yaw, roll);
  }

  dispose() {
    VRMUtils.deepDispose(this.object);
  }
}
