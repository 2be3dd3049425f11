# SPDX-License-Identifier: Apache-2.0
"""How long the inspector takes to open a large run, in a real browser (Debian's chromium).

    .venv/bin/python scripts/bench/inspector.py [--pairs 100000] [--tokens 100] [--rounds 3]

A run of that many pairs, 100 a step, is written to a temporary folder with what a run leaves beside them by default:
200 metrics a step, the groups of 8 prompts with 8 rollouts each, and what the update saw of the tokens of 4 pairs. It
is served and opened anew in every round. Per round, from the request for the page:

| figure | what it is |
| --- | --- |
| first_list_s | seconds until the first pairs are listed |
| all_pairs_s | seconds until every pair can be searched and sorted |
| one_pair_s | seconds from the click on a pair to its tokens and what the update saw of them, once all are loaded |
| groups_s | seconds until the groups of the last step are listed |
| curves_s | seconds until the curves are drawn |

The browser, its page and the server share the machine's cores, whose number is printed.
"""

import argparse
import json
import os
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from verl_df.lab.inspect.server import InspectServer
from verl_df.method.alignment import align
from verl_df.method.group_records import GROUPS, GROUPS_FILE, GroupRecord, RolloutRecord
from verl_df.method.records import PAIRS, PairRecord, TokenSide
from verl_df.method.token_arrays import TOKEN_ARRAYS, TOKEN_ARRAYS_FILE, TokenArrays, UpdateSide, rounded

DISTINCT = 500  # records that are written over and over, with a step, a prompt and a key of their own
PAIRS_A_STEP, GROUPS_A_STEP, ARRAYS_A_STEP, ROLLOUTS, METRICS = 100, 8, 4, 8, 200
LIMIT_MS = 300_000


def record(number: int, tokens: int) -> PairRecord:
    """A pair of `tokens` tokens with one replaced and a known truth; every fifth has no repair."""
    rng = random.Random(number)
    y = [rng.randrange(1000) for _ in range(tokens)]
    place = rng.randrange(tokens)
    y_hat = [*y[:place], 1000, *y[place + 1 :]]
    found = align(y, y_hat)
    feasible = number % 5 > 0

    def side(ids: list[int], mask: object, reward: float) -> TokenSide:
        return TokenSide.from_arrays(ids, [f" w{one}" for one in ids], mask, mask, reward)

    return PairRecord(
        step=number,
        uid=f"prompt-{number}",
        prompt=f"How many are {number}?",
        images=(),
        ground_truth=str(number),
        reference="It is 7.",
        reference_kind="sibling",
        error=side(y, found.error_mask, 0.0),
        repair=side(y_hat, found.repair_mask, 1.0) if feasible else None,
        edit_distance=found.distance if feasible else None,
        edit_ratio=found.edit_ratio if feasible else None,
        truth_mask=tuple(int(t == place) for t in range(tokens)),
        rejections=("wrong", None) if feasible else ("wrong", "unfinished"),
    )


def update_side(tokens: int, rng: random.Random) -> UpdateSide:
    """What the update saw of a response of a run without a reference model."""

    def numbers(low: float, high: float) -> tuple[float, ...]:
        return rounded(np.array([rng.uniform(low, high) for _ in range(tokens)]))

    ones = (1,) * tokens
    return UpdateSide(
        trained=ones,
        advantage=numbers(-1, 1),
        weight=numbers(0, 1),
        gated_advantage=numbers(-1, 1),
        old_log_prob=numbers(-3, 0),
        rollout_log_prob=numbers(-3, 0),
        log_prob=numbers(-3, 0),
        ratio=numbers(0.9, 1.1),
        clipped=(0,) * tokens,
        entropy=numbers(0, 2),
        ref_kl=None,
    )


def group(number: int, tokens: int) -> GroupRecord:
    """A prompt whose first rollout is right; the others are wrong, and repaired."""
    text = " ".join(f"w{(number + t) % 1000}" for t in range(tokens))
    right = RolloutRecord("right", text, tokens, 1.0, True, True, 1.0, None, None, None, False)
    samples = (f"{text} wrong", None)
    wrong = RolloutRecord("wrong", text, tokens, 0.0, True, True, 0.1, ("wrong", None), text, 1.0, True, samples)
    rollouts = (right, *[wrong] * (ROLLOUTS - 1))
    return GroupRecord(1, "prompt", f"How many are {number}?", (), str(number), text, "sibling", None, rollouts)


