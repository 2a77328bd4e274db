"""Checkpoints: everything that an interrupted training run needs to go on, written whole or not at all.

Layout   DIR/step-00000120/{model,optimizer}.safetensors + state.json (step, score, cursor, owner, stored, file sizes)
Formula  write into a hidden temporary directory, fsync, rename; a directory counts when its state.json lists its files at
         their true sizes, so a torn or foreign one is passed over. Nothing is ever unpickled.
Flow     collect -> curate -> [train] -> evaluate -> report; `Trainer` calls it, loops read `best`
Run      skyloom run RECIPE --out DIR   (the same command again resumes)
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from skyloom.core import distributed, store
from skyloom.core.config import JSON
from skyloom.core.errors import BadInput, FailedWork

_MODEL, _OPTIMIZER, _STATE = "model.safetensors", "optimizer.safetensors", "state.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """Where a run stands, beside its tensors."""

    step: int
    """Updates done."""
    owner: str
    """Fingerprint of what is being trained; another one's checkpoints are refused."""
    score: float | None = None
    """Validation score at this step, higher is better; None where none was taken."""
    cursor: Mapping[str, JSON] = field(default_factory=dict[str, JSON])
    """What the loop itself wants back; a data order that is a pure function of (seed, epoch) needs nothing here."""


class Found(NamedTuple):
    """A whole checkpoint on disk."""

    path: Path
    position: Position


def save(
    folder: Path, position: Position, model: nn.Module, optimizer: torch.optim.Optimizer | None, *, keep: int
) -> Path:
    """Write a checkpoint atomically, then remove all but the newest `keep` and the best-scored one.

    Under several processes all call it, the main one writes, and all wait for it. The earliest of equal scores is the best.
    Returns the checkpoint's directory; raises FailedWork when the disk refuses: the earlier checkpoints stay as they were.
    """
    final = folder / f"step-{position.step:08d}"
    part = folder / f".{final.name}.part"
    try:
        if distributed.is_main():
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
        _write_tensors(part / _MODEL, _model_tensors(model))
        _write_tensors(part / _OPTIMIZER, _optimizer_tensors(model, optimizer))
        if distributed.is_main():
            _write_state(part, position, _stored(model))
            shutil.rmtree(final, ignore_errors=True)  # a torn one: a whole one would have been resumed from
            store.publish(part, final)
            prune(folder, keep)
    except (OSError, SafetensorError, FailedWork) as error:
        shutil.rmtree(part, ignore_errors=True)  # gives its space back
        raise FailedWork(
            f"{final}: checkpoint not written ({_reason(error)}); earlier ones stand: free space, then run the same "
            "command again"
        ) from error
    distributed.gather(None)
    return final


def latest(folder: Path) -> Found | None:
    """The whole checkpoint with the most steps; None where there is none."""
    return max(every(folder), key=lambda found: found.position.step, default=None)


def best(folder: Path) -> Found | None:
    """The best-scored whole checkpoint (the earliest of equals); the latest where none carries a score."""
    scored = [found for found in every(folder) if found.position.score is not None]
    ranked = sorted(scored, key=lambda found: (-cast(float, found.position.score), found.position.step))
    return ranked[0] if ranked else latest(folder)


def every(folder: Path) -> list[Found]:
    """All whole checkpoints in order of step; torn and foreign directories are passed over."""
    found = (_read_state(path) for path in sorted(folder.glob("step-*")))
    return [one for one in found if one is not None]


def restore(found: Found, model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> None:
    """Copy a checkpoint's tensors into a model and, where given, an optimiser of the same shape, in place.

    Raises BadInput when names or shapes differ, or a file cannot be read.
    """
    try:
        tensors = load_file(found.path / _MODEL)
        moments = load_file(found.path / _OPTIMIZER) if optimizer is not None else {}
    except (OSError, SafetensorError) as error:
        raise BadInput(
            f"{found.path}: unreadable checkpoint ({error}); remove it to go on from an earlier one"
        ) from error
    own = _model_tensors(model)
    if {name: value.shape for name, value in own.items()} != {name: value.shape for name, value in tensors.items()}:
        raise BadInput(f"{found.path}: belongs to a model of another shape; choose another output directory")
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(distributed.sharded_like(tensors[name], value))
    if optimizer is not None:
        _restore_optimizer(model, optimizer, moments)


def prune(folder: Path, keep: int) -> None:
    """Remove left-over parts, torn directories, and checkpoints that are neither among the newest `keep` nor the best."""
    stays = {found.path for found in every(folder)[-keep:]}
    top = best(folder)
    if top is not None:
        stays.add(top.path)
    for path in [*folder.glob("step-*"), *folder.glob(".step-*.part")]:
        if path not in stays:
            shutil.rmtree(path, ignore_errors=True)


def _model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter that is trained, once (tied ones under their first name), and every buffer that the model would save."""
    kept = model.state_dict(keep_vars=True)  # of a sharded model it also puts the shards in place of gathered weights
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    buffers = {name: value for name, value in model.named_buffers() if name in kept}
    return {name: value.detach() for name, value in [*trained.items(), *buffers.items()]}


def _stored(model: nn.Module) -> str:
    """What the file of the model holds, for state.json."""
    every_one = all(parameter.requires_grad for parameter in model.parameters())
    return "parameters and buffers" if every_one else "trainable parameters and buffers"


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer | None) -> dict[str, Tensor]:
    if optimizer is None:
        return {}
    return {
        f"{name}/{key}": value.detach()
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def _restore_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, moments: Mapping[str, Tensor]) -> None:
    named = dict(model.named_parameters())
    for full_name, value in moments.items():
        name, _, key = full_name.rpartition("/")
        parameter = named[name]
        # A fresh tensor, not the mapped file's memory: its alignment, hence the kernels' rounding, is the usual one.
        fresh = value.clone()
        moment = distributed.sharded_like(fresh, parameter) if value.dim() else fresh.to(parameter.device)
        optimizer.state[parameter][key] = moment


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """One file, written by the main process; sharded tensors are gathered one at a time and dropped elsewhere."""
    whole: dict[str, Tensor] = {}
    for name, value in tensors.items():
        gathered = distributed.whole(value)
        if distributed.is_main():
            whole[name] = (gathered if gathered is value else gathered.cpu()).contiguous()
    if distributed.is_main():
        save_file(whole, path)
        store.fsync_path(path)


def _reason(error: Exception) -> str:
    """The cause in one line, without the remedy that `store` adds."""
    cause = error.__cause__ if isinstance(error, FailedWork) else error
    return next(iter(str(cause or error).splitlines()), type(error).__name__)


def _write_state(part: Path, position: Position, stored: str) -> None:
    sizes = {name: (part / name).stat().st_size for name in (_MODEL, _OPTIMIZER)}
    state = {
        "step": position.step,
        "owner": position.owner,
        "score": position.score,
        "cursor": dict(position.cursor),
        "stored": stored,
        "sizes": sizes,
    }
    store.write_json(part / _STATE, state)


def _read_state(path: Path) -> Found | None:
    try:
        state = cast(dict[str, Any], json.loads((path / _STATE).read_text(encoding="utf-8")))  # Any: checked by use
        whole = all((path / name).stat().st_size == size for name, size in state["sizes"].items())
        position = Position(step=state["step"], owner=state["owner"], score=state["score"], cursor=state["cursor"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return Found(path, position) if whole else None
