// The plane of two columns: thresholds by slider or number, a brush, and the clause that says what is counted.
// Counts are taken from the very numbers that the clause writes, so that both mean the same neurons.
const byId = (id) => document.getElementById(id);
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
const xs = new Float64Array(bytes(given.x)), ys = new Float64Array(bytes(given.y));
const groups = new Uint8Array(bytes(given.groups));
const state = { x: given.max_x, y: given.max_y, brush: null, scale: { x: "log", y: "log" } };
const canvas = byId("plane"), pen = canvas.getContext("2d");

const extent = (values, limit) => {
  let low = Infinity, high = -Infinity;
  for (const value of values) if (Number.isFinite(value)) { low = Math.min(low, value); high = Math.max(high, value); }
  if (low > high) { low = 0; high = 1; }
  if (Number.isFinite(limit)) { low = Math.min(low, limit); high = Math.max(high, limit); }
  return low === high ? [low - 1, high + 1] : [low, high];
};
const range = { x: extent(xs, given.max_x), y: extent(ys, given.max_y) };

// A number as the language of diets reads it: the shortest text that means exactly this double.
const text = (value) => (Math.abs(value) >= 2 ** 53 ? value.toExponential() : String(value === 0 ? 0 : value));
const rounded = (value) => Number(value.toPrecision(4));

const bend = (axis, value) => (state.scale[axis] === "lin" ? value : Math.asinh(value));
const unbend = (axis, value) => (state.scale[axis] === "lin" ? value : Math.sinh(value));
const ends = (axis) => {
  const [low, high] = range[axis].map((value) => bend(axis, value)), margin = 0.04 * (high - low);
  return [low - margin, high + margin];
};
const box = () => ({ left: 58, top: 10, right: canvas.clientWidth - 10, bottom: canvas.clientHeight - 40 });
const toPixel = (axis, value) => {
  const [low, high] = ends(axis), at = (bend(axis, value) - low) / (high - low), area = box();
  return axis === "x" ? area.left + at * (area.right - area.left) : area.bottom - at * (area.bottom - area.top);
};
const toValue = (axis, pixel) => {
  const [low, high] = ends(axis), area = box();
  const at = axis === "x" ? (pixel - area.left) / (area.right - area.left) : (area.bottom - pixel) / (area.bottom - area.top);
  return unbend(axis, low + Math.min(1, Math.max(0, at)) * (high - low));
};

