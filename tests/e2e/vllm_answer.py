# SPDX-License-Identifier: Apache-2.0
"""Load a model folder in vLLM and answer the first row of a parquet file: `vllm_answer.py MODEL FILE`; prints one
line.
"""

import sys
from io import BytesIO

import pandas as pd
from PIL import Image
from transformers import AutoProcessor
from vllm import LLM, SamplingParams

# vLLM logs to stdout too
MARK = "answer: "


def main(model: str, file: str) -> None:
    row = pd.read_parquet(file).iloc[0]
    question = row["prompt"][0]["content"].removeprefix("<image>")
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
    prompt = AutoProcessor.from_pretrained(model).apply_chat_template(messages, add_generation_prompt=True)
    image = Image.open(BytesIO(row["images"][0]["bytes"]))
    engine = LLM(model, enforce_eager=True, max_model_len=256, kv_cache_memory_bytes=1 << 26, skip_mm_profiling=True)
    inputs = {"prompt": prompt, "multi_modal_data": {"image": image}}
    output = engine.generate(inputs, SamplingParams(temperature=0, max_tokens=64))
    print(MARK + output[0].outputs[0].text.replace("\n", " "))


if __name__ == "__main__":
    main(*sys.argv[1:])
