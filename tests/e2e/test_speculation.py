# SPDX-License-Identifier: Apache-2.0
"""Drafts change how fast repairs are decoded, not what is sampled: vLLM's CPU engine, a model that copies its prompt.

The model's probabilities are known, so thousands of draws are held against them. With a response's tokens in the order
of their probability, the share of the probability before the token that was drawn, plus a random part of its own, is
uniform on [0, 1] if and only if the draw was right, whatever was drawn before.
"""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from prometheus_client import generate_latest
from scipy.stats import chisquare
from transformers import Qwen2ForCausalLM

from verl_df.adapters.policy_training.engine_counters import read_counts, repair_metrics
from verl_df.lab.tiny.copying import CopyingModel
from verl_df.settings import speculation as rule

MODEL = CopyingModel(length=25, vocabulary=40, wrong=4, sureness=4.0, context=256)
DRAFTING = ("copy", "ngram")
# Sampled in one batch, so that one request's settings would be seen with another's. Temperature, top-p.
SAMPLINGS = ((1.0, 1.0), (0.7, 1.0), (1.3, 1.0), (1.0, 0.8))
PROMPTS = 160  # each of them answered with each sampling
AT_A_TIME = 16
# Of all sequences of a pass. 128 sequences then have no drafts, 16 have three tokens, and one has 25.
VERIFIED = 64
BINS = 20
SIGNIFICANCE = 1e-4


@dataclass(frozen=True)
class Drawn:
    """Responses of one engine, token ids. sampled: for each sampling. tokens_per_pass: of a sequence, greedy, alone."""

    greedy: list[list[int]]
    sampled: list[list[list[int]]]
    accepted: float
    tokens_per_pass: float


def prompts() -> list[list[int]]:
    source = np.random.default_rng(0)
    return [[*source.integers(0, MODEL.end, MODEL.length - 1).tolist(), MODEL.end] for _ in range(PROMPTS)]


class Engine:
    """vLLM's, in a process that has no other."""

    def __init__(self, folder: str, speculation: str) -> None:
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        from vllm import LLM

        rule.VERIFIED_TOKENS = VERIFIED
        settings = {"engine_kwargs": {}, "max_num_seqs": 128, "response_length": MODEL.length}
        rollout = OmegaConf.create({**settings, "max_model_len": 2 * MODEL.length})
        rule.speculate(rollout, speculation)
        self._engine = LLM(
            model=folder,
            max_model_len=rollout.max_model_len,
            max_num_seqs=rollout.max_num_seqs,
            dtype="float32",
            enforce_eager=True,
            kv_cache_memory_bytes=2**24,
            skip_tokenizer_init=True,
            disable_log_stats=False,
            seed=1,
            **OmegaConf.to_container(rollout.engine_kwargs).get("vllm", {}),
        )

    def answers(self, given: list[tuple[list[int], tuple[float, float]]]) -> list[list[int]]:
        from vllm import SamplingParams

        sampling = [
            SamplingParams(temperature=temperature, top_p=top_p, max_tokens=MODEL.length, detokenize=False)
            for _, (temperature, top_p) in given
        ]
        outputs = self._engine.generate([{"prompt_token_ids": ids} for ids, _ in given], sampling, use_tqdm=False)
        return [list(output.outputs[0].token_ids) for output in outputs]

    def accepted(self) -> float:
        return self._counts()["df/repair/accepted_tokens"]

    def tokens_per_pass(self) -> float:
        return self._counts()["df/repair/tokens_per_pass"]

    def _counts(self) -> dict[str, float]:
        """Since the start."""
        page = generate_latest().decode()
        for name in ("vllm:spec_decode_num_draft_tokens_total", "vllm:spec_decode_num_accepted_tokens_total"):
            page += "" if name in page else f"\n{name} 0\n"  # an engine without drafts
        counts = read_counts(page)
        return repair_metrics(dict.fromkeys(counts, 0.0), counts)