// -- what is selected --------------------------------------------------------------------------------------------------
// NaN answers every comparison with false, as an unknown neuron is not kept.
const regionOf = (i) => {
  const x = xs[i], y = ys[i];
  if (Number.isNaN(x) || Number.isNaN(y)) return "unknown";
  return x <= state.x ? (y <= state.y ? "low" : "neither") : y <= state.y ? "neither" : "high";
};
const isSelected = (i) => {
  const b = state.brush;
  if (b) return b.x0 <= xs[i] && xs[i] <= b.x1 && b.y0 <= ys[i] && ys[i] <= b.y1;
  return regionOf(i) === byId("region").value;
};
const clause = () => {
  const b = state.brush, { name_x: x, name_y: y } = given, [a, c] = [text(state.x), text(state.y)];
  if (b) return text(b.x0) + " <= " + x + " <= " + text(b.x1) + " and " + text(b.y0) + " <= " + y + " <= " + text(b.y1);
  if (byId("region").value === "low") return x + " <= " + a + " and " + y + " <= " + c;
  if (byId("region").value === "high") return x + " > " + a + " and " + y + " > " + c;
  return "(" + x + " <= " + a + " and " + y + " > " + c + ") or (" + x + " > " + a + " and " + y + " <= " + c + ")";
};
const yaml = (where) =>
  "diet: 1\nname: from-the-plane\nstatistics: {window: train}\nmissing: exclude\nneurons:\n  where: " +
  (/[:#'"@]/.test(where) ? JSON.stringify(where) : where) + "\n";

// -- drawing -----------------------------------------------------------------------------------------------------------
const colours = ["#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9", "#8c6d31", "#7b6cc4", "#b2182b",
  "#4d9221", "#01665e", "#c51b7d", "#878787", "#d6a51f", "#9aa3ad"];
const colourOf = (group) => colours[Math.min(group, colours.length - 1)];
// Drawn in an order that mixes the groups, so that the last one does not lie over all others.
const place = (i) => Math.imul(i + 1, 2654435761) >>> 0;
const order = Array.from(groups.keys()).sort((a, b) => place(a) - place(b));

const ticks = (axis) => {
  const [low, high] = ends(axis).map((value) => unbend(axis, value)), found = [];
  if (state.scale[axis] === "lin") {
    const raw = (high - low) / 6, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].find((factor) => factor * power >= raw) * power;
    for (let at = Math.ceil(low / step) * step; at <= high; at += step) found.push(Number(at.toPrecision(8)));
    return found;
  }
  const big = Math.max(Math.abs(low), Math.abs(high), 10), fine = bend(axis, high) - bend(axis, low) < 1.5;
  if (fine) for (let at = -9; at <= 9; at++) if (at / 10 >= low && at / 10 <= high && at) found.push(at / 10);
  if (low <= 0 && high >= 0) found.push(0);
  for (let power = 1; power <= big; power *= 10)
    for (const factor of big > 2000 ? [1] : [1, 3]) for (const sign of [-1, 1]) {
      const at = sign * factor * power;
      if (at >= low && at <= high) found.push(at);
    }
  return found;
};

let waiting = false;
const draw = () => {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; paint(); });
};
const paint = () => {
  const ratio = window.devicePixelRatio || 1, style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink"), soft = style.getPropertyValue("--soft"), rule = style.getPropertyValue("--rule");
  canvas.width = canvas.clientWidth * ratio;
  canvas.height = canvas.clientHeight * ratio;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  const area = box();
  pen.font = "12px system-ui, sans-serif";
  pen.lineWidth = 1;
  for (const at of ticks("x")) {
    const px = toPixel("x", at);
    pen.strokeStyle = rule; pen.beginPath(); pen.moveTo(px, area.top); pen.lineTo(px, area.bottom); pen.stroke();
    pen.fillStyle = soft; pen.textAlign = "center"; pen.fillText(at, px, area.bottom + 15);
  }
  for (const at of ticks("y")) {
    const py = toPixel("y", at);
    pen.strokeStyle = rule; pen.beginPath(); pen.moveTo(area.left, py); pen.lineTo(area.right, py); pen.stroke();
    pen.fillStyle = soft; pen.textAlign = "right"; pen.fillText(at, area.left - 5, py + 4);
  }
  pen.fillStyle = ink; pen.textAlign = "center";
  pen.fillText(given.label_x, (area.left + area.right) / 2, area.bottom + 34);
  pen.save(); pen.translate(13, (area.top + area.bottom) / 2); pen.rotate(-Math.PI / 2); pen.fillText(given.label_y, 0, 0); pen.restore();
  const many = xs.length > 5000, size = many ? 2 : 4, byGroup = byId("colour").value === "group";
  for (const selected of [false, true]) {
    for (const i of order) {
      if (!Number.isFinite(xs[i]) || !Number.isFinite(ys[i]) || isSelected(i) !== selected) continue;
      pen.globalAlpha = selected ? 0.8 : byGroup ? 0.22 : 0.45;
      pen.fillStyle = byGroup ? colourOf(groups[i]) : selected ? colours[0] : "#9aa3ad";
      const px = toPixel("x", xs[i]), py = toPixel("y", ys[i]);
      if (many) pen.fillRect(px - 1, py - 1, size, size);
      else { pen.beginPath(); pen.arc(px, py, size / 1.6, 0, 7); pen.fill(); }
    }
  }
  pen.globalAlpha = 1;
  pen.strokeStyle = ink;
  pen.setLineDash([5, 4]);
  pen.beginPath();
  pen.moveTo(toPixel("x", state.x), area.top); pen.lineTo(toPixel("x", state.x), area.bottom);
  pen.moveTo(area.left, toPixel("y", state.y)); pen.lineTo(area.right, toPixel("y", state.y));
  pen.stroke();
  pen.setLineDash([]);
  const b = state.brush;
  if (b) {
    const [left, top] = [toPixel("x", b.x0), toPixel("y", b.y1)];
    pen.strokeStyle = colours[1]; pen.lineWidth = 1.5;
    pen.strokeRect(left, top, toPixel("x", b.x1) - left, toPixel("y", b.y0) - top);
  }
};

