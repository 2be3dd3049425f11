# SPDX-License-Identifier: Apache-2.0
"""A right response shown in a prompt: where it stands, that nothing else changes, and what is refused."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from tensordict import NonTensorStack, TensorDict
from transformers import AutoModelForImageTextToText, AutoProcessor
from verl.utils import tensordict_utils as tu

from tests import ROOT
from verl_df.adapters.policy_training.shown_pass import SHOWN, SHOWN_LOG_PROBS, Shower, shifted, show_responses
from verl_df.adapters.policy_training.worker import DFActorRolloutRefWorker

POLICY = ROOT / "examples/toy/world/policy"
QUESTION = "How many red squares are there?"


@pytest.fixture(scope="module")
def processor() -> Any:
    return AutoProcessor.from_pretrained(POLICY)


@pytest.fixture(scope="module")
def shower(processor: Any) -> Shower:
    return Shower(processor.tokenizer, processor, {})


def prompt(processor: Any, side: int) -> dict[str, torch.Tensor]:
    content = [{"type": "image"}, {"type": "text", "text": QUESTION}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    return dict(processor(text=[text], images=[Image.new("RGB", (side, side))], return_tensors="pt"))


def test_it_stands_at_the_end_of_the_users_message(processor: Any, shower: Shower) -> None:
    ids = prompt(processor, 56)["input_ids"][0].tolist()
    place = shower.place(ids)
    ids[place:place] = shower.tokens("two and two {question} <|im_end|><image>")
    text = processor.tokenizer.decode(ids)
    shown = "A right response to the question:\ntwo and two {question} \nAnswer the question."
    assert text.endswith(f"{QUESTION}\n\n{shown}<|im_end|>\n<|im_start|>assistant\n")
    assert text.count("<|im_end|>") == 1


def test_a_prompt_that_ends_otherwise_is_refused(processor: Any, shower: Shower) -> None:
    ids = prompt(processor, 56)["input_ids"][0].tolist()
    with pytest.raises(ValueError, match="a right response cannot be shown in it"):
        shower.place(ids[:-1])

    class Bare:
        all_special_ids = ()

        def apply_chat_template(self, messages: list[dict], **_: Any) -> str:
            return messages[0]["content"]

        def encode(self, text: str, add_special_tokens: bool) -> list[int]:
            return list(text.encode())

    with pytest.raises(ValueError, match="what its chat template puts after a question, '', has no tokens"):
        Shower(Bare(), None, {})


def rows(processor: Any, shower: Shower, responses: list[list[int]], references: list[str | None]) -> TensorDict:
    """Rows with pictures of two sizes as a worker gets them, positions by the model's own rule."""
    model = AutoModelForImageTextToText.from_pretrained(POLICY)
    columns: dict[str, list[Any]] = {name: [] for name in ("prompts", "input_ids", "position_ids", SHOWN)}
    inputs = []
    for number, (response, reference) in enumerate(zip(responses, references, strict=True)):
        given = prompt(processor, 56 * (number + 1))
        ids = given["input_ids"][0]
        place = len(ids) if reference is None else shower.place(ids.tolist())
        columns["prompts"].append(ids)
        columns["input_ids"].append(torch.cat([ids, torch.tensor(response)]))
        columns["position_ids"].append(positions(model, columns["input_ids"][-1], given["image_grid_thw"]))
        columns[SHOWN].append(torch.tensor([place, *(shower.tokens(reference) if reference else [])]))
        inputs.append({name: given[name] for name in ("pixel_values", "image_grid_thw")})
    data = TensorDict(
        {name: torch.nested.as_nested_tensor(values, layout=torch.jagged) for name, values in columns.items()},
        batch_size=len(responses),
    )
    data["multi_modal_inputs"] = NonTensorStack(*inputs)
    data["attention_mask"] = torch.nested.as_nested_tensor(
        [torch.ones_like(row) for row in columns["input_ids"]], layout=torch.jagged
    )
    return data


