# SPDX-License-Identifier: Apache-2.0
"""How the repair model is sampled while it is trained: verl's single-turn agent loop under the repair prompt.

The only differences from `SingleTurnAgentLoop`: the prompt asks to repair y given a; and beside the repairs of a task
the same engine generates one without the image (x_∅ of Eq. 3), in the same batch of requests. verl hands what an agent
loop puts into `extra_fields` to the reward manager, and that is how the counterfactual gets there.
"""

import asyncio
import zlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from verl.experimental.agent_loop.agent_loop import AgentLoopOutput, register
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop

from verl_df.adapters.prompt_content import video_frames
from verl_df.adapters.repair_training.fields import COUNTERFACTUAL, COUNTERFACTUAL_FAILED
from verl_df.io.pictures import PATCH_SIZE, item_picture, patch_size_of
from verl_df.method.image_removal import remove_image
from verl_df.prompts import HIDDEN_REFERENCE, load_template
from verl_df.prompts.messages import repair_messages
from verl_df.settings.repair_checks import TASK_COLUMN
from verl_df.settings.repair_config import ImageRemovalConfig, load_repair_training_config

AGENT_LOOP = "df_repair"

Removed = tuple[list[int] | None, bool]
"""Token ids of a counterfactual, None where there is none, and whether it ran past its time limit."""

# One counterfactual serves all samples of a task: verl runs them in one process, under one uid, and each sample has an
# agent loop object of its own. The newest tasks are kept.
_counterfactuals: OrderedDict[str, asyncio.Task[Removed]] = OrderedDict()
_KEPT = 4096
_slots: dict[asyncio.AbstractEventLoop, asyncio.Semaphore] = {}


@register(AGENT_LOOP)
class RepairAgentLoop(SingleTurnAgentLoop):
    """Samples ŷ ~ p_φ(·| x, y, a) (Eq. 5), and once a task ŷ_∅ ~ p_φ(·| x_∅, y, a or hidden) (Eq. 3)."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.df = load_repair_training_config(self.config.df)
        path = self.df.prompt_template
        self._template = load_template(Path(path)) if path else None

    async def run(self, sampling_params: dict[str, Any], priority: int = 0, **kwargs: Any) -> AgentLoopOutput:
        """One repair, and its task's counterfactual in `extra_fields`. kwargs: the row's columns."""
        task, messages = kwargs.pop(TASK_COLUMN), list(kwargs.pop("raw_prompt"))
        prompt = repair_messages(messages, task["response"], task["reference"], self._template)
        repair = super().run(sampling_params, priority, raw_prompt=prompt, **kwargs)
        if self.df.image_removal.kind == "off":
            output, removed, failed = await repair, None, False
        else:
            counterfactual = self._shared_counterfactual(sampling_params, priority, messages, task, kwargs)
            output, (removed, failed) = await asyncio.gather(repair, counterfactual)
        output.extra_fields.update({COUNTERFACTUAL: removed, COUNTERFACTUAL_FAILED: failed})
        return output

    def _shared_counterfactual(
        self,
        sampling_params: dict[str, Any],
        priority: int,
        messages: list[dict[str, Any]],
        task: Mapping[str, Any],
        columns: dict[str, Any],
    ) -> asyncio.Task[Removed]:
        uid = columns["uid"]
        if uid not in _counterfactuals:
            call = self._counterfactual(sampling_params, priority, messages, task, columns)
            _counterfactuals[uid] = asyncio.ensure_future(call)
            if len(_counterfactuals) > _KEPT:
                _counterfactuals.popitem(last=False)
        return _counterfactuals[uid]

    async def _counterfactual(
        self,
        sampling_params: dict[str, Any],
        priority: int,
        messages: list[dict[str, Any]],
        task: Mapping[str, Any],
        columns: dict[str, Any],
    ) -> Removed:
        """The repair without the image, decoded greedily.

        Our reading: a sampled one of its own for each repair would be independent of that repair, and g_vis then
        nothing but noise between the samples of a task, in the mean over which verl normalises rewards. Greedy and
        shared, the expected gradient is the same task by task, the noise is gone, and so are all calls but one.
        """
        removal = self.df.image_removal
        prompt = counterfactual_messages(messages, task, removal, self._template, patch_size_of(self.processor))
        greedy = {**sampling_params, "temperature": 0.0, "top_p": 1.0, "top_k": -1}
        call = super().run(greedy, priority, raw_prompt=prompt, **columns)
        try:
            output = await asyncio.wait_for(_with_slot(call, removal.max_concurrency), removal.timeout_s)
        except TimeoutError:
            return None, True  # counted by the reward manager; g_vis is 1 then
        return output.response_ids, False


def counterfactual_messages(
    messages: Sequence[dict[str, Any]],
    task: Mapping[str, Any],
    removal: ImageRemovalConfig,
    template: str | None,
    patch_size: int = PATCH_SIZE,
) -> list[dict[str, Any]]:
    """The repair prompt from x_∅: all media replaced, the reference hidden unless `removal.reference` is "shown"."""
    reference = task["reference"] if removal.reference == "shown" else HIDDEN_REFERENCE
    seed = zlib.crc32(task["response"].encode())
    return repair_messages(
        without_images(messages, removal.kind, seed, patch_size), task["response"], reference, template
    )


def without_images(
    messages: Sequence[dict[str, Any]], kind: str, seed: int, patch_size: int = PATCH_SIZE
) -> list[dict[str, Any]]:
    """Messages whose images and videos show nothing (I_∅ of Eq. 3).

    Sizes, numbers of frames and frames a second stay, and with them the tokens and their positions (but for frames
    below 56 x 56 pixels, which qwen_vl_utils enlarges).
    """
    return [
        {**message, "content": [_removed(item, kind, seed, patch_size) for item in message["content"]]}
        if isinstance(message["content"], list)
        else message
        for message in messages
    ]


def _removed(item: dict[str, Any], kind: str, seed: int, patch_size: int) -> dict[str, Any]:
    if item["type"] == "video":
        return _removed_video(item, kind, seed)
    if item["type"] != "image":
        return item
    kept = {key: value for key, value in item.items() if key not in ("bytes", "path")}
    return {**kept, "image": remove_image(item_picture(item, patch_size), kind, seed)}


def _removed_video(item: dict[str, Any], kind: str, seed: int) -> dict[str, Any]:
    frames, rate = video_frames(item)
    width, height = frames[0].size
    removed = [remove_image(frame, kind, seed + number) for number, frame in enumerate(frames)]
    size = {"resized_height": height, "resized_width": width}
    return {"type": "video", "video": removed, "sample_fps": rate, **size}


async def _with_slot(call: Any, slots: int) -> AgentLoopOutput:
    """Run `call` with at most `slots` at a time in this process: each sample has an agent loop object of its own."""
    loop = asyncio.get_running_loop()
    if loop not in _slots:
        _slots[loop] = asyncio.Semaphore(slots)
    async with _slots[loop]:
        return await call
