# SPDX-License-Identifier: Apache-2.0
"""The repair model's training: what is asked of the engine, what a repair earns, what a step logs."""

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from qwen_vl_utils import fetch_image, fetch_video
from tensordict import TensorDict
from verl import DataProto
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop

from tests.unit.adapters.support import Words, composed
from tests.unit.clips import write_video
from tests.unit.endpoint_fake import MODEL, says, serve
from verl_df.adapters.judge_reward_manager import JudgeRewardManager
from verl_df.adapters.repair_training.agent_loop import RepairAgentLoop, counterfactual_messages, without_images
from verl_df.adapters.repair_training.fields import COUNTERFACTUAL, COUNTERFACTUAL_FAILED
from verl_df.adapters.repair_training.reward_manager import RepairRewardManager
from verl_df.judges.audit_log import AUDITS
from verl_df.prompts import HIDDEN_REFERENCE, load_template
from verl_df.settings.repair_config import ImageRemovalConfig, load_repair_training_config

WORDS = Words(["two", "and", "make", "four", "five", "so", "six"])
PICTURE = Image.new("RGB", (28, 28), (200, 10, 10))
MESSAGES = [
    {"role": "user", "content": [{"type": "image", "image": PICTURE}, {"type": "text", "text": "How many?"}]},
]
WRONG, RIGHT = "two and two make five", "two and two make four"
TASK = {"response": WRONG, "response_ids": list(WORDS.ids(WRONG)), "reference": "four", "reference_kind": "answer"}


# ---- the agent loop --------------------------------------------------------------------------------------------------


class Output:
    """What verl's agent loop returns, as far as it matters here."""

    def __init__(self, ids: list[int]) -> None:
        self.response_ids, self.extra_fields = ids, {}


def text_of(messages: list[dict]) -> str:
    return "".join(item.get("text", f"<{item['type']}>") for item in messages[-1]["content"])


def image_of(messages: list[dict]) -> np.ndarray:
    return np.asarray(next(item["image"] for item in messages[-1]["content"] if item["type"] == "image"))


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> list[list[dict]]:
    """verl's single-turn loop replaced: keeps the prompts; an hour for one with a blank image, if told so."""
    prompts: list[list[dict]] = []

    async def run(self: Any, sampling_params: dict, priority: int = 0, **kwargs: Any) -> Output:
        assert "repair_task" not in kwargs and kwargs["uid"].startswith("u")
        prompts.append(kwargs["raw_prompt"])
        blank = not image_of(kwargs["raw_prompt"]).any()
        assert sampling_params["temperature"] == (0.0 if blank else 1.0)
        if blank and getattr(self, "slow", False):
            await asyncio.sleep(3600)
        return Output([9] if blank else [1, 2])

    monkeypatch.setattr(SingleTurnAgentLoop, "run", run)
    return prompts


def agent_loop(**df: Any) -> RepairAgentLoop:
    loop = object.__new__(RepairAgentLoop)
    loop.df, loop._template, loop.processor = load_repair_training_config(df), None, None
    return loop


UIDS = (f"u{number}" for number in itertools.count())


def sample(loop: RepairAgentLoop) -> Output:
    given = {"raw_prompt": np.array(MESSAGES), "repair_task": TASK, "uid": next(UIDS)}
    return asyncio.run(loop.run({"temperature": 1.0}, 0, **given))


def test_the_samples_of_a_task_share_a_counterfactual(engine: list) -> None:
    async def group(uid: str) -> list[Output]:
        given = {"raw_prompt": MESSAGES, "repair_task": TASK, "uid": uid}
        return await asyncio.gather(*(agent_loop().run({"temperature": 1.0}, 0, **given) for _ in range(4)))

    first, other = asyncio.run(group(next(UIDS))), asyncio.run(group(next(UIDS)))
    assert len(engine) == 2 * (4 + 1)
    assert all(output.extra_fields[COUNTERFACTUAL] == [9] for output in first + other)


