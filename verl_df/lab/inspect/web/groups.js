// SPDX-License-Identifier: Apache-2.0
// The groups of a step: all rollouts of a prompt, what was asked for them, and what entered the update.
import { el, table } from "./dom.js";
import { number, percent, REASONS, SKIPS, writeHash } from "./model.js";

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

// One line per candidate. rejections: of a rollout, or null.
export function candidateLines(rejections) {
  if (!rejections) return ["none asked for"];
  return rejections.map((reason, k) => `${k + 1}: ${reason === null ? "feasible" : REASONS[reason] || reason}`);
}

function rolloutRow(one, k) {
  return [
    k + 1, number(one.reward), `${one.tokens}${one.finished ? "" : ", cut"}`,
    one.used ? `yes, ${percent(one.gated)} of its tokens` : "no",
    el("pre", {}, one.text),
    el("ul", { class: "plain" }, candidateLines(one.rejections).map((line) => el("li", {}, line))),
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
      el("div", {}, el("h3", {}, "Prompt"), el("pre", {}, group.prompt), el("p", {}, `Right answer: ${group.ground_truth}`),
        el("h3", {}, group.reference_kind ? `Reference (${group.reference_kind})` : "Reference"), group.reference === null ? el("p", {}, "None: no repair was asked for.") : el("pre", {}, group.reference))),
    table(heads, group.rollouts.map(rolloutRow), "Rollouts of the group"),
    el("p", {}, "Pairs on record: ", pairs.length ? pairs.map((row) => [el("a", { href: writeHash({ ...app.home, pair: row.line }) }, `pair ${row.line}`), " "]).flat() : app.run.complete ? "none" : "not loaded yet"));
}

const openGroups = new Set(); // stay open when the view is drawn anew

function groupBox(app, group, alone) {
  const name = `${group.step}/${group.uid}`;
  const open = alone || openGroups.has(name);
  const box = el("details", { class: "group", open }, el("summary", {}, el("b", {}, group.uid), ` ${groupSummary(group)}`));
  const fill = async () => {
    if (box.open) openGroups.add(name);
    else openGroups.delete(name);
    if (box.open && box.children.length === 1) box.append(await groupBody(app, group));
  };
  box.addEventListener("toggle", fill);
  return box;
}

export async function groupsView(app) {
  const { step } = app.state;
  const pairs = el("a", { href: writeHash({ ...app.home, step }) }, "The pairs of this step");
  const groups = /^\d+$/.test(step) ? await app.run.source.groups(Number(step)) : [];
  return el("section", { id: "groups" }, el("h2", {}, `Groups of step ${step}`),
    groups.length
      ? el("p", { class: "soft" }, "Groups with a wrong rollout come first; how many are on record: df.log.groups_per_step. ", pairs)
      : el("p", {}, "No group of this step is on record (df.log.groups_per_step). ", pairs),
    groups.map((group) => groupBox(app, group, groups.length === 1)));
}