def write_lines(path: Path, made: Sequence[str], names: Iterable[dict[str, object]]) -> int:
    """Write records over and over, each with a name of its own: values of its first fields. Returns: bytes."""
    ends: list[str] = []
    with path.open("w", encoding="utf-8") as file:
        for number, own in enumerate(names):
            if number < len(made):
                content = json.loads(made[number])
                version = content.pop("schema_version")
                rest = {name: content[name] for name in content if name not in own}
                ends.append(json.dumps(rest, separators=(",", ":"))[1:])
            head = json.dumps({"schema_version": version, **own}, separators=(",", ":"))
            file.write(f"{head[:-1]},{ends[number % len(made)]}\n")
    return path.stat().st_size


def key(number: int) -> str:
    """Of the wrong rollout of a pair."""
    return f"prompt-{number // 4}_{number % 4}_0"


def write_run(folder: Path, pairs: int, tokens: int) -> int:
    """Write all files of a run. Returns: their size in bytes."""
    numbers, rng = range(min(DISTINCT, pairs)), random.Random(0)
    steps = range(1, 2 + (pairs - 1) // PAIRS_A_STEP)
    made = [PAIRS.dump(record(number, tokens)) for number in numbers]
    own = ({"step": 1 + n // PAIRS_A_STEP, "uid": f"prompt-{n // 4}", "key": key(n)} for n in range(pairs))
    size = write_lines(folder / "pairs.jsonl", made, own)
    sides = [update_side(tokens, rng) for _ in range(20)]
    made = [TOKEN_ARRAYS.dump(TokenArrays(1, "key", rng.choice(sides), rng.choice(sides))) for _ in range(50)]
    own = ({"step": step, "key": key((step - 1) * PAIRS_A_STEP + k)} for step in steps for k in range(ARRAYS_A_STEP))
    size += write_lines(folder / TOKEN_ARRAYS_FILE, made, own)
    made = [GROUPS.dump(group(number, tokens)) for number in range(50)]
    prompts = PAIRS_A_STEP // 4
    own = ({"step": step, "uid": f"prompt-{(step - 1) * prompts + k}"} for step in steps for k in range(GROUPS_A_STEP))
    size += write_lines(folder / GROUPS_FILE, made, own)
    with (folder / "metrics.jsonl").open("w", encoding="utf-8") as file:
        for step in steps:
            data = {f"part{n % 9}/metric{n}": rng.random() for n in range(METRICS)}
            file.write(json.dumps({"step": step, "data": {**data, "df/repair_feasible_rate": rng.random()}}) + "\n")
    return size + (folder / "metrics.jsonl").stat().st_size


def open_run(browser: Browser, folder: Path, pairs: int) -> dict[str, float]:
    """Serve the run anew, open its page, and take the times."""
    with InspectServer(folder, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        page = browser.new_page()
        page.set_default_timeout(LIMIT_MS)
        start = time.perf_counter()
        page.goto(server.address)
        page.locator("#pair-list tbody tr").first.wait_for()
        first = time.perf_counter() - start
        page.wait_for_function("n => document.getElementById('loaded').textContent === `${n} pairs`", arg=pairs)
        everything = time.perf_counter() - start
        click = time.perf_counter()
        page.locator("#pair-list tbody a").first.click()
        page.locator("#pair .tokens .t").first.wait_for()
        page.locator("#update-notes", has_text="Not logged in this run").wait_for()
        one = time.perf_counter() - click
        last = 1 + (pairs - 1) // PAIRS_A_STEP
        seen = {
            "groups_s": seen_after(page, f"{server.address}#view=groups&step={last}", "#groups .group"),
            "curves_s": seen_after(page, f"{server.address}#view=curves", "#curves svg"),
        }
        page.close()
        server.shutdown()
        thread.join()
    taken = {"first_list_s": first, "all_pairs_s": everything, "one_pair_s": one, **seen}
    return {name: round(seconds, 2) for name, seconds in taken.items()}


def seen_after(page: Page, address: str, what: str) -> float:
    """Seconds from a change of the page's address to something that is shown."""
    start = time.perf_counter()
    page.goto(address)
    page.locator(what).first.wait_for()
    return time.perf_counter() - start


def main() -> None:
    """Print one line for the run and one for each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--tokens", type=int, default=100, help="of each side of a pair (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("no chromium on the path: install Debian's package with scripts/setup_chromium.sh")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        size = write_run(Path(name), arguments.pairs, arguments.tokens)
        cores = len(os.sched_getaffinity(0))
        print(json.dumps({"pairs": arguments.pairs, "megabytes": round(size / 1e6), "cores": cores}), flush=True)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(arguments.rounds):
            print(json.dumps(open_run(browser, Path(name), arguments.pairs)), flush=True)
        browser.close()


if __name__ == "__main__":
    main()
