import { Head } from "./head.js";
import { Stage } from "./stage.js";
const stage = new Stage(document.getElementById("view"));
const t0 = performance.now();
const head = new Head();
window.made = performance.now() - t0;
stage.scene.add(head.object, head.body);
window.shot = (weights, { yaw = 0, pitch = 0, size = 400, far } = {}) => {
  stage.size(size, size);
  stage.aim(yaw, pitch, far);
  const t = performance.now();
  head.pose(weights);
  window.posed = performance.now() - t;
  stage.draw();
  return stage.renderer.domElement.toDataURL("image/png");
};
window.head = head;
window.stats = () => [head.face.points.length, head.face.index.length / 3];
window.ready = true;
