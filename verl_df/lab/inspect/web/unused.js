// SPDX-License-Identifier: Apache-2.0
// What was not used, by reason: from metrics (all of the run) and from pairs (those on record).
import { el, table } from "./dom.js";
import { REASONS, SKIPS, writeHash } from "./model.js";

function total(points) {
  return (points || []).reduce((sum, [, value]) => sum + value, 0);
}

// Rows [reason, total over the run, last step] of the metrics below a prefix.
export function countedReasons(curves, prefix, names) {
  return Object.keys(curves).filter((name) => name.startsWith(prefix)).sort().map((name) => {
    const reason = name.slice(prefix.length);
    const points = curves[name];
    return [reason, names[reason] || reason, total(points), points[points.length - 1][1]];
  });
}

// { reason: pairs with a candidate rejected for it }, over the pairs without a feasible candidate or all of them.
export function pairsByReason(rows, infeasibleOnly) {
  const counts = {};
  for (const row of rows) {
    if (infeasibleOnly && row.ratio !== null) continue;
    for (const reason of row.reasons) counts[reason] = (counts[reason] || 0) + 1;
  }
  return counts;
}

const OTHERS = {
  "df/infeasible": "wrong rollouts without a right repair",
  "df/truncated": "rollouts cut by the length limit",
  "df/truncated_left_out": "wrong rollouts for which no repair was asked, because they were cut",
  "df/groups_of_one": "prompts left with one row, and so not trained on",
  "df/empty_masks": "rows of pairs without a gated token",
};

export function unusedView(app) {
  const { curves } = app.run.facts;
  const section = (title, rows, none) => el("section", {}, el("h2", {}, title), rows.length ? table(["reason", "over the run", "last step"], rows, title) : el("p", {}, none));
  const of = (prefix, names) => countedReasons(curves, prefix, names).map(([, label, sum, last]) => [label, sum, last]);
  const others = Object.entries(OTHERS).filter(([name]) => curves[name]).map(([name, label]) => [label, total(curves[name]), curves[name][curves[name].length - 1][1]]);
  const all = pairsByReason(app.run.rows, false);
  const infeasible = pairsByReason(app.run.rows, true);
  const onRecord = Object.keys(all).sort().map((reason) => [
    REASONS[reason] || reason,
    el("a", { href: writeHash({ ...app.home, reason }) }, all[reason]),
    infeasible[reason] ? el("a", { href: writeHash({ ...app.home, reason, state: "infeasible" }) }, infeasible[reason]) : 0,
  ]);
  const faults = app.run.faults.map(([line, why]) => [line, why]);
  return el("div", { id: "unused" },
    section("Prompts that were skipped", of("df/skipped/", SKIPS), "No metric df/skipped/* is logged."),
    section("Candidates that were rejected", of("df/rejected/", REASONS), "No metric df/rejected/* is logged."),
    section("Rollouts and rows", others, "None of these metrics is logged."),
    el("section", {}, el("h2", {}, "Pairs on record"),
      onRecord.length ? table(["candidate rejected because", "pairs", "of these without a feasible one"], onRecord, "Pairs on record by reason") : el("p", {}, "No candidate on record was rejected.")),
    faults.length ? el("section", {}, el("h2", {}, `Lines of pairs.jsonl that hold no record: ${app.run.faultCount}`), table(["line", "what is wrong"], faults, "Broken lines")) : null);
}
