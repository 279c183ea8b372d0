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
  if (Number.isFinite(limit)) { low = Math.min(low, limit); high = Math.max(high, limit); }
  if (low > high) { low = 0; high = 1; }
  if (low < high) return [low, high];
  const pad = Math.min(Math.abs(low) / 10 || 1, Number.MAX_VALUE - Math.abs(low));
  return [low - pad, high + pad];
};
const range = { x: extent(xs, given.max_x), y: extent(ys, given.max_y) };
// Halves of halves: the difference of two ends of any doubles is a number.
const width = (axis) => range[axis][1] / 4 - range[axis][0] / 4;

// A number as the language of diets reads it: the shortest text that means exactly this double.
const text = (value) => (Math.abs(value) >= 2 ** 53 ? value.toExponential() : String(value === 0 ? 0 : value));
// Four digits of a number, and more where the range is narrow beside what it lies at (1000.01 to 1000.02).
const digits = (axis) => {
  const most = Math.max(...range[axis].map(Math.abs)) / 4;
  return Math.min(17, Math.max(4, (Math.ceil(Math.log10(most / width(axis))) || 0) + 4));
};
const rounded = (axis, value) => {
  const short = Number(value.toPrecision(digits(axis)));
  return Number.isFinite(short) ? short : value;
};
// Rounded away from the middle, so that no neuron at the end of the range is left out.
const outward = (axis, value, sign) => {
  for (let n = digits(axis); n <= 17; n++) {
    const step = sign * 10 ** (Math.floor(Math.log10(Math.abs(value) || 1)) - n + 1);
    for (const short of [Number(value.toPrecision(n)), Number((value + step).toPrecision(n))])
      if (Number.isFinite(short) && sign * short >= sign * value) return short;
  }
  return value;
};

