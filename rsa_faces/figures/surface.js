// A surface that can be turned. The page has read `data` already.
const points = new Float32Array(bytes(data.points)), faces = new Uint32Array(bytes(data.faces));
const colors = new Uint8Array(bytes(data.colors)), values = new Float32Array(bytes(data.values));
const n = points.length / 3;
const canvas = document.createElement("canvas");
canvas.tabIndex = 0;
canvas.setAttribute("aria-label", document.title);
stage.append(canvas);
const gl = canvas.getContext("webgl", { antialias: true, preserveDrawingBuffer: true });

// A normal for each vertex: the sum over its triangles.
const normals = new Float32Array(points.length);
for (let f = 0; f < faces.length; f += 3) {
  const [a, b, c] = [3 * faces[f], 3 * faces[f + 1], 3 * faces[f + 2]];
  const u = [0, 1, 2].map((k) => points[b + k] - points[a + k]);
  const v = [0, 1, 2].map((k) => points[c + k] - points[a + k]);
  const w = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
  for (const i of [a, b, c]) for (let k = 0; k < 3; k++) normals[i + k] += w[k];
}

let turn, zoom = 1;
// Rows: what is right, up and towards the reader.
const views = {
  left: [[0, -1, 0], [0, 0, 1], [-1, 0, 0]], right: [[0, 1, 0], [0, 0, 1], [1, 0, 0]],
  top: [[1, 0, 0], [0, 1, 0], [0, 0, 1]], bottom: [[-1, 0, 0], [0, 1, 0], [0, 0, -1]],
  front: [[-1, 0, 0], [0, 0, 1], [0, 1, 0]], back: [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
};

function compiled(kind, text) {
  const shader = gl.createShader(kind);
  gl.shaderSource(shader, text);
  gl.compileShader(shader);
  return shader;
}

function prepare() {
  // More than 65,535 vertices need this.
  gl.getExtension("OES_element_index_uint");
  const program = gl.createProgram();
  gl.attachShader(program, compiled(gl.VERTEX_SHADER, `
    attribute vec3 point, normal, color; uniform mat3 turn; uniform vec2 scale; varying vec3 shade;
    void main() {
      vec3 at = turn * point;
      gl_Position = vec4(at.xy * scale, -0.4 * at.z, 1.0);
      // Light from the reader; both sides alike, whichever way triangles run.
      shade = color * (0.45 + 0.55 * abs(normalize(turn * normal).z));
    }`));
  gl.attachShader(program, compiled(gl.FRAGMENT_SHADER, `
    precision mediump float; varying vec3 shade;
    void main() { gl_FragColor = vec4(shade, 1.0); }`));
  gl.linkProgram(program);
  gl.useProgram(program);
  const fill = (name, array, type, normalized) => {
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, array, gl.STATIC_DRAW);
    const place = gl.getAttribLocation(program, name);
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, 3, type, normalized, 0, 0);
  };
  fill("point", points, gl.FLOAT, false);
  fill("normal", normals, gl.FLOAT, false);
  fill("color", colors, gl.UNSIGNED_BYTE, true);
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, faces, gl.STATIC_DRAW);
  gl.enable(gl.DEPTH_TEST);
  gl.clearColor(1, 1, 1, 1);
  return program;
}

function scales() {
  const [w, h] = [canvas.clientWidth, canvas.clientHeight], side = 0.92 * zoom * Math.min(w, h);
  return [side / w, side / h];
}

function draw() {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * ratio;
  canvas.height = canvas.clientHeight * ratio;
  gl.viewport(0, 0, canvas.width, canvas.height);
  gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  const columns = [0, 1, 2].flatMap((k) => turn.map((row) => row[k]));
  gl.uniformMatrix3fv(gl.getUniformLocation(program, "turn"), false, columns);
  gl.uniform2fv(gl.getUniformLocation(program, "scale"), scales());
  gl.drawElements(gl.TRIANGLES, faces.length, gl.UNSIGNED_INT, 0);
}

function turned(x, y) {
  const [c, s, d, t] = [Math.cos(x), Math.sin(x), Math.cos(y), Math.sin(y)];
  const [right, up, near] = turn;
  const side = right.map((v, k) => c * v + s * near[k]);
  const front = near.map((v, k) => c * v - s * right[k]);
  turn = [side, up.map((v, k) => d * v - t * front[k]), front.map((v, k) => d * v + t * up[k])];
}

function pointed(x, y) {
  // Of the vertices near the pointer the one nearest to the reader.
  const [sx, sy] = scales(), [w, h] = [canvas.clientWidth / 2, canvas.clientHeight / 2];
  let best = -1, depth = -Infinity;
  for (let i = 0; i < n; i++) {
    const p = [points[3 * i], points[3 * i + 1], points[3 * i + 2]];
    const at = turn.map((row) => row[0] * p[0] + row[1] * p[1] + row[2] * p[2]);
    const away = Math.hypot(w * (1 + sx * at[0]) - x, h * (1 - sy * at[1]) - y);
    if (away < 6 && at[2] > depth) [best, depth] = [i, at[2]];
  }
  if (best < 0) return;
  show(`vertex ${best}: ${meaning(values[best])}`);
}

show("Drag to turn, scroll to come nearer, point at the surface for its value.");
const program = gl ? prepare() : null;
if (!gl) show("This browser draws no WebGL; the map cannot be shown.");
else {
  for (const name of Object.keys(views)) {
    const button = document.createElement("button");
    button.textContent = name;
    button.onclick = () => { turn = views[name]; draw(); };
    document.getElementById("views").append(button, " ");
  }
  let from = null;
  canvas.onpointerdown = (e) => { from = [e.offsetX, e.offsetY]; canvas.setPointerCapture(e.pointerId); };
  canvas.onpointerup = () => { from = null; };
  canvas.onpointermove = (e) => {
    if (!from) return pointed(e.offsetX, e.offsetY);
    turned(-(e.offsetX - from[0]) / 150, -(e.offsetY - from[1]) / 150);
    from = [e.offsetX, e.offsetY];
    draw();
  };
  canvas.addEventListener("wheel", (e) => {
    e.preventDefault();
    zoom = Math.min(8, Math.max(0.5, zoom * Math.exp(-e.deltaY / 600)));
    draw();
  }, { passive: false });
  canvas.onkeydown = (e) => {
    const steps = { ArrowLeft: [0.2, 0], ArrowRight: [-0.2, 0], ArrowUp: [0, 0.2], ArrowDown: [0, -0.2] };
    if (e.key in steps) { turned(...steps[e.key]); draw(); e.preventDefault(); }
  };
  window.onresize = draw;
  turn = views[data.view];
  draw();
}
