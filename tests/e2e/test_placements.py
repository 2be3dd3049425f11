# SPDX-License-Identifier: Apache-2.0
"""The four places of the repair model on the same rollouts, with greedy repair: the same repairs, so the same rows.

All are asked for each repair of one run, which ends where two of them differ. The rollouts are those of the recorded
run; the endpoint is vLLM's own server, and is killed after the first step.
"""

import threading
import time
from pathlib import Path

import pytest

from tests.e2e import every_placement
from tests.e2e.conftest import SIZES, STEPS, Run, rollout_record, start_run
from tests.e2e.served import Served, served

LONGEST = 576  # a repair prompt of the toy and its response
SETTINGS = (
    "df.repair.n=1",
    "df.repair.temperature=0",
    "df.log.pairs_per_step=-1",
    "ray_kwargs.ray_init.num_gpus=2",  # the trainer's stand-in, and one for the dedicated engine
    f"actor_rollout_ref.rollout.max_model_len={LONGEST}",  # the policy reads repair prompts too
    "trainer.val_before_train=False",
    "trainer.test_freq=-1",
    "trainer.save_freq=-1",
)


def kill_after(pairs: Path, server: Served) -> None:
    """Kill the server as soon as a step has left its pairs."""
    while not pairs.exists() or not pairs.read_text():
        time.sleep(0.05)
    server.kill()


def run_in_every_place(world: Path, folder: Path, rollouts: Path) -> Run:
    with served(world / "repair", every_placement.MODEL, folder, "--max-model-len", str(LONGEST)) as server:
        threading.Thread(target=kill_after, args=(folder / "run/pairs.jsonl", server), daemon=True).start()
        variables = {
            **SIZES,
            "POLICY": str(world / "repair"),
            "LR": "0",  # and it has to stay the repair model
            "MAIN": "tests.e2e.run_every_placement",
            every_placement.URL: server.url,
        }
        return start_run(world, folder / "run", *SETTINGS, *rollout_record(rollouts), **variables)


@pytest.fixture(scope="module")
def run(recorded: tuple[Run, Path], world: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_in_every_place(world, tmp_path_factory.mktemp("placements"), recorded[1])


def test_every_place_gives_the_same_repairs(run: Run) -> None:
    """That two differ would have ended the run; here is that there was something to compare."""
    first = run.metrics[1]
    assert first["df/repaired"] >= 5 and first["df/rejected/no_answer"] == first["df/rejected/other_tokens"] == 0
    assert len([pair for pair in run.pairs if pair["step"] == 1 and pair["repair"]]) == first["df/repaired"]


def test_engines_elsewhere_pass_the_self_test_first(run: Run) -> None:
    assert "self-test of df.repair.placement=colocated: passed" in run.log


def test_a_server_that_dies_costs_the_repairs_of_its_pairs_and_nothing_else(run: Run) -> None:
    assert len(run.series("df/asked")) == STEPS
    last = run.metrics[STEPS]
    assert last["df/rejected/no_answer"] == last["df/asked"] > 0 == last["df/repaired"]
    assert last["actor/grad_norm"] > 0  # the base objective's step on the sampled groups
