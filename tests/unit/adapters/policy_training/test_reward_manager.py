# SPDX-License-Identifier: Apache-2.0
"""DF's reward manager: verl's reward with `r_task` beside it, and the repair of whole groups."""

import asyncio
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf, open_dict
from tensordict import TensorDict
from verl import DataProto
from verl.experimental.reward_loop.reward_manager import get_reward_manager_cls

from tests.unit.adapters.support import Words, composed
from verl_df.adapters.policy_training import group_feedback as module
from verl_df.adapters.policy_training.group_exchange import CLIENT, GROUP, GroupRow
from verl_df.adapters.policy_training.placement import sample_seeds
from verl_df.adapters.policy_training.reward_manager import DFRewardManager
from verl_df.adapters.reward_request import score_request, task_reward
from verl_df.method.feedback import FeedbackConfig, GroupRequest, RepairSample
from verl_df.method.group import Rollout
from verl_df.settings.config import RepairConfig, load_df_config

WORDS = Words(["two", "and", "make", "four", "five", "so"])
RIGHT, WRONG = "two and two make four", "two and two make five"
COLUMNS = {
    "raw_prompt": [
        {"role": "user", "content": [{"type": "image", "image": "x.png"}, {"type": "text", "text": "2+2?"}]}
    ],
    "data_source": "test",
    "reward_model": {"style": "rule", "ground_truth": "four"},
    "extra_info": {"index": 0},
    "index": 0,
}


def as_float(data_source: str, solution_str: str, ground_truth: str, extra_info: dict, **_: Any) -> float:
    return float(ground_truth in solution_str)


def as_dict(data_source: str, solution_str: str, ground_truth: str, extra_info: dict, **_: Any) -> dict:
    right = ground_truth in solution_str
    return {"score": 1.0 if right else -1.0, "acc": right, "pred": solution_str}


async def as_awaitable(**given: Any) -> float:
    return as_float(**given)


@pytest.fixture(scope="module")
def config() -> DictConfig:
    config = composed()
    with open_dict(config.reward):
        config.reward.reward_kwargs = OmegaConf.create(
            {"max_resp_len": 5, "overlong_buffer_cfg": {"enable": True, "len": 4, "penalty_factor": 1.0, "log": True}}
        )
    return config


def manager(config: DictConfig, compute_score: Any = as_float, **df: Any) -> DFRewardManager:
    changed = config.copy()
    for key, value in df.items():
        OmegaConf.update(changed.df, key.replace("__", "."), value)
    return DFRewardManager(changed, WORDS, compute_score)


def rollout_data(text: str) -> DataProto:
    """One padded rollout as verl's agent loop sends it."""
    ids = torch.tensor([WORDS.ids(text)])
    response = torch.nn.functional.pad(ids, (0, 2))
    mask = torch.tensor([[1] * (3 + ids.shape[1]) + [0, 0]])
    tensors = {"prompts": torch.ones(1, 3, dtype=torch.int64), "responses": response, "attention_mask": mask}
    columns = {name: np.array([value], dtype=object) for name, value in COLUMNS.items() if name != "raw_prompt"}
    columns["extra_info"][0] = dict(COLUMNS["extra_info"])
    columns["__num_turns__"] = np.array([2])
    return DataProto(batch=TensorDict(tensors, batch_size=1), non_tensor_batch=columns)


def run(made: Any, data: DataProto) -> dict:
    async def call() -> dict:
        made.loop = asyncio.get_running_loop()
        base = getattr(made, "base", made)
        base.loop = made.loop
        return await made.run_single(data)

    return asyncio.run(call())


# ---- single rollouts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["naive", "dapo"])
@pytest.mark.parametrize("compute_score", [as_float, as_dict, as_awaitable])
@pytest.mark.parametrize("text", [RIGHT, WRONG])
def test_verls_reward_is_left_as_it_is_and_r_task_comes_beside_it(
    config: DictConfig, name: str, compute_score: Any, text: str
) -> None:
    base = run(get_reward_manager_cls(name)(config, WORDS, compute_score), rollout_data(text))
    ours = run(manager(config, compute_score, reward_manager=name), rollout_data(text))
    info = ours.pop("reward_extra_info")
    r_task = info.pop("r_task")
    assert (ours, info) == ({"reward_score": base["reward_score"]}, base["reward_extra_info"])
    assert (r_task, type(r_task)) == (float(text == RIGHT), float)


def test_a_penalty_for_length_does_not_touch_r_task(config: DictConfig) -> None:
    result = run(manager(config, reward_manager="dapo"), rollout_data(RIGHT))
    assert float(result["reward_score"]) == pytest.approx(1.0 - 5 / 4)  # 6 tokens, 1 is free, over a buffer of 4
    assert result["reward_extra_info"]["r_task"] == 1.0