def test_a_repair_and_its_counterfactual(engine: list) -> None:
    output = sample(agent_loop())
    assert output.response_ids == [1, 2]
    assert output.extra_fields == {COUNTERFACTUAL: [9], COUNTERFACTUAL_FAILED: False}
    asked = {bool(image_of(prompt).any()): text_of(prompt) for prompt in engine}
    assert len(engine) == 2
    assert WRONG in asked[True] and "four" in asked[True] and "How many?" in asked[True]
    assert WRONG in asked[False] and HIDDEN_REFERENCE in asked[False] and "four" not in asked[False]
    assert image_of(MESSAGES).any()  # the prompt of the row is left as it was


def test_switched_off_there_is_one_call(engine: list) -> None:
    output = sample(agent_loop(image_removal={"kind": "off"}))
    assert output.extra_fields == {COUNTERFACTUAL: None, COUNTERFACTUAL_FAILED: False} and len(engine) == 1


def test_a_slow_counterfactual_is_given_up_and_said(engine: list) -> None:
    loop = agent_loop(image_removal={"timeout_s": 0.2})
    loop.slow = True
    output = sample(loop)
    assert output.response_ids == [1, 2]
    assert output.extra_fields == {COUNTERFACTUAL: None, COUNTERFACTUAL_FAILED: True}


def test_counterfactuals_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    now, most = 0, 0

    async def run(self: Any, sampling_params: dict, priority: int = 0, **kwargs: Any) -> Output:
        nonlocal now, most
        if not image_of(kwargs["raw_prompt"]).any():
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.1)
            now -= 1
        return Output([1])

    monkeypatch.setattr(SingleTurnAgentLoop, "run", run)

    async def many() -> None:
        loops = [agent_loop(image_removal={"max_concurrency": 3}) for _ in range(12)]
        calls = (loop.run({}, raw_prompt=MESSAGES, repair_task=TASK, uid=next(UIDS)) for loop in loops)
        await asyncio.gather(*calls)

    asyncio.run(many())
    assert most == 3


def test_the_reference_may_be_shown_and_the_noise_follows_the_task() -> None:
    removal = ImageRemovalConfig(kind="noise", reference="shown")
    first, again = (counterfactual_messages(MESSAGES, TASK, removal, None) for _ in range(2))
    other = counterfactual_messages(MESSAGES, TASK | {"response": "two"}, removal, None)
    assert "four" in text_of(first)
    assert (image_of(first) == image_of(again)).all() and (image_of(first) != image_of(other)).any()


def test_image_removal_keeps_size_settings_and_plain_text() -> None:
    item = {"type": "image", "image": PICTURE, "bytes": b"x", "min_pixels": 784}
    system = {"role": "system", "content": "Look."}
    removed = without_images([system, {"role": "user", "content": [item]}], "blank", 0)
    assert removed[0] == system
    (image,) = removed[1]["content"]
    assert image.keys() == {"type", "image", "min_pixels"} and image["image"].size == PICTURE.size


@pytest.mark.parametrize("patch_size", [14, 16])
def test_the_picture_without_content_has_as_many_tokens_as_the_picture(patch_size: int) -> None:
    item = {"type": "image", "image": Image.new("RGB", (100, 140), "red"), "max_pixels": 9000}
    (message,) = without_images([{"role": "user", "content": [item]}], "blank", 0, patch_size)
    sizes = [fetch_image(one, image_patch_size=patch_size).size for one in (item, message["content"][0])]
    assert sizes[0] == sizes[1]


def clip(count: int, size: tuple[int, int]) -> list[Image.Image]:
    return [Image.new("RGB", size, (10 * number, 100, 200)) for number in range(count)]


@pytest.mark.parametrize("kind", ["blank", "noise"])
@pytest.mark.parametrize(
    "options",
    [
        {"count": 4, "size": (112, 56), "sample_fps": 4.0, "min_pixels": 56 * 112},
        {
            "count": 5,
            "size": (168, 168),
            "max_pixels": 112 * 112,
            "min_pixels": 784,
        },  # an odd number: the last is repeated
        {"count": 8, "size": (168, 112), "rate": 8, "nframes": 6, "min_pixels": 84 * 140, "max_pixels": 84 * 140},
    ],
)
def test_a_removed_clip_has_the_size_and_the_times_of_the_clip(tmp_path: Path, kind: str, options: dict) -> None:
    frames, rate = clip(options["count"], options["size"]), options.get("rate")
    pixels = [np.asarray(frame) for frame in frames]
    video = frames if rate is None else write_video(tmp_path / "a.mp4", pixels, rate)
    kept = {name: value for name, value in options.items() if name not in ("count", "size", "rate")}
    item = {"type": "video", "video": video, **kept}
    removed = without_images([{"role": "user", "content": [item]}], kind, 0)
    assert item["video"] is video  # the prompt of the row is left as it was
    clips = [fetch_video(one, return_video_sample_fps=True) for one in (item, removed[0]["content"][0])]
    (before, rate_before), (after, rate_after) = clips
    assert before.shape == after.shape and rate_before == rate_after
    if kind == "blank":
        assert not after.any()
    else:
        assert (after[0] != after[1]).any() and after.std() > 30