const bend = (axis, value) => (state.scale[axis] === "lin" ? value / 4 : Math.asinh(value));
const unbend = (axis, value) => {
  const free = state.scale[axis] === "lin" ? value * 4 : Math.sinh(value);
  return Math.min(Number.MAX_VALUE, Math.max(-Number.MAX_VALUE, free));
};
const bent = (axis) => {
  const [low, high] = range[axis].map((value) => bend(axis, value));
  return low < high ? [low, high] : [low - 1e-9 * (Math.abs(low) || 1), high + 1e-9 * (Math.abs(high) || 1)];
};
const ends = (axis) => {
  const [low, high] = bent(axis), margin = 0.04 * (high - low);
  return [low - margin, high + margin];
};
const slid = (axis, share) => {
  const [low, high] = bent(axis);
  if (share >= 1) return outward(axis, range[axis][1], 1);
  if (share <= 0) return outward(axis, range[axis][0], -1);
  return rounded(axis, unbend(axis, low + share * (high - low)));
};
const share = (axis) => {
  const [low, high] = bent(axis);
  return (bend(axis, state[axis]) - low) / (high - low);
};
// Room for the texts of the ticks of y.
let left = 58;
const box = () => ({ left, top: 10, right: canvas.clientWidth - 10, bottom: canvas.clientHeight - 40 });
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
  "diet: 1\nname: from-the-plane\n" + given.split.map((line) => line + "\n").join("") + "statistics: {window: train}\nmissing: exclude\nneurons:\n  where: " +
  (/[:#'"@]/.test(where) ? JSON.stringify(where) : where) + "\n";

// -- drawing -----------------------------------------------------------------------------------------------------------
const colours = {
  light: ["#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9", "#8c6d31", "#7b6cc4", "#b2182b",
    "#4d9221", "#01665e", "#c51b7d", "#878787", "#d6a51f", "#9aa3ad"],
  dark: ["#3c9fdd", "#f07f33", "#2fc79a", "#f0b54a", "#dd9cc1", "#86cdf5", "#b8965a", "#a497e6", "#e0606f",
    "#83bf55", "#3fa79c", "#e36aab", "#a9a9a9", "#e8c35c", "#7d8791"],
};
const dark = matchMedia("(prefers-color-scheme: dark)");
const colourOf = (group) => {
  const own = colours[dark.matches ? "dark" : "light"];
  return own[Math.min(group, own.length - 1)];
};
const GREY = 14;
// Drawn in an order that mixes the groups, so that the last one does not lie over all others.
const place = (i) => Math.imul(i + 1, 2654435761) >>> 0;
const order = Array.from(groups.keys()).sort((a, b) => place(a) - place(b));

const evenTicks = (low, high) => {
  const raw = high / 6 - low / 6, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= raw) * power || raw;
  const first = Math.ceil(low / step), found = [];
  // Counted, not added up: a step too small for its place would never arrive.
  for (let i = 0; i < 12; i++) {
    const at = Number(((first + i) * step).toPrecision(15));
    if (at >= low && at <= high) found.push(at);
  }
  return [...new Set(found)];
};
const powerTicks = (low, high) => {
  const found = low <= 0 && high >= 0 ? [0] : [], top = Math.log10(Math.max(Math.abs(low), Math.abs(high)));
  const every = Math.max(1, Math.ceil(top / 7)), factors = top > 3.3 ? [1] : [1, 3];
  for (let power = 0; power <= top; power += every)
    for (const factor of factors) for (const sign of [-1, 1]) {
      const at = sign * factor * 10 ** power;
      if (at >= low && at <= high) found.push(at);
    }
  return found;
};
const ticks = (axis) => {
  const [low, high] = ends(axis).map((value) => unbend(axis, value)), powers = powerTicks(low, high);
  // A range within one power of ten, or near zero, has too few powers.
  const found = state.scale[axis] === "lin" || powers.length < 4 ? evenTicks(low, high) : powers;
  // From zero outwards, those with room for their text.
  const kept = [], gap = (a, b) => (axis === "y" ? 15 : 10 + (wide(a) + wide(b)) / 2);
  for (const at of found.sort((a, b) => Math.abs(a) - Math.abs(b)))
    if (kept.every((other) => Math.abs(toPixel(axis, at) - toPixel(axis, other)) >= gap(at, other))) kept.push(at);
  return kept;
};
// As short as tells ticks apart: 1e+300 and not three hundred zeros.
const tickText = (at) =>
  Math.abs(at) >= 1e6 || (at && Math.abs(at) < 1e-4) ? at.toExponential().replace("e+", "e") : String(at);

const FONT = "12px system-ui, sans-serif";
const wide = (at) => {
  pen.font = FONT;
  return pen.measureText(tickText(at)).width;
};

let waiting = false;
const draw = () => {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; paint(); });
};
const paint = () => {
  const drawn = { y: ticks("y") };
  left = Math.max(58, 30 + Math.max(0, ...drawn.y.map(wide)));
  drawn.x = ticks("x");
  for (const axis of ["x", "y"]) canvas.dataset["ticks_" + axis] = drawn[axis].map(tickText).join(" ");
  const ratio = window.devicePixelRatio || 1, style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink"), soft = style.getPropertyValue("--soft"), rule = style.getPropertyValue("--rule");
  canvas.width = canvas.clientWidth * ratio;
  canvas.height = canvas.clientHeight * ratio;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  const area = box();
  pen.font = FONT;
  pen.lineWidth = 1;
  for (const at of drawn.x) {
    const px = toPixel("x", at);
    pen.strokeStyle = rule; pen.beginPath(); pen.moveTo(px, area.top); pen.lineTo(px, area.bottom); pen.stroke();
    pen.fillStyle = soft; pen.textAlign = "center"; pen.fillText(tickText(at), px, area.bottom + 15);
  }
  for (const at of drawn.y) {
    const py = toPixel("y", at);
    pen.strokeStyle = rule; pen.beginPath(); pen.moveTo(area.left, py); pen.lineTo(area.right, py); pen.stroke();
    pen.fillStyle = soft; pen.textAlign = "right"; pen.fillText(tickText(at), area.left - 5, py + 4);
  }
  pen.fillStyle = ink; pen.textAlign = "center";
  pen.fillText(given.label_x, (area.left + area.right) / 2, area.bottom + 34);
  pen.save(); pen.translate(13, (area.top + area.bottom) / 2); pen.rotate(-Math.PI / 2); pen.fillText(given.label_y, 0, 0); pen.restore();
  const many = xs.length > 5000, size = many ? 2 : 4, byGroup = byId("colour").value === "group";
  for (const selected of [false, true]) {
    for (const i of order) {
      if (!Number.isFinite(xs[i]) || !Number.isFinite(ys[i]) || isSelected(i) !== selected) continue;
      pen.globalAlpha = selected ? 0.8 : byGroup ? 0.22 : 0.45;
      pen.fillStyle = byGroup ? colourOf(groups[i]) : colourOf(selected ? 0 : GREY);
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
    pen.strokeStyle = colourOf(1); pen.lineWidth = 1.5;
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
    byId("max-" + axis).value = state[axis];
    byId("slide-" + axis).value = Math.round(1000 * share(axis));
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
    state[axis] = slid(axis, Number(event.target.value) / 1000);
    byId("max-" + axis).value = state[axis];
    event.target.setAttribute("aria-valuetext", text(state[axis]));
    show();
  });
  byId("max-" + axis).addEventListener("input", (event) => {
    if (!Number.isFinite(event.target.valueAsNumber)) return;
    state[axis] = event.target.valueAsNumber;
    byId("slide-" + axis).value = Math.round(1000 * share(axis));
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
  const [x0, x1] = [start[0], event.offsetX].map((pixel) => rounded("x", toValue("x", pixel)));
  const [y0, y1] = [start[1], event.offsetY].map((pixel) => rounded("y", toValue("y", pixel)));
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
    const paintDot = () => { dot.style.background = colourOf(group); };
    paintDot();
    dark.addEventListener("change", paintDot);
    item.append(dot, name);
    byId("groups").append(item);
  });
} else byId("by").remove();
window.addEventListener("resize", draw);
dark.addEventListener("change", draw);
fill();
show();