@pytest.mark.parametrize(
    ("reward_score", "info", "expected"),
    [
        (0.7, {"acc": 0.7}, 0.7),  # a reward function that returns a number
        (0.5, {"acc": 1.0, "overlong_reward": -0.5}, 1.0),
        (0.3, {"score": 0.8}, 0.8),
        (1.0, {"score": 1.0, "acc": False}, 0.0),
        (-1.0, {"score": -1.0, "acc": False, "pred": "5"}, 0.0),  # verl's math_dapo
        (torch.tensor(0.25), {}, 0.25),
    ],
)
def test_where_r_task_comes_from(reward_score: Any, info: dict, expected: float) -> None:
    assert task_reward({"reward_score": reward_score, "reward_extra_info": info}) == expected


def test_the_wrapped_manager_must_be_known(config: DictConfig) -> None:
    with pytest.raises(ValueError, match="Unknown reward manager: nayve"):
        manager(config, reward_manager="nayve")


# ---- groups ----------------------------------------------------------------------------------------------------------


class FakeRepairModel:
    """Answers each repair request with the given samples; writes down the prompts."""

    prompts: list[list[dict]] = []
    samples: list[RepairSample] = []
    max_concurrency = 0

    @classmethod
    def open(cls, repair: RepairConfig, max_concurrency: int) -> "FakeRepairModel":
        cls.max_concurrency = max_concurrency
        return cls()

    async def sample(self, messages: list[dict], seeds: list[int], session: str) -> list[RepairSample]:
        assert session == "u"  # the prompt's uid: its repairs go to one engine
        assert seeds == sample_seeds("seed-1", len(seeds))
        self.prompts.append(messages)
        return self.samples[: len(seeds)]


@pytest.fixture
def repair_model() -> type[FakeRepairModel]:
    """A model of which each test has its own."""
    return type("Fresh", (FakeRepairModel,), {"prompts": [], "samples": []})


def group_data(connection: type[FakeRepairModel], *texts: str) -> DataProto:
    rollouts = tuple(
        Rollout(f"u_{number}_0", WORDS.ids(text), float(text == RIGHT), (True,) * len(WORDS.ids(text)), True)
        for number, text in enumerate(texts)
    )
    request = GroupRequest("u", rollouts, "four", "seed")
    rows = np.empty(1, dtype=object)
    rows[0] = GroupRow(request, COLUMNS)
    dummy = TensorDict({"dummy": torch.zeros(1, 1)}, batch_size=1)
    return DataProto(batch=dummy, non_tensor_batch={GROUP: rows}, meta_info={CLIENT: connection})


def sample(text: str) -> RepairSample:
    return RepairSample(WORDS.ids(text), True, False)


def test_a_group_row_comes_back_as_an_optimised_group(config: DictConfig, repair_model) -> None:
    repair_model.samples = [sample(WRONG + " so"), sample(RIGHT), sample("four")]
    result = run(manager(config, repair__n=2), group_data(repair_model, RIGHT, WRONG))[GROUP]
    assert {key: gate.tolist() for key, gate in result.gates.items()} == {"u_1_0": [0, 0, 0, 0, 1, 0]}
    (repair,) = result.repairs
    assert (repair.source, tuple(repair.token_ids)) == ("u_1_0", WORDS.ids(RIGHT))
    assert repair.gate.tolist() == [0, 0, 0, 0, 1, 0] and repair.loss_mask.all()
    assert result.attempts[0].rejections == ("wrong", None)  # n=2: the third is not asked for
    (prompt,) = repair_model.prompts
    assert COLUMNS["raw_prompt"][0]["content"][0] in prompt[0]["content"]  # the image stays
    words = "".join(item.get("text", "") for item in prompt[0]["content"])
    assert all(text in words for text in ("2+2?", WRONG, RIGHT))


@pytest.mark.parametrize("kind", ["answer_again", "answer_after_reference"])
def test_answers_again_do_not_see_the_wrong_response(config: DictConfig, repair_model, kind: str) -> None:
    repair_model.samples = [sample("so four"), sample(RIGHT)]
    placed = {"control__kind": kind, "repair__placement": "policy"}
    result = run(manager(config, repair__n=2, **placed), group_data(repair_model, RIGHT, WRONG))[GROUP]
    (repair,) = result.repairs
    assert tuple(repair.token_ids) == WORDS.ids(RIGHT)  # of right ones the one with the fewest edits
    (prompt,) = repair_model.prompts
    assert COLUMNS["raw_prompt"][0]["content"][0] in prompt[0]["content"]
    words = "".join(item.get("text", "") for item in prompt[0]["content"])
    assert "2+2?" in words and WRONG not in words
    assert (RIGHT in words) == (kind == "answer_after_reference")
    assert (prompt == COLUMNS["raw_prompt"]) == (kind == "answer_again")


