// SPDX-License-Identifier: Apache-2.0
// The alignment of verl_df/method/alignment.py, recomputed in the page; a test compares the two.

export const MAX_CELLS = 1 << 24; // of the table: two responses of some 4,000 tokens that differ at both ends

// Costs of a path of each method from y[0:i] to ŷ[0:j]; rows are those of ŷ. For LCS: matched tokens, negative.
function costs(y, yHat, method) {
  const width = y.length + 1;
  const cells = new Int32Array(width * (yHat.length + 1));
  const edge = method === "lcs" ? 0 : 1;
  for (let i = 0; i < width; i++) cells[i] = edge * i;
  for (let j = 1; j <= yHat.length; j++) {
    const row = j * width;
    cells[row] = edge * j;
    for (let i = 1; i < width; i++) {
      const above = cells[row - width + i], left = cells[row + i - 1], corner = cells[row - width + i - 1];
      const same = y[i - 1] === yHat[j - 1];
      if (method === "lcs") cells[row + i] = same ? corner - 1 : Math.min(above, left);
      else cells[row + i] = same ? corner : 1 + Math.min(above, left, corner);
    }
  }
  return { cells, width };
}

// Positions [i, j] of matched tokens, in order. Among equal paths the engine's: from the end, a deletion before an
// insertion before a match.
function matches(y, yHat, method) {
  const { cells, width } = costs(y, yHat, method);
  const lcs = method === "lcs";
  const found = [];
  let i = y.length, j = yHat.length;
  while (i && j) {
    const rise = cells[j * width + i] - cells[j * width + i - 1];
    if (rise === (lcs ? 0 : 1)) {
      i--;
      continue;
    }
    j--;
    const next = cells[j * width + i] - cells[j * width + i - 1];
    if (j && next === -1) continue;
    i--;
    if (y[i] === yHat[j]) found.push([i, j]);
  }
  return found.reverse();
}

// Matched stretches [start in y, start in ŷ, length].
function stretches(y, yHat, method) {
  let before = 0, after = 0;
  const shorter = Math.min(y.length, yHat.length);
  while (before < shorter && y[before] === yHat[before]) before++;
  while (after < shorter - before && y[y.length - 1 - after] === yHat[yHat.length - 1 - after]) after++;
  const inner = [y.slice(before, y.length - after), yHat.slice(before, yHat.length - after)];
  if ((inner[0].length + 1) * (inner[1].length + 1) > MAX_CELLS) return null;
  const runs = before ? [[0, 0, before]] : [];
  const add = (i, j, size) => {
    const last = runs[runs.length - 1];
    if (last && last[0] + last[2] === i && last[1] + last[2] === j) last[2] += size;
    else if (size) runs.push([i, j, size]);
  };
  for (const [i, j] of matches(...inner, method)) add(i + before, j + before, 1);
  add(y.length - after, yHat.length - after, after);
  return runs;
}

// Blocks [start in y, end in y, start in ŷ, end in ŷ] between matched stretches, or null where that takes too long.
export function alignedBlocks(y, yHat, method) {
  const runs = stretches(y, yHat, method);
  if (!runs) return null;
  const blocks = [];
  let i = 0, j = 0;
  for (const [startY, startHat, length] of [...runs, [y.length, yHat.length, 0]]) {
    let errorEnd = startY, repairEnd = startHat, size = length;
    const after = [startY + length, startHat + length];
    while (size && (i === errorEnd) !== (j === repairEnd) && y[i] === yHat[j]) {
      i++, errorEnd++, j++, repairEnd++, size--;
    }
    const nothing = i === errorEnd && j === repairEnd;
    const atEnd = after[0] === y.length && after[1] === yHat.length;
    if (!nothing && (size || atEnd)) blocks.push([i, errorEnd, j, repairEnd]);
    if (nothing || size || atEnd) [i, j] = after;
  }
  return blocks;
}

function marked(length, ranges) {
  const mask = new Array(length).fill(0);
  for (let [start, end] of ranges) {
    if (start === end) {
      start = Math.max(0, Math.min(start, length - 1));
      end = Math.min(start + 1, length);
    }
    mask.fill(1, start, end);
  }
  return mask;
}

// The masks m and m′ that blocks give.
export function blockMasks(blocks, lengthY, lengthHat) {
  return [marked(lengthY, blocks.map((one) => one.slice(0, 2))), marked(lengthHat, blocks.map((one) => one.slice(2)))];
}

// Blocks to link the sides of a record by: of the method whose masks are the record's, else Levenshtein's.
export function linkedBlocks(record) {
  const [y, yHat] = [record.error.token_ids, record.repair.token_ids];
  const found = ["levenshtein", "lcs"].map((method) => alignedBlocks(y, yHat, method));
  const agrees = (blocks) => {
    const masks = blocks && blockMasks(blocks, y.length, yHat.length);
    return masks && masks[0].join() === record.error.mask.join() && masks[1].join() === record.repair.mask.join();
  };
  return found.find(agrees) || found[0];
}