def draw(folder: str, speculation: str) -> Drawn:
    engine, inputs = Engine(folder, speculation), prompts()
    for ids in inputs[:8]:
        engine.answers([(ids, (0.0, 1.0))])
    per_pass = engine.tokens_per_pass()
    greedy = engine.answers([(ids, (0.0, 1.0)) for ids in inputs])
    before = engine.accepted()
    given = [(ids, sampling) for ids in inputs for sampling in SAMPLINGS]
    chunks = (given[start : start + AT_A_TIME] for start in range(0, len(given), AT_A_TIME))
    sampled = [answer for chunk in chunks for answer in engine.answers(chunk)]
    by_sampling = [sampled[place :: len(SAMPLINGS)] for place in range(len(SAMPLINGS))]
    return Drawn(greedy, by_sampling, engine.accepted() - before, per_pass)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("copying")
    MODEL.save(path)
    return path


@pytest.fixture(scope="module")
def drawn(folder: Path) -> dict[str, Drawn]:
    found = {}
    for speculation in ("off", *DRAFTING):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            found[speculation] = pool.submit(draw, str(folder), speculation).result()
    return found


@pytest.mark.parametrize("speculation", DRAFTING)
def test_greedy_repairs_are_the_same_with_drafts(drawn: dict[str, Drawn], speculation: str) -> None:
    assert drawn["off"].greedy == drawn[speculation].greedy
    repaired = [[token + MODEL.wrong if token < MODEL.wrong else token for token in ids] for ids in prompts()]
    assert drawn["off"].greedy == repaired


def test_one_that_decodes_alone_gets_long_drafts_to_its_end(drawn: dict[str, Drawn]) -> None:
    assert drawn["off"].tokens_per_pass == 1
    assert drawn["ngram"].tokens_per_pass > 2  # 2.7: three passes until the first draft, and after each repaired token
    assert drawn["copy"].tokens_per_pass > drawn["ngram"].tokens_per_pass + 1  # one pass, and one for each of them


def probabilities(logits: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """What vLLM is asked to draw from. logits: (tokens, vocabulary)."""
    found = (logits / temperature).softmax(-1)
    values, order = found.sort(descending=True)
    values[values.cumsum(-1) - values >= top_p] = 0
    return torch.zeros_like(found).scatter(-1, order, values / values.sum(-1, keepdim=True))


def places(folder: Path, responses: list[list[int]], temperature: float, top_p: float) -> list[np.ndarray]:
    """Of each response its tokens' places in [0, 1]."""
    model = Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    source, found = np.random.default_rng(1), []
    for prompt, response in zip(prompts(), responses, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
        shares = probabilities(logits.double(), temperature, top_p)
        own = shares.gather(1, torch.tensor(response)[:, None])
        assert (own > 0).all()  # nothing outside the nucleus
        before = torch.where(shares > own, shares, 0).sum(-1)
        found.append((before + own[:, 0] * torch.tensor(source.random(len(response)))).numpy())
    return found


@pytest.mark.parametrize("speculation", ["off", *DRAFTING])
@pytest.mark.parametrize("number", range(len(SAMPLINGS)))
def test_what_is_sampled_has_the_models_distribution(
    drawn: dict[str, Drawn], folder: Path, speculation: str, number: int
) -> None:
    assert (drawn[speculation].accepted > 1000) == (speculation in DRAFTING)  # or nothing was tested
    responses = drawn[speculation].sampled[number]
    found = places(folder, responses, *SAMPLINGS[number])
    assert sum(map(len, found)) > 1000
    counts, _ = np.histogram(np.concatenate(found), bins=BINS, range=(0, 1))
    assert chisquare(counts).pvalue > SIGNIFICANCE
    following = np.concatenate([np.stack([one[:-1], one[1:]], axis=1) for one in found])
    pairs, *_ = np.histogram2d(*following.T, bins=5, range=((0, 1), (0, 1)))
    assert chisquare(pairs.ravel()).pvalue > SIGNIFICANCE
