# SPDX-License-Identifier: Apache-2.0
"""How long the inspector takes to open a large run, in a real browser (Debian's chromium).

    .venv/bin/python scripts/bench/inspector.py [--pairs 100000] [--tokens 100] [--rounds 3]

A run of that many pairs is written to a temporary folder, and served and opened anew in every round. Per round, from
the request for the page:

| figure | what it is |
| --- | --- |
| first_list_s | seconds until the first pairs are listed |
| all_pairs_s | seconds until every pair can be searched and sorted |
| one_pair_s | seconds from the click on a pair to its tokens, once all are loaded |

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
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from verl_df.lab.inspect.server import InspectServer
from verl_df.method.alignment import align
from verl_df.method.records import PAIRS, PairRecord, TokenSide

DISTINCT = 500  # records that are written over and over, with a step and a prompt of their own
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


def write_run(folder: Path, pairs: int, tokens: int) -> int:
    """Write pairs.jsonl. Returns: its size in bytes."""
    ends = []
    for number in range(min(DISTINCT, pairs)):
        content = json.loads(PAIRS.dump(record(number, tokens)))
        del content["step"], content["uid"]
        ends.append(json.dumps(content, separators=(",", ":"))[1:])
    with (folder / "pairs.jsonl").open("w", encoding="utf-8") as file:
        for number in range(pairs):
            file.write(f'{{"step":{1 + number // 100},"uid":"prompt-{number // 4}",{ends[number % len(ends)]}\n')
    return (folder / "pairs.jsonl").stat().st_size


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
        one = time.perf_counter() - click
        page.close()
        server.shutdown()
        thread.join()
    return {"first_list_s": round(first, 2), "all_pairs_s": round(everything, 2), "one_pair_s": round(one, 2)}


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