def test_repairs_are_judged_by_the_wrapped_manager(config: DictConfig, repair_model) -> None:
    repair_model.samples = [sample(RIGHT)]
    seen = []

    def compute_score(data_source: str, solution_str: str, ground_truth: str, extra_info: dict, **_: Any) -> dict:
        seen.append((data_source, solution_str, ground_truth, extra_info["index"]))
        extra_info["spoilt"] = True
        return as_dict(data_source, solution_str, ground_truth, extra_info)

    made = manager(config, compute_score, reward_manager="dapo", repair__n=1)
    result = run(made, group_data(repair_model, RIGHT, WRONG))[GROUP]
    assert seen == [("test", RIGHT, "four", 0)]
    (repair,) = result.repairs
    assert (repair.reward, repair.r_task) == (pytest.approx(1.0 - 5 / 4), 1.0)
    assert COLUMNS["extra_info"] == {"index": 0}  # the row's own columns are not written into


def test_reward_workers_share_the_concurrency(config: DictConfig, repair_model) -> None:
    repair_model.samples = [sample(RIGHT)]
    for total, own in ((100, 100 // config.reward.num_workers), (1, 1)):
        run(manager(config, repair__max_concurrency=total), group_data(repair_model, RIGHT, WRONG))
        assert repair_model.max_concurrency == own


def test_another_template(config: DictConfig, repair_model, tmp_path) -> None:
    template = tmp_path / "t.txt"
    template.write_text("fix {response} like {reference} for {question}")
    repair_model.samples = [sample(RIGHT)]
    run(manager(config, repair__prompt_template=str(template)), group_data(repair_model, RIGHT, WRONG))
    first = repair_model.prompts[0][0]["content"][0]
    assert first == {"type": "text", "text": f"fix {WRONG} like {RIGHT} for "}


def test_masks_are_scored_where_the_truth_is_known(config: DictConfig, repair_model, tmp_path) -> None:
    source = tmp_path / "truth.py"
    source.write_text(
        "def wrong(token_ids, extra_info, tokenizer):\n"
        "    assert extra_info['index'] == 0\n"
        "    return [tokenizer.decode([token]) == 'five' for token in token_ids]\n"
    )
    repair_model.samples = [sample(RIGHT)]
    made = manager(config, truth__path=str(source), truth__name="wrong")
    outcome = run(made, group_data(repair_model, RIGHT, WRONG))[GROUP].outcome
    assert (outcome.truth.tp, outcome.truth.fp, outcome.truth.fn) == (1, 0, 0)
    assert run(manager(config), group_data(repair_model, RIGHT, WRONG))[GROUP].outcome.truth is None


def test_steps_follow_the_separator(config: DictConfig, repair_model) -> None:
    made = manager(config, gate__level="step", gate__step_separator="sentence")
    repair_model.samples = [sample(RIGHT)]
    result = run(made, group_data(repair_model, RIGHT, WRONG))[GROUP]
    gates = [*result.gates.values(), *(repair.gate for repair in result.repairs)]
    assert [gate.tolist() for gate in gates] == [[1.0] * 6] * 2  # no sentence ends: one step


def test_the_method_gets_the_blocks_of_the_configuration(config: DictConfig, repair_model, monkeypatch) -> None:
    seen, difference_feedback = [], module.difference_feedback

    def note(request: GroupRequest, settings: FeedbackConfig, models: Any) -> Any:
        seen.append(settings)
        return difference_feedback(request, settings, models)

    monkeypatch.setattr(module, "difference_feedback", note)
    repair_model.samples = [sample(RIGHT)]
    made = manager(
        config,
        group__mode="gate_only",
        alignment__method="lcs",
        repair__repair_truncated=False,
        repair__reward_threshold=0.75,
    )
    run(made, group_data(repair_model, RIGHT, WRONG))
    df = load_df_config({"group": {"mode": "gate_only"}, "alignment": {"method": "lcs"}})
    assert seen == [FeedbackConfig(df.group, df.alignment, df.gate, repair_truncated=False, repair_threshold=0.75)]


def test_a_request_for_a_reward_has_no_padding_and_columns_of_its_own() -> None:
    request = score_request(COLUMNS, (1, 2, 0))
    assert request.batch["responses"].tolist() == [[1, 2, 0]]
    assert request.batch["attention_mask"].tolist() == [[1, 1, 1]]
    assert request.batch["prompts"].shape == (1, 0)
    assert request.non_tensor_batch["extra_info"][0] is not COLUMNS["extra_info"]
    assert request.non_tensor_batch["reward_model"][0] == COLUMNS["reward_model"]
