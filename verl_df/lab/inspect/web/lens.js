// SPDX-License-Identifier: Apache-2.0
// The same pair under other gates.
import { alignedBlocks, blockMasks } from "./alignment.js";
import { buildGate, randomGate } from "./gates.js";

export const LENSES = {
  run: "as trained",
  binary: "the mask",
  soft: "soft",
  step: "whole steps",
  first: "first segment",
  lcs: "LCS",
  random: "random, equal density",
};
export const LENS_DEFAULTS = { alpha: 0.1, tau: "segment_start", separator: "line", seed: 1 };

const OPTIONS = { binary: {}, soft: { kind: "soft" }, step: { level: "step" }, first: { segments: "first" }, lcs: {} };

// The gates of both sides, { error, repair }, or null where they cannot be had. settings: as LENS_DEFAULTS.
export function lensGates(record, lens, settings) {
  const sides = [record.error, record.repair];
  if (!record.repair) return lens === "run" ? { error: record.error.gate, repair: [] } : null;
  if (lens === "run") return { error: record.error.gate, repair: record.repair.gate };
  if (lens === "random") {
    return { error: randomGate(record.error.gate, settings.seed), repair: randomGate(record.repair.gate, settings.seed + 1) };
  }
  let masks = sides.map((side) => side.mask);
  if (lens === "lcs") {
    const blocks = alignedBlocks(record.error.token_ids, record.repair.token_ids, "lcs");
    if (!blocks) return null;
    masks = blockMasks(blocks, record.error.token_ids.length, record.repair.token_ids.length);
  }
  const options = { kind: "binary", level: "token", segments: "all", ...settings, ...OPTIONS[lens] };
  const [error, repair] = sides.map((side, number) => buildGate(masks[number], side.tokens, options));
  return { error, repair };
}
