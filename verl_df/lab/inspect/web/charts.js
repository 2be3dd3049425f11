// SPDX-License-Identifier: Apache-2.0
// Line charts; a click, or Enter after the arrow keys, takes a step.
import { el, svg } from "./dom.js";
import { number } from "./model.js";

const [WIDE, HIGH, LEFT, RIGHT, TOP, BOTTOM] = [520, 200, 56, 10, 10, 24];
const MOST_POINTS = 600;

// At most MOST_POINTS of a curve, first and last among them.
export function thinned(points) {
  if (points.length <= MOST_POINTS) return points;
  return Array.from({ length: MOST_POINTS }, (_, k) => points[Math.round((k * (points.length - 1)) / (MOST_POINTS - 1))]);
}

// The scales of a chart: x(step) and y(value) lie inside the drawing, whatever finite values it holds.
export function frame(series, fromZero) {
  const steps = series.flatMap((one) => one.points.map(([step]) => step));
  const values = series.flatMap((one) => one.points.map(([, value]) => value));
  const extremes = (list) => list.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
  const [first, last] = extremes(steps);
  let [low, high] = extremes(values);
  if (fromZero) low = Math.min(0, low);
  if (!(high > low)) [low, high] = [low - (Math.abs(low) * 0.1 || 0.5), high + (Math.abs(high) * 0.1 || 0.5)];
  const x = (step) => LEFT + ((step - first) / (last - first || 1)) * (WIDE - LEFT - RIGHT);
  const y = (value) => HIGH - BOTTOM - ((value - low) / (high - low)) * (HIGH - TOP - BOTTOM);
  return { first, last, low, high, x, y, steps: [...new Set(steps)].sort((a, b) => a - b) };
}

function axes(at) {
  const lines = [0, 0.5, 1].map((part) => at.low + part * (at.high - at.low));
  return [
    ...lines.map((value) => svg("line", { class: "grid", x1: LEFT, x2: WIDE - RIGHT, y1: at.y(value), y2: at.y(value) })),
    ...lines.map((value) => svg("text", { class: "tick", x: LEFT - 6, y: at.y(value) + 4, "text-anchor": "end" }, number(value))),
    svg("text", { class: "tick", x: LEFT, y: HIGH - 6 }, `step ${at.first}`),
    svg("text", { class: "tick", x: WIDE - RIGHT, y: HIGH - 6, "text-anchor": "end" }, at.last),
  ];
}

export function places(points, at) {
  return thinned(points).map(([step, value]) => [at.x(step), at.y(value)]);
}

function curve(one, at) {
  const points = places(one.points, at);
  const drawn = points.length === 1
    ? svg("circle", { cx: points[0][0], cy: points[0][1], r: 3 })
    : svg("polyline", { points: points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ") });
  return svg("g", { class: `c${one.colour % 8}` }, drawn);
}

// panel: title, note, from_zero, series of { label, colour, points }. onstep(step) is called for a chosen step.
export function lineChart(panel, onstep) {
  const at = frame(panel.series, panel.from_zero);
  const byStep = panel.series.map((one) => new Map(one.points));
  const cursor = svg("line", { class: "cursor", y1: TOP, y2: HIGH - BOTTOM, visibility: "hidden" });
  const reading = el("p", { class: "reading", role: "status" }, "");
  let chosen = at.steps.length - 1;
  const show = (position) => {
    chosen = Math.max(0, Math.min(at.steps.length - 1, position));
    const step = at.steps[chosen];
    const values = panel.series.map((one, k) => `${one.label} ${number(byStep[k].get(step))}`);
    reading.textContent = `step ${step}: ${values.join(", ")}`;
    cursor.setAttribute("x1", at.x(step));
    cursor.setAttribute("x2", at.x(step));
    cursor.setAttribute("visibility", "visible");
  };
  const nearest = (event) => {
    const box = drawing.getBoundingClientRect();
    const share = (((event.clientX - box.left) / box.width) * WIDE - LEFT) / (WIDE - LEFT - RIGHT);
    const wanted = at.first + share * (at.last - at.first);
    return at.steps.reduce((best, step, k) => (Math.abs(step - wanted) < Math.abs(at.steps[best] - wanted) ? k : best), 0);
  };
  const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: 10, PageDown: -10, Home: -Infinity, End: Infinity };
  const drawing = svg("svg", {
    viewBox: `0 0 ${WIDE} ${HIGH}`, tabindex: "0", role: "application",
    "aria-label": `${panel.title}: curve over steps ${at.first} to ${at.last}. Arrow keys read values, Enter shows the pairs of a step.`,
    onpointermove: (event) => show(nearest(event)),
    onclick: (event) => { show(nearest(event)); onstep(at.steps[chosen]); },
    onkeydown: (event) => {
      if (event.key === "Enter") onstep(at.steps[chosen]);
      else if (event.key in move) { event.preventDefault(); show(chosen + move[event.key]); }
    },
  }, axes(at), panel.series.map((one) => curve(one, at)), cursor);
  const legend = panel.series.map((one) =>
    el("span", {}, el("i", { class: `c${one.colour % 8}` }), `${one.label} `, el("b", {}, number(one.points[one.points.length - 1][1]))));
  return el("figure", {}, el("figcaption", {}, el("h3", {}, panel.title), el("p", {}, panel.note)), drawing, el("div", { class: "legend" }, legend), reading);
}
