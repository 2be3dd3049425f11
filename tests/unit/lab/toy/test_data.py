# SPDX-License-Identifier: Apache-2.0
"""Rows of the toy world, read back through verl's own datasets."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from PIL import Image

from verl_df.lab.toy import data, text
from verl_df.lab.toy.reward import compute_score
from verl_df.lab.toy.settings import SftSettings, ToySettings
from verl_df.lab.toy.truth import right_response
from verl_df.method.checks import preferred_response
from verl_df.prompts import render_repair

SETTINGS = replace(
    ToySettings(), rl_train_rows=24, rl_val_rows=8, policy=SftSettings(rows=40, steps=1, batch=2, lr=1e-3)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    assert data.write_rl_data(path, SETTINGS) == {"train": 24, "val": 8}
    assert data.write_policy_sft_data(path / "policy.parquet", SETTINGS) == 40
    return path


def test_examples_depend_on_seed_split_and_index_only():
    first = list(data.examples("rl_train", 5, SETTINGS))
    again = list(data.examples("rl_train", 9, SETTINGS))[:5]
    assert first == again
    other = list(data.examples("rl_val", 5, SETTINGS))
    assert not {example.png for example in first} & {example.png for example in other}
    assert [example.png for example in data.examples("rl_train", 5, replace(SETTINGS, seed=1))] != [
        example.png for example in first
    ]


def test_rl_rows_are_readable_by_verl(folder, processor):
    from verl.utils.dataset.rl_dataset import RLHFDataset

    config = OmegaConf.create({"prompt_key": "prompt", "image_key": "images", "filter_overlong_prompts": False})
    dataset = RLHFDataset(str(folder / "train.parquet"), processor.tokenizer, config, processor)
    assert len(dataset) == 24
    lengths, orders = set(), set()
    for number in range(len(dataset)):
        row = dataset[number]
        info = row["extra_info"]
        right = right_response("down", info)
        assert compute_score(row["data_source"], right, row["reward_model"]["ground_truth"], info)["score"] == 1.0
        preferred = preferred_response(info)
        assert compute_score(row["data_source"], preferred, row["reward_model"]["ground_truth"], info)["score"] == 1.0
        orders.add(text.response_order(preferred))
        lengths.add(len(processor.tokenizer.encode(info["question"])))
    assert orders == {"down", "up"}
    assert len(lengths) > 1  # equal lengths would hide bugs that ragged batches show


def test_picture_is_one_visual_token_a_cell(folder):
    for row in pd.read_parquet(folder / "val.parquet").itertuples():
        picture = Image.open(io.BytesIO(row.images[0]["bytes"]))
        assert picture.size == (84, 84) and picture.mode == "RGB"
        assert np.array(row.extra_info["grid"].tolist()).shape == (3, 3)


def test_sft_rows_are_readable_by_verl(folder, processor):
    from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset

    config = OmegaConf.create({"pad_mode": "no_padding", "max_length": 512})
    dataset = MultiTurnSFTDataset(str(folder / "policy.parquet"), processor.tokenizer, config, processor)
    for number in range(len(dataset)):
        row = dataset[number]
        trained = processor.tokenizer.decode(row["input_ids"][row["loss_mask"].bool()])
        response, end = trained.split("<|im_end|>")
        assert text.response_order(response) is not None and end == "\n"
        assert row["multi_modal_inputs"]["pixel_values"].shape == (36, 1176)


def test_annotators_slip_on_faint_look_alikes_only():
    rng = np.random.default_rng(0)
    slipped = confusable = 0
    for example in data.examples("policy_sft", 60, SETTINGS):
        said = data.annotated_words(rng, example, SETTINGS.annotator)
        for words, truths, cells in zip(said, text.words_of(example.grid, example.question), example.grid, strict=True):
            for word, true, cell in zip(words, truths, cells, strict=True):
                may_slip = cell is not None and cell.faint and true in data.LOOK_ALIKES
                assert word == true or (may_slip and word == data.LOOK_ALIKES[true])
                confusable += may_slip
                slipped += word != true
    assert 0.5 < slipped / confusable < 0.7


def test_unknown_split_is_refused():
    with pytest.raises(KeyError, match="test"):
        next(data.examples("test", 1, SETTINGS))


def test_repair_prompt_fits_the_sft_length(processor):
    example = next(data.examples("repair_sft", 1, SETTINGS))
    response = right_response("up", example.extra_info())
    prompt = render_repair(example.prompt()[0]["content"], response, response)
    assert len(processor.tokenizer.encode(prompt)) < 200
