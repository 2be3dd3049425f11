// SPDX-License-Identifier: Apache-2.0
// What the update saw of a pair's tokens: a record of token_arrays.jsonl.
import { number } from "./model.js";

export const UPDATE_COLUMNS = {
  advantage: "advantage before the gate",
  gated_advantage: "advantage after the gate",
  old_log_prob: "old log-prob",
  log_prob: "new log-prob",
  ratio: "ratio",
  clipped: "clipped",
  entropy: "entropy",
  ref_kl: "KL to the reference",
  rollout_log_prob: "rollout engine's log-prob",
};
const ABSENT = {
  entropy: "entropy (old log-probabilities were the rollout engine's)",
  ref_kl: "KL (the run has no reference model)",
  rollout_log_prob: "the rollout engine's log-probabilities (calculate_log_probs is off)",
};

// [head, value of token t] of each column that the row has. row: a side of the record, or null.
export function updateColumns(row) {
  if (!row) return [];
  return Object.entries(UPDATE_COLUMNS).filter(([name]) => row[name]).map(([name, head]) => [
    head,
    (t) => (name === "clipped" ? (row.trained[t] ? (row.clipped[t] ? "yes" : "no") : "–") : number(row[name][t])),
  ]);
}

export function updateFigures(row, t) {
  if (!row) return "";
  if (!row.trained[t]) return ", not the policy's own token: not trained on";
  return updateColumns(row).map(([head, value]) => `, ${head} ${value(t)}`).join("");
}

// Sentences on what is on record, and what is not. update: the record, or null. faults: what is wrong with its line.
export function updateNotes(record, update, faults) {
  if (faults.length) return [`What the update saw of these tokens cannot be read. ${faults[0]}`];
  if (!update) return ["What the update saw of these tokens is not on record: df.log.token_arrays_per_step says of how many pairs of a step it is, and a step without an update has none."];
  const notes = [];
  if (!update.error) notes.push("y was not in the update.");
  if (record.repair && !update.repair) notes.push("ŷ was not in the update.");
  const row = update.error || update.repair;
  if (!row) return notes;
  notes.push("New log-probabilities and ratios are those of the loss at the row's last pass, before the optimiser step of its mini-batch: with one mini-batch and one epoch the ratio is 1.");
  const absent = Object.keys(ABSENT).filter((name) => !row[name] && !(name === "rollout_log_prob" && !update.error));
  if (absent.length) notes.push(`Not logged in this run: ${absent.map((name) => ABSENT[name]).join(", ")}.`);
  return notes;
}