# ---- the reward ------------------------------------------------------------------------------------------------------


def by_last_word(data_source: str, solution_str: str, ground_truth: str, extra_info: dict, **_: Any) -> float:
    assert "seen" not in extra_info  # each call has its own: verl's manager writes into it
    extra_info["seen"] = True
    return float(solution_str.split()[-1:] == [ground_truth])


def reward(tmp_path: Path, repair: str, removed: str | None, failed: bool = False, **df: Any) -> dict:
    config = composed(f"trainer.default_local_dir={tmp_path}", name="repair_trainer")
    config.df = OmegaConf.merge(config.df, df)

    async def score() -> dict:  # verl's managers keep the event loop in which they are made
        return await RepairRewardManager(config, WORDS, by_last_word).run_single(request(repair, removed, failed))

    return asyncio.run(score())


def request(repair: str, removed: str | None, failed: bool) -> DataProto:
    """One repair as verl's agent loop sends it, padded on the right."""
    ids = torch.tensor([WORDS.ids(repair)])
    mask = torch.tensor([[1] * (3 + ids.shape[1]) + [0, 0]])
    response = torch.nn.functional.pad(ids, (0, 2))
    tensors = {"prompts": torch.ones(1, 3, dtype=torch.int64), "responses": response, "attention_mask": mask}
    extra = {COUNTERFACTUAL: removed and list(WORDS.ids(removed)), COUNTERFACTUAL_FAILED: failed}
    columns = {
        "raw_prompt": MESSAGES,
        "data_source": "test",
        "reward_model": {"style": "rule", "ground_truth": "four"},
        "extra_info": {"index": 0},
        "repair_task": TASK,
        "tool_extra_fields": extra,
        "uid": "u",
        "session_id": 3,
        "global_steps": 5,
    }
    arrays = {}
    for name, value in columns.items():
        arrays[name] = np.empty(1, dtype=object)
        arrays[name][0] = value
    return DataProto(batch=TensorDict(tensors, batch_size=1), non_tensor_batch=arrays)


LENGTH = len(TASK["response_ids"])


@pytest.mark.parametrize(
    ("repair", "removed", "expected"),
    [
        (RIGHT, WRONG, 1 - 0.5 / LENGTH),
        (RIGHT, RIGHT, 0.0),  # right without the image too
        (RIGHT, None, 1 - 0.5 / LENGTH),
        (WRONG, WRONG, 0.0),
        ("two and two make six", WRONG, -0.5 / LENGTH),
    ],
)
def test_reward_is_equation_4(tmp_path: Path, repair: str, removed: str | None, expected: float) -> None:
    result = reward(tmp_path, repair, removed)
    assert result["reward_score"] == pytest.approx(expected)
    info = result["reward_extra_info"]
    assert info["acc"] == info["r_task"] == float(repair == RIGHT) and info["r_rep"] == result["reward_score"]
    assert info["g_vis"] == float(removed != RIGHT) and info["g_aud"] == 1 and info["audit_failed"] == 0
    assert all(isinstance(value, float) for value in info.values())
    assert not list(tmp_path.rglob("*.jsonl"))  # no auditor, no log


def test_edit_penalty_is_lambda(tmp_path: Path) -> None:
    assert reward(tmp_path, RIGHT, WRONG, edit_penalty=0.0)["reward_score"] == 1.0
    assert reward(tmp_path, RIGHT, WRONG, edit_penalty=2.0)["reward_score"] == pytest.approx(1 - 2 / LENGTH)


def test_a_failed_counterfactual_passes_and_is_counted(tmp_path: Path) -> None:
    result = reward(tmp_path, RIGHT, None, failed=True)
    assert result["reward_extra_info"]["removed_failed"] == 1 and result["reward_extra_info"]["g_vis"] == 1


