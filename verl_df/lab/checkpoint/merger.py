# SPDX-License-Identifier: Apache-2.0
"""verl's merger of FSDP shards, with the dtype of its output for the caller to choose."""

from collections import Counter
from typing import Any

import torch
from accelerate import init_empty_weights
from torch.distributed.tensor import DTensor
from transformers import AutoConfig, PretrainedConfig
from verl.model_merger.base_model_merger import ModelMergerConfig
from verl.model_merger.fsdp_model_merger import FSDPModelMerger, merge_non_dtensor_shards
from verl.utils.transformers_compat import drop_tied_target_keys

from verl_df.lab.checkpoint.locate import Shards
from verl_df.lab.checkpoint.tensors import load_shard


class TrainedDtypeMerger(FSDPModelMerger):
    """`FSDPModelMerger` in the trained dtype, or a chosen one.

    The only differences from verl 0.9.1's: it rounds every tensor to bfloat16, integers too, and writes that in
    config.json, whatever was trained; it takes the number of shards from the alphabetically first entry, which is
    wrong where that is a buffer; it runs code that a shard names; it does not compare the names and sizes with those
    of the model.

    Args:
        shards: the checkpoint.
        target_dir: folder to write.
        dtype: of all floating-point tensors; None: each keeps the shards' own.

    Attributes:
        dtype: of the merged model's config.json: `dtype`, or the one of most of the weights. Known after the merge.
    """

    dtype: torch.dtype

    def __init__(self, shards: Shards, target_dir: str, dtype: torch.dtype | None) -> None:
        super().__init__(
            ModelMergerConfig(
                operation="merge",
                backend="fsdp",
                local_dir=str(shards.folder),
                target_dir=target_dir,
                hf_model_config_path=str(shards.huggingface),
            )
        )
        self._shards, self._dtype = shards, dtype

    def _load_rank_zero_state_dict(self, world_size: int) -> dict[str, torch.Tensor]:
        return load_shard(self._shards.path(0))

    def _extract_device_mesh_info(self, state_dict: dict[str, Any], world_size: int) -> Any:
        """Asks verl about a sharded entry: about a buffer, it would take a checkpoint of many ranks for one of one."""
        sharded = {name: value for name, value in state_dict.items() if isinstance(value, DTensor)}
        return super()._extract_device_mesh_info(sharded or state_dict, world_size)

    def _load_and_merge_state_dicts(
        self, world_size: int, total_shards: int, mesh_shape: tuple[int, ...], mesh_dim_names: tuple[str, ...]
    ) -> dict[str, torch.Tensor]:
        # mapped, not read: at no time more than one tensor of all ranks is in memory beside the merged model
        ranks = [load_shard(self._shards.path(rank)) for rank in range(total_shards)]
        lacking = [rank for rank, own in enumerate(ranks) if own.keys() != ranks[0].keys()]
        if lacking:
            raise ValueError(f"{self._shards.path(lacking[0])}: other tensors than rank 0 has: of another save?")
        merged = {}
        for name in list(ranks[0]):
            merged[name] = self._cast(self._join(name, [rank.pop(name) for rank in ranks]))
        floating: Counter[torch.dtype] = Counter()
        for tensor in merged.values():
            if tensor.is_floating_point():
                floating[tensor.dtype] += tensor.numel()
        self.dtype = floating.most_common(1)[0][0]
        return merged

    def _join(self, name: str, parts: list[Any]) -> torch.Tensor:
        if not isinstance(parts[0], DTensor):
            return merge_non_dtensor_shards(name, parts)
        placements = {part.placements[-1] for part in parts}  # the last axis of the mesh shards, one before it copies
        if len(placements) != 1:
            raise ValueError(f"{self._shards.folder}: the ranks say that {name} is split as {placements}")
        with torch.no_grad():
            whole = self._merge_by_placement([part.to_local() for part in parts], placements.pop())
        if whole.shape != parts[0].shape:
            raise ValueError(
                f"{self._shards.folder}: the parts of {name} make {tuple(whole.shape)}, the whole is "
                f"{tuple(parts[0].shape)}: are the shards of one save?"
            )
        return whole

    def _cast(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self._dtype) if self._dtype and tensor.is_floating_point() else tensor

    def save_hf_model_and_tokenizer(self, state_dict: dict[str, torch.Tensor]) -> None:
        """Write the model, its tokenizer and processor. Raises: ValueError for tensors that are not the model's."""
        self.save_lora_adapter(state_dict)  # takes the adapters out, so that verl's call below finds none
        self._check_names(state_dict)
        super().save_hf_model_and_tokenizer(state_dict)
        config = AutoConfig.from_pretrained(self.config.target_dir)
        _set_dtype(config, self.dtype)
        config.save_pretrained(self.config.target_dir)

    def _check_names(self, state_dict: dict[str, torch.Tensor]) -> None:
        with init_empty_weights():
            model = self.get_transformers_auto_model_class().from_config(self.model_config)
        sizes = {name: value.shape for name, value in model.state_dict().items()}
        needed = dict(sizes)
        drop_tied_target_keys(needed, model, self.model_config)  # one of two tied tensors is enough
        lacking = sorted(needed.keys() - state_dict.keys())
        other = [name for name, value in state_dict.items() if sizes.get(name) != value.shape]
        if lacking or other:
            raise ValueError(
                f"{self._shards.folder}: not the tensors of {type(model).__name__} in {self._shards.huggingface}: "
                f"missing {lacking[:3]}, unknown or of another size {sorted(other)[:3]}"
            )


def _set_dtype(config: PretrainedConfig, dtype: torch.dtype) -> None:
    config.dtype = dtype
    for name in config.sub_configs:
        _set_dtype(getattr(config, name), dtype)
