# SPDX-License-Identifier: Apache-2.0
"""InternVL on two ranks of which one has rows without pictures only, as verl pads with: the other must not wait.

Two processes on the CPU, on any machine: what hangs is the order of the gathers, and NCCL takes no two ranks of a card.
"""

import subprocess
import sys
from pathlib import Path

from verl_df.lab.smoke.outcome import Outcome
from verl_df.lab.smoke.settings import Shared

_SECONDS = 120.0


def run(shared: Shared) -> Outcome:
    """Forward and backward on both."""
    outcome, model = Outcome("empty_rank", shared.gpu), shared.model("policy", 0, "internvl")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    try:
        status = subprocess.run([*launcher, "-m", __name__, str(model)], timeout=_SECONDS).returncode
    except subprocess.TimeoutExpired:
        status = 124
    outcome.check("exit status of the two ranks (124: they hang)", status, "==", 0)
    return outcome


def main(folder: Path) -> None:
    """One rank."""
    import torch
    from PIL import Image
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from transformers import AutoModelForImageTextToText
    from verl.utils.tokenizer import hf_processor  # with it verl's plugins, ours among them

    torch.distributed.init_process_group("gloo")
    mesh = init_device_mesh("cpu", (2,))
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    for layer in (*model.model.vision_tower.encoder.layer, *model.model.language_model.layers, model):
        fully_shard(layer, mesh=mesh)
    processor, picture = hf_processor(str(folder)), [Image.new("RGB", (84, 84), "red")]
    text, pictures = ("<IMG_CONTEXT> how many?", picture) if torch.distributed.get_rank() == 0 else ("none", None)
    logits = model(**processor(text=[text], images=pictures, return_tensors="pt")).logits
    logits.logsumexp(-1).mean().backward()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
