"""The optimiser step that every training loop shares: AdamW, schedule, clipping, metrics, and exact resume.

Formula  gradient = sum over micro-batches of d(summed loss) / denominator, the denominator being the global number of pairs
         or tokens of the update: how rows fall into micro-batches changes nothing
Source   Loshchilov & Hutter 2019 (AdamW); clipping by global norm: Pascanu et al. 2013
Flow     collect -> curate -> [train] -> evaluate -> report; SFT, Bradley-Terry and imitation own their loops:

             trainer = Trainer(model, config.optim, total_steps=len(plan), workdir=folder)
             for index in trainer.steps("training"):
                 trainer.step(plan[index], loss_fn, denominator)
                 if (index + 1) % config.eval_every == 0:
                     trainer.record({"valid.accuracy": accuracy}, score=accuracy)
             trainer.load_best()

Resume   Batches are pure functions of (seed, step) and dropout is seeded by (seed, step), so the step number is the whole
         cursor. After a kill at any moment the same loop goes on from the last checkpoint, bit for bit the same (one
         machine, one thread count, CPU). metrics.jsonl is cut back to that step.
Run      skyloom run RECIPE --out DIR
"""

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from skyloom.core import checkpoint, progress, store
from skyloom.core.config import fingerprint
from skyloom.core.errors import BadInput, FailedWork
from skyloom.core.losses import LossOut
from skyloom.core.metrics import METRICS, MetricLog
from skyloom.core.optim import TrainerConfig, learning_rate
from skyloom.core.rng import derive

CHECKPOINTS: str = ".checkpoints"
B = TypeVar("B")


class StepOut(NamedTuple):
    """What one update did."""

    step: int
    """Updates done, this one included."""
    loss: float
    """Summed loss over the denominator, before the update."""
    grad_norm: float
    """Global L2 norm of the gradient before clipping."""
    lr: float
    metrics: dict[str, float]
    """The loss function's metrics, each summed over the micro-batches and divided by the denominator."""


