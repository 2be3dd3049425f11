# SPDX-License-Identifier: Apache-2.0
"""Loaded by every process of a run (verl's VERL_USE_EXTERNAL_MODULES): its trainer is hit in a phase of a step.

HIT=update:2    killed with SIGKILL in that phase of that step
HIT=agent_loop_worker:2  a worker of the agent loops is killed, as soon as all have got their prompts
HIT=reward_worker:2      one of rewards, while it waits for repairs
HIT=kill_repair_engine:2, HIT=freeze_repair_engine:3  its server, when it has got the first prompts; several with commas
HIT=stop:1      that step waits, before its update, until somebody asks the run to stop
TRAINED=FILE    receives a line for each step's prompts, as the data loader gives them, one for its rows, as they go
                into the update, one for each rollout that is sent to the repair engine, and one for a hit
"""

import functools
import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import ray
from wrapt import when_imported

WORKERS = ("agent_loop_worker", "reward_worker")
PHASES = ("generation", "repair", "update", "save")
STOP_READY = "waits for a stop"
_step = 0


def _hit(phase: str) -> bool:
    return f"{phase}:{_step}" in os.environ["HIT"].split(",")


def _kill(phase: str) -> None:
    if _hit(phase):
        _record(hit=phase)
        os.kill(os.getpid(), signal.SIGKILL)


def _record(**what: Any) -> None:
    with open(os.environ["TRAINED"], "a") as file:
        file.write(json.dumps({"step": _step, **what}) + "\n")


def _digest(*parts: Any) -> str:
    return hashlib.sha256(b"|".join(part.contiguous().numpy().tobytes() for part in parts)).hexdigest()


def _wrap(owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Put `wrapper`, whose first argument is what was there, in the place of a method."""
    setattr(owner, name, functools.partialmethod(functools.partial(_call, wrapper, getattr(owner, name))))


def _call(wrapper: Callable[..., Any], inner: Callable[..., Any], self: Any, *args: Any, **kwargs: Any) -> Any:
    return wrapper(inner, self, *args, **kwargs)


def _next_train_batch(inner: Callable, trainer: Any, *args: Any) -> Any:
    global _step
    _step = trainer.global_steps
    batch = inner(trainer, *args)
    _record(prompts=[int(index) for index in batch["index"]])
    return batch


def _submit_batch_to_rollout(inner: Callable, trainer: Any, batch: Any) -> Any:
    submitted = inner(trainer, batch)
    _kill("generation")  # the rollout engine has just got all prompts
    _kill_worker("agent_loop_worker", trainer.agent_loop_manager.agent_loop_workers[0])
    return submitted


def _kill_worker(name: str, worker: Any) -> None:
    if _hit(name):
        _record(hit=name)
        os.kill(ray.get(worker.__ray_call__.remote(_process)), signal.SIGKILL)


def _process(_: Any) -> int:
    return os.getpid()


def _send(inner: Callable, stream: Any, row: Any) -> None:
    inner(stream, row)
    if len(stream._calls) == 2:  # the repair engine has got the first prompts
        _kill("repair")
        _kill_worker("reward_worker", stream._workers[0])
        _signal_engine("kill_repair_engine", stream, signal.SIGKILL)
        _signal_engine("freeze_repair_engine", stream, signal.SIGSTOP)


def _signal_engine(name: str, stream: Any, number: signal.Signals) -> None:
    if _hit(name):
        _record(hit=name)
        (server,) = stream._placement._server._replicas.replicas[0].servers
        os.kill(ray.get(server.__ray_call__.remote(_process)), number)


def _update_actor(inner: Callable, trainer: Any, batch: Any, metrics: dict) -> Any:
    from verl_df.adapters import data_plane
    from verl_df.adapters.clean_stop import StopRequest

    columns = data_plane.read(batch, batch.keys, ["responses", "advantages"])
    _record(rows=[_digest(*row) for row in zip(columns["responses"], columns["advantages"], strict=True)])
    if _hit("stop"):
        print(STOP_READY, flush=True)
        while not StopRequest(Path(trainer.config.trainer.default_local_dir)).made():
            time.sleep(0.02)
    batch = inner(trainer, batch, metrics)
    _kill("update")  # the optimiser's step is done, and nothing of it is saved
    return batch


def _prepare_data(inner: Callable, skip: Any, *, batch: Any, **where: Any) -> None:
    """What is recorded in the order of sessions: verl numbers them anew by it, and the recorded run has to be the same
    as one that replays it.
    """
    from verl_df.adapters import data_plane

    order = sorted(range(len(batch.keys)), key=lambda row: (batch.keys[row].split("_")[0], _session(batch.keys[row])))
    keys, tags = ([column[row] for row in order] for column in (batch.keys, batch.tags))
    inner(skip, batch=data_plane.batch_of(batch, keys, tags), **where)


def _session(key: str) -> int:
    return int(key.split("_")[1])


def _patch_trainer(module: ModuleType) -> None:
    for wrapper in (_next_train_batch, _submit_batch_to_rollout, _update_actor):
        _wrap(module.PPOTrainer, wrapper.__name__, wrapper)


def _patch_file_system(module: ModuleType) -> None:
    make = module.local_mkdir_safe

    @functools.wraps(make)
    def local_mkdir_safe(*args: Any) -> Any:
        _kill("save")  # verl's trainer makes the folder after the weights and before the place in the data
        return make(*args)

    module.local_mkdir_safe = local_mkdir_safe


def _sample(inner: Callable, model: Any, messages: list[dict], seeds: Sequence[int], session: str) -> Any:
    text = "".join(item.get("text", "") for item in messages[-1]["content"])
    _record(repair=[hashlib.sha256(text.encode()).hexdigest(), *seeds])
    return inner(model, messages, seeds, session)


def _patch_client(module: ModuleType) -> None:
    _wrap(module.EngineRepairModel, "sample", _sample)


def _patch_skip(module: ModuleType) -> None:
    _wrap(module.RolloutTqSkip, "prepare_data", _prepare_data)


def _patch_stream(module: ModuleType) -> None:
    _wrap(module.GroupStream, "_send", _send)


if "TRAINED" in os.environ:  # a process of the run, not of its tests
    when_imported("verl.trainer.ppo.v1.trainer_base")(_patch_trainer)
    when_imported("verl.utils.skip.rollout_skip")(_patch_skip)
    when_imported("verl_df.adapters.policy_training.repair_client")(_patch_client)
    when_imported("verl.utils.fs")(_patch_file_system)
    when_imported("verl_df.adapters.policy_training.group_stream")(_patch_stream)