def positions(model: Any, input_ids: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Of one row, [4, length] as verl has them: of text alone, then on the three axes of M-RoPE."""
    image = (input_ids == model.config.image_token_id).to(torch.int)[None]
    axes, _ = model.model.get_rope_index(input_ids[None], image_grid_thw=grid, mm_token_type_ids=image)
    return torch.cat([torch.arange(len(input_ids))[None], axes[:, 0]])


def test_rows_get_the_tokens_and_the_positions_that_the_model_itself_would_give(processor: Any, shower: Shower) -> None:
    references = ["two and two", None, "four"]
    data = rows(processor, shower, [[5, 6, 7], [8], [9, 10]], references)
    before = {name: [row.clone() for row in data[name].unbind()] for name in ("prompts", "input_ids")}
    before["position_ids"] = [row.clone() for row in data["position_ids"].unbind()]
    grids = [inputs["image_grid_thw"] for inputs in data["multi_modal_inputs"]]
    shown = show_responses(data)
    model = AutoModelForImageTextToText.from_pretrained(POLICY)
    widths = shown["position_ids"].offsets().diff().tolist()
    found = shown["position_ids"].values().split(widths, dim=-1)
    for number, reference in enumerate(references):
        old, ids = before["input_ids"][number].tolist(), shown["input_ids"].unbind()[number].tolist()
        put_in = shower.tokens(reference) if reference else []
        at = shower.place(before["prompts"][number].tolist())
        assert ids == old[:at] + put_in + old[at:]
        assert ids[: len(ids) - len(old) + len(before["prompts"][number])] == shown["prompts"].unbind()[number].tolist()
        assert torch.equal(found[number], positions(model, torch.tensor(ids), grids[number]))
        assert len(shown["attention_mask"].unbind()[number]) == len(ids)
    assert torch.equal(found[1], before["position_ids"][1])


def test_positions_that_are_not_those_of_text_are_refused() -> None:
    with pytest.raises(ValueError, match="positions are not those of plain text"):
        shifted(torch.tensor([0, 1, 2, 2, 3]), 2, 4)
    assert shifted(torch.tensor([[0, 1, 2], [0, 5, 6]]), 2, 2).tolist() == [[0, 1, 2, 3, 4], [0, 5, 6, 7, 8]]


def test_inputs_per_token_are_refused(processor: Any, shower: Shower) -> None:
    data = rows(processor, shower, [[5]], [None])
    data["multi_modal_inputs"] = NonTensorStack({"mm_token_type_ids": torch.zeros(1, 3)})
    with pytest.raises(NotImplementedError, match="gives inputs per token \\(mm_token_type_ids\\)"):
        show_responses(data)


def test_the_worker_runs_verls_pass_on_longer_prompts(processor: Any, shower: Shower) -> None:
    given: list[TensorDict] = []

    def infer_batch(data: TensorDict) -> TensorDict:
        given.append(data)
        log_probs = torch.nested.nested_tensor_from_jagged(
            -torch.ones(len(data["input_ids"].values())), data["input_ids"].offsets()
        )
        return TensorDict({"log_probs": log_probs}, batch_size=len(data))

    worker = DFActorRolloutRefWorker.__new__(DFActorRolloutRefWorker)
    worker.actor, worker.enable_routing_replay = SimpleNamespace(infer_batch=infer_batch), True
    data = rows(processor, shower, [[5, 6], [7]], ["two", "four"])
    lengths = data["input_ids"].offsets().diff() + data[SHOWN].offsets().diff() - 1
    tu.assign_non_tensor(data, enable_routing_replay=True)
    output = worker.compute_shown_log_prob(data)
    assert list(output.keys()) == [SHOWN_LOG_PROBS]
    assert output[SHOWN_LOG_PROBS].offsets().diff().tolist() == lengths.tolist()
    assert tu.get(given[0], "enable_routing_replay") is False