def auditor(url: str, **other: Any) -> dict:
    endpoint = {"base_url": url, "model": MODEL, "timeout_s": 5.0, "max_retries": 0}
    return {"auditor": {"enabled": True, "endpoint": endpoint, **other}}


def finding(hacking: bool) -> str:
    from verl_df.judges.failure_mode import FailureMode

    mode = next(mode for mode in FailureMode if mode != FailureMode.NONE) if hacking else FailureMode.NONE
    return json.dumps({"hacking": hacking, "failure_mode": mode.value, "evidence": "because"})


@pytest.mark.parametrize(("hacking", "gate"), [(True, 0), (False, 1)])
def test_the_auditor_gates_right_repairs_and_its_words_are_kept(tmp_path: Path, hacking: bool, gate: int) -> None:
    with serve(says(finding(hacking))) as endpoint:
        result = reward(tmp_path, RIGHT, WRONG, **auditor(endpoint.url))
        assert len(endpoint.requests) == 1
    assert result["reward_extra_info"]["g_aud"] == gate
    assert result["reward_score"] == pytest.approx(gate * (1 - 0.5 / LENGTH))
    (file,) = (tmp_path / "df").glob("audits-*.jsonl")
    (record,) = AUDITS.read(file)
    assert (record.id, record.step, record.hacking, record.g_aud) == ("u_3", 5, hacking, gate)
    assert (record.response, record.repair, record.counterfactual) == (WRONG, RIGHT, WRONG)
    assert (tmp_path / "df/images" / record.images[0]).is_file()


def test_a_wrong_repair_is_not_audited(tmp_path: Path) -> None:
    with serve(says(finding(True))) as endpoint:
        result = reward(tmp_path, WRONG, WRONG, **auditor(endpoint.url))
        assert not endpoint.requests
    assert result["reward_extra_info"]["g_aud"] == 1


@pytest.mark.parametrize(("rule", "gate"), [("pass", 1), ("reject", 0)])
def test_an_auditor_that_is_not_there(tmp_path: Path, rule: str, gate: int) -> None:
    result = reward(tmp_path, RIGHT, WRONG, **auditor("http://127.0.0.1:9/v1", on_failure=rule))
    assert result["reward_extra_info"]["audit_failed"] == 1 and result["reward_extra_info"]["g_aud"] == gate


# ---- r_task by a judge -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "acc", "failed"), [(True, 1.0, 0.0), (False, 0.0, 0.0), (None, 0.0, 1.0)])
def test_the_judge_as_reward_manager(tmp_path: Path, answer: bool | None, acc: float, failed: float) -> None:
    text = "no idea" if answer is None else json.dumps({"reason": "r", "correct": answer})
    with serve(says(text)) as endpoint:
        block = {"endpoint": {"base_url": endpoint.url, "model": MODEL, "max_retries": 0}}
        config = OmegaConf.create({"df": {"judge": block}, "reward": {}})
        result = asyncio.run(JudgeRewardManager(config, WORDS, None).run_single(request(RIGHT, None, False)))
        (asked,) = endpoint.requests
    assert result == {"reward_score": acc, "reward_extra_info": {"acc": acc, "judge_failed": failed}}
    content = asked["messages"][-1]["content"]
    assert any(part["type"] == "image_url" for part in content)
    assert RIGHT in json.dumps(content) and "four" in json.dumps(content)


def test_the_judge_gives_r_task_of_repairs(tmp_path: Path) -> None:
    with serve(says(json.dumps({"reason": "r", "correct": True}))) as endpoint:
        block = {"endpoint": {"base_url": endpoint.url, "model": MODEL}}
        result = reward(tmp_path, WRONG, None, reward_manager="df_judge", judge=block)
    assert result["reward_extra_info"]["r_task"] == 1.0


def test_an_own_template_is_used(tmp_path: Path, engine: list) -> None:
    file = tmp_path / "own.txt"
    file.write_text("{question} OWN {response} {reference}")
    loop = agent_loop(prompt_template=str(file))
    loop._template = load_template(file)
    sample(loop)
    assert all(" OWN " in text_of(prompt) for prompt in engine)
