// Three slices through a point. The page has read `data` already.
const grid = { ...data.grid, values: new Float32Array(bytes(data.grid.values)) };
const codes = new Uint8Array(bytes(data.codes));
const under = { ...data.under, gray: new Uint8Array(bytes(data.under.gray)) };
const names = ["x", "y", "z"], across = [1, 0, 0], up = [2, 2, 1];
const at = [...data.start];
const edge = (g, k) => [g.origin[k] - g.step[k] / 2, g.origin[k] + (g.shape[k] - 0.5) * g.step[k]];
const index = (g, k, mm) => Math.round((mm - g.origin[k]) / g.step[k]);
const inside = (g, k, i) => i >= 0 && i < g.shape[k];

// The slice of a grid as a picture of one pixel per voxel.
function picture(g, along, paint) {
  const i = index(g, along, at[along]), [a, b] = [across[along], up[along]];
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [g.shape[a], g.shape[b]];
  if (!inside(g, along, i)) return canvas;
  const context = canvas.getContext("2d"), pixels = context.createImageData(g.shape[a], g.shape[b]);
  const stride = [g.shape[1] * g.shape[2], g.shape[2], 1];
  for (let v = 0; v < g.shape[b]; v++) {
    for (let u = 0; u < g.shape[a]; u++) {
      const color = paint(i * stride[along] + u * stride[a] + v * stride[b]);
      if (color) pixels.data.set([...color, 255], 4 * ((g.shape[b] - 1 - v) * g.shape[a] + u));
    }
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

const panes = names.map((name, along) => {
  const figure = document.createElement("figure"), canvas = document.createElement("canvas");
  const caption = document.createElement("figcaption"), slider = document.createElement("input");
  Object.assign(slider, { type: "range", min: grid.origin[along], step: grid.step[along],
    max: grid.origin[along] + (grid.shape[along] - 1) * grid.step[along], value: at[along] });
  slider.setAttribute("aria-label", `${name} in mm`);
  slider.oninput = () => { at[along] = Number(slider.value); draw(); };
  canvas.onpointerdown = (e) => { canvas.setPointerCapture(e.pointerId); moved(along, e); };
  canvas.onpointermove = (e) => { if (e.buttons) moved(along, e); };
  figure.append(canvas, caption, slider);
  stage.append(figure);
  return { canvas, caption, slider };
});

// Where a slice lies in its canvas: pixels per mm, left and lower edge.
function placed(along) {
  const { canvas } = panes[along], [a, b] = [edge(grid, across[along]), edge(grid, up[along])];
  const [w, h] = [canvas.clientWidth, canvas.clientHeight];
  const scale = 0.96 * Math.min(w / (a[1] - a[0]), h / (b[1] - b[0]));
  return { scale, left: w / 2 - scale * (a[0] + a[1]) / 2, low: h / 2 + scale * (b[0] + b[1]) / 2 };
}

function moved(along, e) {
  const { scale, left, low } = placed(along);
  for (const [k, mm] of [[across[along], (e.offsetX - left) / scale], [up[along], (low - e.offsetY) / scale]]) {
    // The middle of the voxel.
    const i = Math.min(grid.shape[k] - 1, Math.max(0, index(grid, k, mm)));
    at[k] = grid.origin[k] + i * grid.step[k];
  }
  draw();
}

function draw() {
  const ratio = window.devicePixelRatio || 1;
  panes.forEach(({ canvas, caption, slider }, along) => {
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = canvas.clientHeight * ratio;
    const context = canvas.getContext("2d"), { scale, left, low } = placed(along);
    const [a, b] = [across[along], up[along]];
    context.scale(ratio, ratio);
    const put = (g, paint) => {
      const [x, y] = [edge(g, a), edge(g, b)];
      context.drawImage(picture(g, along, paint), left + scale * x[0], low - scale * y[1],
        scale * (x[1] - x[0]), scale * (y[1] - y[0]));
    };
    context.imageSmoothingEnabled = data.smooth;
    put(under, (i) => under.gray[i] ? [under.gray[i], under.gray[i], under.gray[i]] : null);
    context.imageSmoothingEnabled = false;
    put(grid, (i) => codes[i] ? data.palette[codes[i] - 1] : null);
    context.strokeStyle = "#0a6cff";
    context.lineWidth = 0.6;
    const [x, y] = [left + scale * at[a], low - scale * at[b]];
    context.beginPath();
    context.moveTo(x, 0); context.lineTo(x, canvas.clientHeight);
    context.moveTo(0, y); context.lineTo(canvas.clientWidth, y);
    context.stroke();
    context.fillStyle = "#222";
    context.font = "13px sans-serif";
    context.fillText(along ? "L" : "P", 2, canvas.clientHeight - 4);
    context.fillText(along ? "R" : "A", canvas.clientWidth - 12, canvas.clientHeight - 4);
    caption.textContent = `${names[along]} = ${Number(at[along].toFixed(1))} mm`;
    slider.value = at[along];
  });
  const i = [0, 1, 2].map((k) => index(grid, k, at[k]));
  const value = grid.values[(i[0] * grid.shape[1] + i[1]) * grid.shape[2] + i[2]];
  const where = at.map((mm) => Number(mm.toFixed(1))).join(", ");
  show(`${where} mm: ${meaning(value)}. Click or drag to go elsewhere.`);
}

window.onresize = draw;
draw();