class Trainer:
    """Owns the optimiser of one model and where it stands on disk."""

    def __init__(self, model: nn.Module, config: TrainerConfig, *, total_steps: int, workdir: Path) -> None:
        """Nothing is read or written before `steps` is iterated.

        Args:
            model: parameters that do not require a gradient stay as they are; it is moved to `config.device`.
            config: see TrainerConfig; `threads` sets torch's thread count for the whole process.
            total_steps: updates in all, at least 1; the schedule depends on it.
            workdir: gets metrics.jsonl, timing.json and `.checkpoints/`.

        Raises:
            BadInput: no updates, no trainable parameter, or `cuda` without a GPU.
        """
        if total_steps < 1:
            raise BadInput("training: no update to make; is the training set empty?")
        if config.threads:
            torch.set_num_threads(config.threads)
        self.device = _device(config)
        self.model = model.to(self.device)
        self.total_steps = total_steps
        self.done: int = 0
        """Updates done."""
        self._config = config
        self._workdir = workdir
        self._optimizer = _adamw(self.model, config)
        self._log: MetricLog | None = None
        self._row: dict[str, float] = {}
        self._score: float | None = None

    def steps(self, label: str = "training") -> Iterator[int]:
        """Indices of the updates still to do, 0-based, from the last checkpoint on; checkpoints are made in between.

        The body of the loop calls `step` exactly once and may call `record`. Iterate to the end, or let an exception
        out: the last checkpoint stands either way.
        """
        started, first = time.monotonic(), self.resume()
        with progress.bar(label, self.total_steps) as shown:
            shown.advance(first)
            for index in range(first, self.total_steps):
                yield index
                if self.done != index + 1:
                    raise RuntimeError(f"the loop body made {self.done - index} updates instead of one")
                self._close_step()
                shown.advance()
        if first < self.total_steps:
            took = time.monotonic() - started
            store.write_json(self._workdir / "timing.json", {"seconds": took, "updates": self.total_steps - first})

    def step(self, micro_batches: Iterable[B], loss_fn: Callable[[B], LossOut], denominator: float) -> StepOut:
        """One update from one or more micro-batches; its numbers become a row of metrics.jsonl.

        Args:
            micro_batches: what `loss_fn` takes; moving tensors to `self.device` is up to `loss_fn`.
            loss_fn: loss and metrics of one micro-batch as SUMS over its items (`LossOut.summed`).
            denominator: global number of items (pairs, tokens, or their weight) of this update, above 0.

        Raises:
            FailedWork: the loss or the gradient is not finite; nothing was updated.
        """
        if not denominator > 0:
            raise BadInput(f"training: update {self.done + 1} has nothing to learn from (denominator {denominator})")
        lr = learning_rate(self._config, self.done, self.total_steps)
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        self.model.train()
        self._optimizer.zero_grad(set_to_none=True)
        with _deterministic(self.device, derive(self._config.seed, "update", self.done)):
            sums = self._backward(micro_batches, loss_fn, denominator)
            grad_norm = self._clip()
            loss = sums.pop("loss")
            if not (math.isfinite(loss) and math.isfinite(grad_norm)):
                raise FailedWork(
                    f"training diverged at update {self.done + 1} of {self.total_steps}: loss {loss}, gradient norm "
                    f"{grad_norm}; lower lr={self._config.lr:g}, warm up longer, or look at that update's rows"
                )
            self._optimizer.step()
        self.done += 1
        self._row, self._score = {"loss": loss, "grad_norm": grad_norm, "lr": lr, **sums}, None
        return StepOut(self.done, loss, grad_norm, lr, sums)

    def record(self, values: Mapping[str, float], *, score: float | None = None) -> None:
        """Add values to the row of the update just made, for example of a validation slice.

        A score (higher is better) makes a checkpoint of this step, which stays if it is the best. Call it after `step`, in
        the body of the loop.
        """
        if not self._row:
            raise RuntimeError("record() belongs after step(), in the body of the loop")
        self._row.update(values)
        self._score = score

    def resume(self) -> int:
        """Take up the last whole checkpoint, if there is one; returns the updates done. `steps` calls this itself.

        Raises BadInput when the checkpoint belongs to other settings or another model.
        """
        folder = self._workdir / CHECKPOINTS
        found = checkpoint.latest(folder)
        if found is not None:
            if found.position.owner != self._owner():
                raise BadInput(f"{found.path}: made under other training settings; choose another output directory")
            checkpoint.restore(found, self.model, self._optimizer)
            checkpoint.prune(folder, self._config.keep)
            self.done = found.position.step
        self._log = MetricLog(self._workdir / METRICS)
        self._log.truncate_after(self.done)
        return self.done

    def load_best(self) -> int:
        """Put the weights of the best-scored checkpoint (the last one where none is scored) into the model; its step."""
        found = checkpoint.best(self._workdir / CHECKPOINTS)
        if found is None:
            raise BadInput(f"{self._workdir}: no checkpoint; train first")
        checkpoint.restore(found, self.model)
        return found.position.step

    def _backward(
        self, micro_batches: Iterable[B], loss_fn: Callable[[B], LossOut], denominator: float
    ) -> dict[str, float]:
        """Gradients of all micro-batches, added up; loss and metrics over the denominator."""
        sums: dict[str, Tensor] = {}
        for batch in micro_batches:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self._config.dtype == "bfloat16"):
                out = loss_fn(batch)
            torch.autograd.backward(out.loss / denominator)
            for name, value in {**out.metrics, "loss": out.loss}.items():
                # On the device and in float64: one transfer an update, and sums that hardly depend on the micro-batches.
                sums[name] = sums.get(name, torch.zeros((), dtype=torch.float64)) + value.detach().double()
        if not sums:
            raise BadInput(f"training: update {self.done + 1} has no micro-batch")
        return {name: float(value) / denominator for name, value in sums.items()}

    def _clip(self) -> float:
        limit = self._config.clip_norm or math.inf
        return float(nn.utils.clip_grad_norm_(self.model.parameters(), limit))

    def _close_step(self) -> None:
        """Write the row and, where it is due, a checkpoint: in this order, so that no checkpoint is ahead of the log."""
        if self._log is not None:
            self._log.write(self.done, self._row)
        every = self.done % self._config.checkpoint_every == 0
        if every or self.done == self.total_steps or self._score is not None:
            store.fsync_path(self._workdir / METRICS)
            position = checkpoint.Position(step=self.done, owner=self._owner(), score=self._score)
            checkpoint.save(self._workdir / CHECKPOINTS, position, self.model, self._optimizer, keep=self._config.keep)

    def _owner(self) -> str:
        return f"{fingerprint(self._config)}-{self.total_steps}"


def _device(config: TrainerConfig) -> torch.device:
    if config.device == "cuda" and not torch.cuda.is_available():
        raise BadInput("trainer: device=cuda, and torch sees no GPU; set device=cpu")
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(config.device)


def _adamw(model: nn.Module, config: TrainerConfig) -> torch.optim.AdamW:
    """AdamW in its fused form, with decay on matrices only."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise BadInput("training: the model has no trainable parameter")
    groups = [
        {"params": [parameter for parameter in trained if parameter.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [parameter for parameter in trained if parameter.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)


@contextmanager
def _deterministic(device: torch.device, seed: int) -> Generator[None]:
    """Seed dropout for this update alone, and on the CPU take the deterministic kernels.

    Without them the backward of indexing, which every last-token head uses, adds in the order in which threads finish.
    """
    was = torch.are_deterministic_algorithms_enabled()
    cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if cuda else []):
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(was or not cuda)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(was)
