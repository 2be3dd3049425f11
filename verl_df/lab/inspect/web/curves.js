// SPDX-License-Identifier: Apache-2.0
// Curves of all metrics: the report's panels, then every metric by its prefix; red flags.
import { lineChart } from "./charts.js";
import { el } from "./dom.js";
import { redFlags } from "./flags.js";
import { writeHash } from "./model.js";

function prefixes(names) {
  const groups = new Map();
  for (const name of [...names].sort()) {
    const prefix = name.includes("/") ? name.slice(0, name.indexOf("/")) : "other";
    groups.set(prefix, [...(groups.get(prefix) || []), name]);
  }
  return groups;
}

// Charts of a prefix are drawn when it is opened.
function folded(prefix, names, curves, onstep) {
  const box = el("details", {}, el("summary", {}, `${prefix} (${names.length} metrics)`));
  box.addEventListener("toggle", () => {
    if (box.children.length > 1) return;
    const charts = names.map((name) => lineChart({ title: name, note: "", from_zero: false, series: [{ label: "last", colour: 0, points: curves[name] }] }, onstep));
    box.append(el("div", { class: "charts" }, charts));
  });
  return box;
}

export function curvesView(app) {
  const { sections, curves } = app.run.facts;
  const onstep = (step) => app.go({ view: "groups", step: String(step), pair: "", page: "" });
  const drawn = sections.map(({ title, panels }) => {
    const charts = panels.filter((panel) => panel.series.length).map((panel) => lineChart(panel, onstep));
    return charts.length ? el("section", {}, el("h2", {}, title), el("div", { class: "charts" }, charts)) : null;
  });
  const all = [...prefixes(Object.keys(curves))].map(([prefix, names]) => folded(prefix, names, curves, onstep));
  return el("div", { id: "curves" }, el("p", { class: "soft" }, "A click on a step shows its groups."), drawn, el("section", {}, el("h2", {}, "All metrics"), all.length ? all : "none"));
}

export function flagsView(app) {
  const flags = redFlags(app.run.facts.curves);
  const items = flags.map((flag) => el("li", { class: "flag" },
    el("h3", {}, flag.title), el("p", {}, flag.what), el("p", {}, el("b", {}, "What to do: "), flag.todo),
    el("p", { class: "soft" }, `${flag.metric}, from step ${flag.step} on. `, el("a", { href: writeHash({ ...app.home, ...flag.link }) }, "See pairs"))));
  return el("section", { id: "flags" }, el("h2", {}, "Red flags"),
    items.length ? el("ul", { class: "plain" }, items) : el("p", {}, "None is raised."),
    el("p", { class: "soft" }, "Looked for: density near one, feasibility falling, empty masks, KL or entropy of repaired rows rising, accuracy up while mask precision falls, probabilities that differ between rollout and training, repairs that are right without the picture, responses that are as likely without it. A rule compares the first and last quarter of a curve of 8 points or more; a metric that was not logged raises none."));
}