// -- what is shown and written -----------------------------------------------------------------------------------------
const number = (value) => value.toLocaleString("en");
const show = () => {
  const count = { selected: 0, low: 0, high: 0, neither: 0, unknown: 0 };
  for (let i = 0; i < xs.length; i++) {
    count[regionOf(i)] += 1;
    if (isSelected(i)) count.selected += 1;
  }
  const out = byId("counts");
  for (const name in count) out.dataset[name] = count[name];
  out.innerHTML = "<b>" + number(count.selected) + "</b> of " + number(xs.length) + " selected" +
    (state.brush ? " by the brush" : "") + ". Thresholds: " + number(count.low) + " low in both, " + number(count.high) +
    " high in both, " + number(count.neither) + " neither" + (count.unknown ? ", " + number(count.unknown) + " unknown." : ".");
  byId("clause").value = clause();
  byId("yaml").value = yaml(clause());
  draw();
};
const fill = () => {
  for (const axis of ["x", "y"]) {
    const [low, high] = range[axis].map((value) => bend(axis, value));
    byId("max-" + axis).value = state[axis];
    byId("slide-" + axis).value = Math.round((1000 * (bend(axis, state[axis]) - low)) / (high - low));
    byId("slide-" + axis).setAttribute("aria-valuetext", text(state[axis]));
    for (const end of [0, 1]) byId("brush-" + axis + end).value = state.brush ? state.brush[axis + end] : "";
  }
};
const setBrush = (x0, x1, y0, y1) => {
  state.brush = { x0: Math.min(x0, x1), x1: Math.max(x0, x1), y0: Math.min(y0, y1), y1: Math.max(y0, y1) };
};

for (const axis of ["x", "y"]) {
  byId("name-" + axis).textContent = byId("brush-name-" + axis).textContent = given["name_" + axis];
  byId("slide-" + axis).addEventListener("input", (event) => {
    const [low, high] = range[axis].map((value) => bend(axis, value));
    state[axis] = rounded(unbend(axis, low + (Number(event.target.value) / 1000) * (high - low)));
    byId("max-" + axis).value = state[axis];
    event.target.setAttribute("aria-valuetext", text(state[axis]));
    show();
  });
  byId("max-" + axis).addEventListener("input", (event) => {
    if (!Number.isFinite(event.target.valueAsNumber)) return;
    state[axis] = event.target.valueAsNumber;
    const [low, high] = range[axis].map((value) => bend(axis, value));
    byId("slide-" + axis).value = Math.round((1000 * (bend(axis, state[axis]) - low)) / (high - low));
    show();
  });
  byId("scale-" + axis).addEventListener("change", (event) => { state.scale[axis] = event.target.value; fill(); draw(); });
  for (const end of [0, 1]) byId("brush-" + axis + end).addEventListener("input", () => {
    const typed = ["x0", "x1", "y0", "y1"].map((name) => byId("brush-" + name).valueAsNumber);
    if (!typed.every(Number.isFinite)) return;
    setBrush(...typed);
    show();
  });
}
byId("region").addEventListener("change", show);
byId("colour").addEventListener("change", draw);
const clear = () => { state.brush = null; fill(); show(); };
byId("clear").addEventListener("click", clear);
canvas.addEventListener("keydown", (event) => { if (event.key === "Escape") clear(); });
let start = null;
canvas.addEventListener("pointerdown", (event) => {
  start = [event.offsetX, event.offsetY];
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => {
  if (!start || Math.hypot(event.offsetX - start[0], event.offsetY - start[1]) < 4) return;
  const [x0, x1] = [start[0], event.offsetX].map((pixel) => rounded(toValue("x", pixel)));
  const [y0, y1] = [start[1], event.offsetY].map((pixel) => rounded(toValue("y", pixel)));
  setBrush(x0, x1, y0, y1);
  fill();
  show();
});
canvas.addEventListener("pointerup", () => { start = null; });
canvas.addEventListener("pointercancel", () => { start = null; });
for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", () => {
  const from = byId(button.dataset.copy);
  from.select();
  if (!document.execCommand("copy") && navigator.clipboard) navigator.clipboard.writeText(from.value);
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1200);
});

if (given.names.length > 1) {
  byId("by").textContent = "by " + given.by.replaceAll("_", " ");
  byId("colour").value = "group";
  given.names.forEach((name, group) => {
    const item = document.createElement("span"), dot = document.createElement("i");
    dot.style.background = colourOf(group);
    item.append(dot, name);
    byId("groups").append(item);
  });
} else byId("by").remove();
window.addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
fill();
show();
