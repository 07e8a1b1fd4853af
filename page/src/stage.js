// Camera, light and picture.
import * as THREE from "three";

export class Stage {
  constructor(canvas) {
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true, preserveDrawingBuffer: true });
    this.renderer.toneMapping = THREE.ACESFilmicToneMapping;
    this.renderer.toneMappingExposure = 1.05;
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(22, 1, 0.1, 50);
    this.look = new THREE.Vector3(0, -0.06, 0.1);
    const light = (colour, power, x, y, z) => {
      const one = new THREE.DirectionalLight(colour, power);
      one.position.set(x, y, z);
      this.scene.add(one);
    };
    this.scene.background = new THREE.Color("#2b3440");
    this.scene.add(new THREE.HemisphereLight("#dfe9ff", "#6b4a3a", 1.0));
    light("#fff1e0", 2.1, -2.2, 2.6, 4);
    light("#cfe0ff", 0.7, 3, 0.6, 3);
    light("#ffffff", 1.3, 1.5, 2.5, -4);
    this.aim(0, 0);
  }

  /** Draw if something changed since the last picture: a page that shows a still costs nothing. */
  refresh() {
    if (this.stale) this.draw();
  }

  /** Turn about the head, in radians. */
  aim(yaw, pitch, far = 7.2) {
    this.camera.position.set(far * Math.sin(yaw) * Math.cos(pitch), far * Math.sin(pitch),
      far * Math.cos(yaw) * Math.cos(pitch)).add(this.look);
    this.camera.lookAt(this.look);
    this.stale = true;
  }

  size(wide, high, ratio = 1) {
    this.renderer.setPixelRatio(ratio);
    this.renderer.setSize(wide, high, false);
    this.camera.aspect = wide / high;
    this.camera.updateProjectionMatrix();
    this.stale = true;
  }

  draw() {
    this.renderer.render(this.scene, this.camera);
    this.stale = false;
  }
}
