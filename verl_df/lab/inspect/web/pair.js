// SPDX-License-Identifier: Apache-2.0
// One pair: picture, both responses, their gates and those of other settings, its group.
import { linkedBlocks } from "./alignment.js";
import { choice, el, table } from "./dom.js";
import { gateFigures } from "./gates.js";
import { LENSES, lensGates } from "./lens.js";
import { selected } from "./list.js";
import { number, percent, REASONS, writeHash } from "./model.js";
import { link, shownToken, tokenFigures, tokenText } from "./tokens.js";
import { updateColumns, updateNotes } from "./update.js";

function chips(record, row) {
  const facts = [
    ["line", row.line], ["step", record.step], ["right answer", record.ground_truth], ["prompt", record.uid],
    ["reward of y", number(record.error.reward)],
    ["edit distance", record.repair ? `${record.edit_distance} (${percent(record.edit_ratio)} of y's tokens)` : "–"],
  ];
  return el("dl", { class: "chips" }, facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

async function pictures(app, record) {
  const images = await Promise.all(record.images.map((name) => app.run.source.picture(name)));
  return images.map((src, k) => {
    const name = record.images[k];
    const image = el("img", { src, alt: `picture ${k + 1} of the prompt`, onerror: () => image.replaceWith(el("p", { class: "soft" }, `${name} cannot be shown`)) });
    return image;
  });
}

function lensTable(app, record) {
  const known = Boolean(record.truth_mask);
  const rows = Object.entries(LENSES).map(([name, label]) => {
    const gates = lensGates(record, name, app.lens);
    const radio = el("label", {}, el("input", { type: "radio", name: "lens", id: `lens-${name}`, value: name, disabled: !gates, checked: app.state.lens === name, onchange: () => app.go({ lens: name }) }), ` ${label}`);
    if (!gates) return [radio, "too long to align here", "", ...(known ? ["", ""] : [])];
    const y = gateFigures(gates.error, record.truth_mask);
    const repaired = gateFigures(gates.repair, null);
    return [radio, percent(y.density), percent(repaired.density), ...(known ? [number(y.precision), number(y.recall)] : [])];
  });
  return table(["gate", "density y", "density ŷ", ...(known ? ["precision", "recall"] : [])], rows, "The same pair under other gates");
}

function lensSettings(app) {
  const set = (name, value) => { app.lens[name] = value; app.draw(); };
  const taus = { segment_start: "start of the segment", segment_centre: "centre of the segment", first_difference: "first difference" };
  const field = (name, label, low, step) => el("label", {}, label, el("input", { type: "number", id: `lens-${name}`, min: low, step, value: app.lens[name], onchange: (event) => set(name, Math.max(low, Number(event.target.value) || 0)) }));
  return el("div", { class: "controls" },
    field("alpha", "α of soft ", 0, 0.05), choice("τ of soft ", taus, app.lens.tau, (value) => set("tau", value), { id: "lens-tau" }),
    choice("steps end at ", { line: "lines", blank_line: "blank lines", sentence: "sentences" }, app.lens.separator, (value) => set("separator", value), { id: "lens-separator" }),
    field("seed", "seed of random ", 0, 1));
}

function sides(record, gates) {
  const blocks = record.repair ? linkedBlocks(record) || [] : [];
  const ranges = blocks.map(([a, b, c, d]) => [[a, b], [c, d]]);
  const column = (name, title, side, truth, order) => el("div", { class: "side" },
    el("h3", {}, title), tokenText(name, side, gates[name], truth, ranges.map(order)));
  return [
    column("error", "y, the wrong response", record.error, record.truth_mask, (range) => range),
    record.repair
      ? column("repair", "ŷ, the repair", record.repair, null, ([here, there]) => [there, here])
      : el("div", { class: "side" }, el("h3", {}, "ŷ, the repair"), el("p", {}, "No candidate is feasible.")),
  ];
}

function tokenTable(name, side, gate, truth, row) {
  const more = updateColumns(row);
  const box = el("details", { class: `figures ${name === "y" ? "error" : "repair"}` }, el("summary", {}, `Table of the tokens of ${name}`));
  box.addEventListener("toggle", () => {
    if (box.children.length > 1) return;
    const shown = (text, t) => el("span", { class: [side.mask[t] ? "marked" : "", gate[t] > 0 ? "gated" : ""].join(" "), "--g": gate[t] }, shownToken(text));
    const rows = side.tokens.map((text, t) => [t, side.token_ids[t], shown(text, t), side.mask[t], number(gate[t]), ...(truth ? [truth[t] ? "wrong" : ""] : []), ...more.map(([, value]) => value(t))]);
    box.append(table(["position", "id", "text", "mask", "gate", ...(truth ? ["truth"] : []), ...more.map(([head]) => head)], rows, `Tokens of ${name}`));
  });
  return box;
}

function candidates(app, record) {
  const items = record.rejections.map((reason, k) => el("li", {}, `candidate ${k + 1}: ${reason === null ? "feasible" : `rejected, ${REASONS[reason] || reason}`}`));
  const place = { ...app.home, view: "groups", step: String(record.step), q: record.uid };
  return el("section", {}, el("h3", {}, "Candidates of the repair model"), el("ol", { class: "plain" }, items),
    el("p", {}, el("a", { href: writeHash(place) }, "The group of this pair"), ": their texts, and all rollouts"));
}

function group(app, row) {
  const others = app.run.rows.filter((one) => one.uid === row.uid && one.step === row.step);
  return el("section", {}, el("h3", {}, "Errors of the same group on record"),
    el("ul", { class: "plain" }, others.map((one) => el("li", {},
      el("a", { href: writeHash({ ...app.state, pair: one.line }), "aria-current": one === row ? "true" : null }, `pair ${one.line}`),
      one.ratio === null ? ": not feasible" : `: edit ratio ${percent(one.ratio)}`))));
}

function navigation(app, row) {
  const rows = selected(app);
  const place = rows.indexOf(row);
  const step = (by, text) => {
    const next = place < 0 ? undefined : rows[place + by];
    return next ? el("a", { href: writeHash({ ...app.state, pair: next.line }), id: `pair-${text}` }, text) : el("span", { class: "off" }, text);
  };
  return el("nav", { "aria-label": "Pairs", class: "turn" },
    el("a", { href: writeHash({ ...app.state, pair: "" }), id: "pair-back" }, "back to the list"), step(-1, "previous"), step(1, "next"),
    el("span", { class: "soft" }, place < 0 ? "" : `${place + 1} of ${rows.length} in the list`));
}

// The element of a pair. Raises where the record cannot be read.
export async function pairView(app, row) {
  const record = await app.run.source.record(row);
  const { records: [update = null], faults } = await app.run.source.tokens(row, record);
  const lens = Object.hasOwn(LENSES, app.state.lens) ? app.state.lens : "run";
  const gates = lensGates(record, lens, app.lens) || lensGates(record, "run", app.lens);
  const reading = el("p", { class: "reading", role: "status" }, "Point at a token, or move the focus over the differences, for figures.");
  const texts = el("div", { class: "sides" }, sides(record, gates));
  link(texts, (name, t) => { reading.textContent = tokenFigures(record[name], t, gates[name], name === "error" ? record.truth_mask : null, update?.[name]); });
  const legend = el("p", { class: "soft" }, "Outlined: marked by the mask. Tint: the gate chosen below. ",
    record.truth_mask ? el("span", { class: "wrong" }, "Underlined: truly wrong.") : "The truth is not known. ", " · ↵ → stand for white space; a thin line ends each token.");
  return el("article", { id: "pair", "aria-label": `Pair ${row.line}` },
    navigation(app, row), el("h2", {}, `Pair ${row.line}`), chips(record, row),
    el("div", { class: "pair-body" },
      el("aside", {}, await pictures(app, record), el("h3", {}, "Prompt"), el("pre", {}, record.prompt)),
      el("div", {}, texts, reading, legend, el("p", { class: "soft", id: "update-notes" }, updateNotes(record, update, faults).join(" ")),
        record.repair ? el("section", {}, lensTable(app, record), lensSettings(app)) : null,
        tokenTable("y", record.error, gates.error, record.truth_mask, update?.error),
        record.repair ? tokenTable("ŷ", record.repair, gates.repair, null, update?.repair) : null)),
    el("section", {}, el("h3", {}, `Reference (${record.reference_kind})`), el("pre", {}, record.reference)),
    candidates(app, record), group(app, row));
}
