// SPDX-License-Identifier: Apache-2.0
// Red flags: what a run's curves say that is no good, and what to do. A rule compares the first with the last quarter
// of a curve, so that single steps do not raise it; curves of fewer than 8 points raise none.

const FEWEST = 8;

function mean(points) {
  return points.reduce((sum, [, value]) => sum + value, 0) / points.length;
}

// Means of the first and the last quarter of a curve, or null.
export function quarters(points) {
  if (!points || points.length < FEWEST) return null;
  const size = Math.floor(points.length / 4);
  return { first: mean(points.slice(0, size)), last: mean(points.slice(-size)), step: points[points.length - size][0] };
}

const share = (value) => `${(100 * value).toFixed(0)}%`;

function dense(curves) {
  return ["error", "repair"].flatMap((side) => {
    const found = quarters(curves[`df/mask_density/${side}`]);
    if (!found || found.last < 0.8) return [];
    return [{
      title: `Masks cover nearly all of the ${side === "error" ? "wrong" : "repaired"} response`,
      what: `Density ${share(found.last)} over the last quarter: DF is then no more than the base objective.`,
      todo: "Sort the pairs by edit ratio: repairs that are written anew need a lower df.repair.temperature, more candidates (df.repair.n), or a repair model trained for small edits (verl-df train-repair).",
      metric: `df/mask_density/${side}`, step: found.step, link: { sort: "density", down: "1" },
    }];
  });
}

function infeasible(curves) {
  const found = quarters(curves["df/repair_feasible_rate"]);
  if (!found || found.first - found.last < 0.15) return [];
  return [{
    title: "Fewer and fewer errors get a right repair",
    what: `Feasible repairs fell from ${share(found.first)} to ${share(found.last)}.`,
    todo: "See by reason of rejection whether answers are wrong (the errors left are harder: raise df.repair.n, or train the repair model on rollouts of today's policy) or cut (raise the response length of repairs).",
    metric: "df/repair_feasible_rate", step: found.step, link: { state: "infeasible" },
  }];
}

function emptyMasks(curves) {
  const found = quarters(curves["df/empty_masks"]);
  const rows = ["error", "repair"].map((side) => quarters(curves[`df/rows/${side}`])?.last ?? 0);
  const total = rows[0] + rows[1];
  if (!found || !total || found.last / total < 0.05) return [];
  return [{
    title: "Rows of pairs are trained on without a gated token",
    what: `${share(found.last / total)} of the rows of pairs over the last quarter have a gate of 0 everywhere.`,
    todo: "Look at these pairs: with tools, differences fall on observation tokens; with a gate of steps or first segments the separator may not be the task's.",
    metric: "df/empty_masks", step: found.step, link: { state: "empty" },
  }];
}

function drifting(curves) {
  return Object.entries({ ppo_kl: "KL to the sampling policy", ref_kl: "KL to the reference model", entropy: "Entropy" }).flatMap(([name, label]) => {
    const repaired = quarters(curves[`df/repaired/${name}`]);
    if (!repaired) return [];
    const size = Math.abs(repaired.first);
    const own = quarters(curves[`df/policy/${name}`]);
    const rises = Math.abs(repaired.last) > 1.5 * size && Math.abs(repaired.last) - size > 0.01;
    if (!rises || (own && Math.abs(own.last) > 1.5 * Math.abs(own.first) + 0.01)) return [];
    return [{
      title: `${label} of repaired rows rises`,
      what: `From ${repaired.first.toPrecision(3)} to ${repaired.last.toPrecision(3)}, while the policy's own rows do not rise alike: the policy is pulled to texts that it would not write.`,
      todo: "Lower the share of repaired rows or their gate's reach, or repair with a copy of the policy instead of another model.",
      metric: `df/repaired/${name}`, step: repaired.step, link: { sort: "ratio", down: "1" },
    }];
  });
}

function misplaced(curves) {
  const precision = quarters(curves["df/mask_truth/precision"]);
  if (!precision || precision.first - precision.last < 0.05) return [];
  return Object.keys(curves).filter((name) => /^val-core\/.*\/acc\/mean@/.test(name)).flatMap((name) => {
    const points = curves[name];
    const gain = points.length > 1 ? points[points.length - 1][1] - points[0][1] : 0;
    if (gain < 0.02) return [];
    return [{
      title: "Accuracy rises while masks mark the wrong tokens",
      what: `${name} rose by ${(100 * gain).toFixed(1)} points; mask precision fell from ${share(precision.first)} to ${share(precision.last)}.`,
      todo: "The gain does not come from where DF points: compare with df.control.kind=random before crediting the masks, and sort the pairs by disagreement.",
      metric: "df/mask_truth/precision", step: precision.step, link: { sort: "disagreement", down: "1" },
    }];
  });
}

function differingPictures(curves) {
  const found = quarters(curves["training/rollout_probs_diff_mean"]);
  if (!found || found.last < 0.01) return [];
  return [{
    title: "Rollout and training do not see the same",
    what: `The probabilities of sampled tokens differ by ${found.last.toPrecision(2)} on average between rollout engine and actor: pictures or prompts are prepared in two ways, or weights are not taken over.`,
    todo: "Check that both read pictures alike: min_pixels and max_pixels in the data, the processor of the model's folder, the versions of requirements/pins.txt. python -m verl_df.lab.smoke compares the two on this machine.",
    metric: "training/rollout_probs_diff_mean", step: found.step, link: {},
  }];
}

function blind(curves) {
  const found = quarters(curves["repair/g_vis"]);
  if (!found || found.last >= 0.5) return [];
  return [{
    title: "Repairs do not depend on the picture",
    what: `${share(1 - found.last)} of the repairs of the last quarter were right without the picture too (g_vis of Eq. 3).`,
    todo: "Look whether the reference gives the answer away, or the question needs no picture: leave such rows out, or let fewer references be bare answers.",
    metric: "repair/g_vis", step: found.step, link: {},
  }];
}

function unseen(curves) {
  const found = quarters(curves["df/policy/picture_gain"]);
  if (!found || found.last >= 0.01) return [];
  return [{
    title: "Responses do not depend on the picture",
    what: `With the picture hidden the policy finds its own tokens as likely: ${found.last.toPrecision(2)} nats a token over the last quarter, ${found.first.toPrecision(2)} over the first.`,
    todo: "Look whether answers can be guessed from the question alone, and whether the picture reaches the model at all (the pair view shows what was logged; python -m verl_df.lab.smoke). df.loss.kind=papo rewards dependence on the picture.",
    metric: "df/policy/picture_gain", step: found.step, link: {},
  }];
}

export function redFlags(curves) {
  return [dense, infeasible, emptyMasks, drifting, misplaced, differingPictures, blind, unseen].flatMap((rule) => rule(curves));
}
