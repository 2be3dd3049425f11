// SPDX-License-Identifier: Apache-2.0
// The groups of a step: all rollouts of a prompt, what was asked for them, and what entered the update.
import { el, table } from "./dom.js";
import { number, percent, REASONS, SKIPS, writeHash } from "./model.js";

const QUESTION = 120; // characters of it in a group's line

// What a group's line says. group: a record of groups.jsonl.
export function groupSummary(group) {
  const count = (test) => group.rollouts.filter(test).length;
  const asked = count((one) => one.rejections);
  const parts = [
    `${count((one) => one.reward >= 1)} of ${group.rollouts.length} rollouts right`,
    asked ? `${count((one) => one.repair !== null)} of ${asked} errors repaired` : `no repair asked for: ${SKIPS[group.skip] || "no rollout was wrong"}`,
    `${count((one) => one.used) + count((one) => one.repair_used)} rows in the update`,
  ];
  return parts.join(", ");
}

// [what became of it, its text or null] of each candidate. one: a rollout of a group. The chosen one's text is the repair's.
export function candidateLines(one) {
  if (!one.rejections) return [["none asked for", null]];
  const texts = one.candidates || [];
  const chosen = texts.length ? one.rejections.findIndex((reason, k) => reason === null && texts[k] === null) : -1;
  const fate = (reason, k) => {
    if (reason !== null) return REASONS[reason] || reason;
    return k === chosen ? "chosen" : chosen < 0 ? "feasible" : "feasible, and no nearer to the response than the chosen one";
  };
  return one.rejections.map((reason, k) => [`${k + 1}: ${fate(reason, k)}`, texts[k] ?? null]);
}

function candidate([line, text]) {
  return el("li", {}, text === null ? line : el("details", {}, el("summary", {}, line), el("pre", {}, text)));
}

function rolloutRow(one, k) {
  return [
    k + 1, number(one.reward), `${one.tokens}${one.finished ? "" : ", cut"}`,
    one.used ? `yes, ${percent(one.gated)} of its tokens` : "no",
    el("pre", {}, one.text),
    el("ul", { class: "plain candidates" }, candidateLines(one).map(candidate)),
    one.repair === null ? "–" : el("div", {}, el("pre", {}, one.repair), `reward ${number(one.repair_reward)}; ${one.repair_used ? "in the update" : "not in the update"}`),
  ];
}

async function groupBody(app, group) {
  const pairs = app.run.rows.filter((row) => row.step === group.step && row.uid === group.uid);
  const images = await Promise.all(group.images.map((name) => app.run.source.picture(name)));
  const heads = ["rollout", "reward", "tokens", "in the update", "response", "repair candidates", "chosen repair"];
  return el("div", {},
    el("div", { class: "pair-body" },
      el("aside", {}, images.map((src, k) => el("img", { src, alt: `picture ${k + 1} of the prompt` }))),
      el("div", {}, el("h3", {}, "Prompt"), el("pre", {}, group.prompt), el("p", {}, `Right answer: ${group.ground_truth} `, el("span", { class: "soft" }, `(prompt ${group.uid})`)),
        el("h3", {}, group.reference_kind ? `Reference (${group.reference_kind})` : "Reference"), group.reference === null ? el("p", {}, "None: no repair was asked for.") : el("pre", {}, group.reference))),
    el("div", { class: "rollouts" }, table(heads, group.rollouts.map(rolloutRow), "Rollouts of the group")),
    el("p", {}, "Pairs on record: ", pairs.length ? pairs.map((row) => [el("a", { href: writeHash({ ...app.home, pair: row.line }) }, `pair ${row.line}`), " "]).flat() : app.run.complete ? "none" : "not loaded yet"));
}

const openGroups = new Set(); // stay open when the view is drawn anew

function groupBox(app, group, alone) {
  const name = `${group.step}/${group.uid}`;
  const open = alone || openGroups.has(name);
  const question = group.prompt.length > QUESTION ? `${group.prompt.slice(0, QUESTION)}…` : group.prompt;
  const box = el("details", { class: "group", open },
    el("summary", {}, el("b", {}, question), ` ${groupSummary(group)}`));
  const fill = async () => {
    if (box.open) openGroups.add(name);
    else openGroups.delete(name);
    if (box.open && box.children.length === 1) box.append(await groupBody(app, group));
  };
  box.addEventListener("toggle", fill);
  return box;
}

export async function groupsView(app) {
  const { step, q } = app.state;
  const all = { ...app.home, view: "groups", step };
  const links = [
    el("a", { href: writeHash({ ...app.home, step }) }, "The pairs of this step"),
    q ? [" · ", el("a", { href: writeHash(all) }, "All groups of this step")] : null,
  ].flat();
  const { records, faults } = /^\d+$/.test(step) ? await app.run.source.groups(Number(step)) : { records: [], faults: [] };
  const groups = records.filter((group) => !q || group.uid === q);
  const what = groups.length
    ? el("p", { class: "soft" }, "Groups with a wrong rollout come first; how many are on record: df.log.groups_per_step. ", links)
    : el("p", {}, `${q ? `The group of prompt ${q}` : "No group of this step"} is ${q ? "not " : ""}on record (df.log.groups_per_step). `, links);
  return el("section", { id: "groups" }, el("h2", {}, `Groups of step ${step}`), what, faults.map((fault) => el("p", { class: "flag" }, `Not shown: ${fault}`)),
    groups.map((group) => groupBox(app, group, groups.length === 1)));
}
