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

Resume   Batches are pure functions of (seed, step) and dropout is seeded by (seed, step, micro-batch), so the step number is
         the whole cursor. After a kill at any moment the same loop goes on from the last checkpoint, bit for bit the same
         (one machine, one thread count, one number of processes, CPU). metrics.jsonl is cut back to that step.
Scale    A model split by `distributed.shard` trains in N processes that run this same loop: each takes its share of the
         micro-batches, gradients and metrics are summed over all, the main one alone writes. Equal to one process up to
         rounding; checkpoints are the same files, so another number of processes can take over.
Run      skyloom run RECIPE --out DIR
"""

import functools
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from skyloom.core import checkpoint, distributed, progress, store
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


class _Seen(NamedTuple):
    """A micro-batch of the update in progress, kept for the message where it turns out bad."""

    place: int
    loss: Tensor
    told: Callable[[], str]


class Trainer:
    """Owns the optimiser of one model and where it stands on disk."""

    def __init__(self, model: nn.Module, config: TrainerConfig, *, total_steps: int, workdir: Path) -> None:
        """Nothing is read or written before `steps` is iterated.

        Args:
            model: parameters that do not require a gradient stay as they are; it is moved to `config.device`. In a group of
                processes it is already split over them by `distributed.shard`.
            config: see TrainerConfig; `threads` sets torch's thread count for the whole process.
            total_steps: updates in all, at least 1; the schedule depends on it.
            workdir: gets metrics.jsonl, timing.json and `.checkpoints/`.

        Raises:
            BadInput: no updates, no trainable parameter, `cuda` without a GPU, or more processes than the loop started.
        """
        if total_steps < 1:
            raise BadInput("training: no update to make; is the training set empty?")
        if config.processes not in (1, distributed.world()):
            raise BadInput(
                f"trainer: processes={config.processes}, but this loop runs in {distributed.world()}; set processes=1"
            )
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
            if distributed.is_main():
                shown.advance(first)
            for index in range(first, self.total_steps):
                yield index
                if self.done != index + 1:
                    raise RuntimeError(f"the loop body made {self.done - index} updates instead of one")
                self._close_step()
                if distributed.is_main():
                    shown.advance()  # a bar that never advances never draws
        if first < self.total_steps and distributed.is_main():
            took = time.monotonic() - started
            store.write_json(self._workdir / "timing.json", {"seconds": took, "updates": self.total_steps - first})

    def step(
        self,
        micro_batches: Iterable[B],
        loss_fn: Callable[[B], LossOut],
        denominator: float,
        name: Callable[[B], str] | None = None,
    ) -> StepOut:
        """One update from one or more micro-batches; its numbers become a row of metrics.jsonl.

        Args:
            micro_batches: what `loss_fn` takes; moving tensors to `self.device` is up to `loss_fn`. In a group of processes
                all of the update's, the same on each; which process computes which is decided here.
            loss_fn: loss and metrics of one micro-batch as SUMS over its items (`LossOut.summed`).
            denominator: global number of items (pairs, tokens, or their weight) of this update, above 0.
            name: what to call a micro-batch in a message, such as the ids of its rows; its number where None.

        Raises:
            FailedWork: the loss or the gradient is not finite, naming the first micro-batch whose loss is not; nothing was
                updated, and the last checkpoint stands.
        """
        if not denominator > 0:
            raise BadInput(f"training: update {self.done + 1} has nothing to learn from (denominator {denominator})")
        lr = learning_rate(self._config, self.done, self.total_steps)
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        self.model.train()
        self._optimizer.zero_grad(set_to_none=True)
        with _deterministic(self.device):
            sums, seen = self._backward(micro_batches, loss_fn, denominator, name)
            grad_norm = self._clip()
            loss = sums.pop("loss")
            if not (math.isfinite(loss) and math.isfinite(grad_norm)):
                raise FailedWork(self._diverged(loss, grad_norm, seen))
            self._optimizer.step()
        self.done += 1
        self._row, self._score = {"loss": loss, "grad_norm": grad_norm, "lr": lr, **sums}, None
        return StepOut(self.done, loss, grad_norm, lr, sums)

    def record(self, values: Mapping[str, float], *, score: float | None = None) -> None:
        """Add values to the row of the update just made, for example of a validation slice.

        A score (higher is better) makes a checkpoint of this step, which stays if it is the best. Call it after `step`, in
        the body of the loop, and in a group of processes on each with the same score (`distributed.map_batches`).
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
            self.done = found.position.step
        if len(set(distributed.gather(self.done))) > 1:  # and nobody clears up before all have read
            raise BadInput(
                f"{folder}: the processes see different checkpoints; use a file system that all of them share"
            )
        if distributed.is_main():
            checkpoint.prune(folder, self._config.keep)
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
        self,
        micro_batches: Iterable[B],
        loss_fn: Callable[[B], LossOut],
        denominator: float,
        name: Callable[[B], str] | None,
    ) -> tuple[dict[str, float], list[_Seen]]:
        """Gradients of all micro-batches, added up; loss and metrics over the denominator; this process's micro-batches."""
        sums: dict[str, Tensor] = {}
        seen: list[_Seen] = []
        for place, batch, counts in distributed.share(micro_batches):
            torch.manual_seed(derive(self._config.seed, "update", self.done, place))
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self._config.dtype == "bfloat16"):
                out = distributed.inside(self.model, loss_fn, batch)
            torch.autograd.backward(out.loss / denominator if counts else out.loss * 0)
            for key, value in {**out.metrics, "loss": out.loss}.items():
                # On the device and in float64: one transfer an update, and sums that hardly depend on the micro-batches.
                added = value.detach().double() if counts else torch.zeros((), dtype=torch.float64)
                sums[key] = sums.get(key, torch.zeros((), dtype=torch.float64)) + added
            seen.append(_Seen(place, out.loss.detach(), functools.partial(name, batch) if name else str))
        if not sums:
            raise BadInput(f"training: update {self.done + 1} has no micro-batch")
        sums = distributed.total(sums, self.device)
        return {key: float(value) / denominator for key, value in sums.items()}, seen

    def _clip(self) -> float:
        limit = self._config.clip_norm or math.inf
        return float(distributed.whole(nn.utils.clip_grad_norm_(self.model.parameters(), limit)))

    def _diverged(self, loss: float, grad_norm: float, seen: list[_Seen]) -> str:
        """The one line about an update that came out NaN or infinite: where, what stands, what helps."""
        bad = [(one.place, one.told()) for one in seen if not bool(torch.isfinite(one.loss))]
        first = min((one for part in distributed.gather(bad) for one in part), default=None)
        if first is None:
            where = "the loss of every micro-batch is finite, its gradient is not"
        else:
            where = f"first in micro-batch {first[0] + 1}" + (f" ({first[1]})" if first[1] else "")
        found = checkpoint.latest(self._workdir / CHECKPOINTS)
        stands = f"the checkpoint of update {found.position.step} stands" if found else "no checkpoint was due yet"
        return (
            f"training diverged at update {self.done + 1} of {self.total_steps}: loss {loss}, gradient norm {grad_norm}; "
            f"{where}. Nothing was updated and {stands}; lower lr={self._config.lr:g}, warm up longer, or leave those rows out"
        )

    def _close_step(self) -> None:
        """Write the row and, where it is due, a checkpoint: in this order, so that no checkpoint is ahead of the log."""
        if self._log is not None:
            self._log.write(self.done, self._row)
        every = self.done % self._config.checkpoint_every == 0
        if every or self.done == self.total_steps or self._score is not None:
            if self._log is not None:
                _flush(self._workdir / METRICS)
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
    if distributed.world() > 1 and not all(map(distributed.is_sharded, trained)):
        raise RuntimeError("a model that several processes train must go through distributed.shard first")
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)


def _flush(path: Path) -> None:
    try:
        store.fsync_path(path)
    except OSError as error:
        raise FailedWork(
            f"cannot write {path}: {error.strerror or error}; free space, then run the same command again"
        ) from error


@contextmanager
def _deterministic(device: torch.device) -> Generator[None]:
    """Give the update a random state of its own (dropout), and on the CPU take the deterministic kernels.

    Without them the backward of indexing, which every last-token head uses, adds in the order in which threads finish.
    """
    was = torch.are_deterministic_algorithms_enabled()
    cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if cuda else []):
        torch.use_deterministic_algorithms(was or not cuda)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(was)
