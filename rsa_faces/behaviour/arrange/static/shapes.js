// The practice trial: coloured shapes, drawn here.

const SPACE = "http://www.w3.org/2000/svg";
const COLORS = { red: "#c62828", blue: "#1565c0", green: "#2e7d32" };

export const PRACTICE = [
  ["circle", "red"], ["square", "blue"], ["triangle", "red"],
  ["circle", "blue"], ["square", "green"], ["triangle", "green"],
].map(([shape, color]) => ({ id: `${color}-${shape}`, shape, color }));

export function drawShape({ shape, color }) {
  const svg = document.createElementNS(SPACE, "svg");
  svg.setAttribute("viewBox", "0 0 100 100");
  const [name, attributes] = {
    circle: ["circle", { cx: 50, cy: 50, r: 44 }],
    square: ["rect", { x: 10, y: 10, width: 80, height: 80 }],
    triangle: ["polygon", { points: "50,6 96,90 4,90" }],
  }[shape];
  const drawn = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries({ ...attributes, fill: COLORS[color] })) {
    drawn.setAttribute(key, value);
  }
  svg.append(drawn);
  return svg;
}
