"""Behaviour cloning: the agent learns to do, head by head, what the recorded players did.

Formula  loss = sum over samples of w_kind * [CE(kind) + CE(skip) + BCE(queued) + mean over legal units BCE(unit)
         + CE(target unit) + CE(position)] / sum of w, each head only where the action uses it and over what was legal;
         w_kind ~ (share of the kind among all decisions)^-rare_power, mean 1 over the data
Source   SCC (arXiv 2012.13169, section 5); weighting by rarity: TStarBot-X (arXiv 2011.13729), which sampled by it
Flow     collect -> curate -> [train] -> evaluate -> report
Run      skyloom starcraft imitate --out DIR
Shapes   B batch, A action kinds, U own rows, L entries of a head
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from skyloom.arena import spec
from skyloom.core import rng, store
from skyloom.core.errors import BadInput
from skyloom.core.execute import ExecuteConfig, run_all
from skyloom.core.losses import LossOut
from skyloom.core.stats import wilson
from skyloom.core.trainer import Trainer
from skyloom.starcraft.agent.config import ImitateConfig
from skyloom.starcraft.agent.files import save_agent
from skyloom.starcraft.agent.network import MASKED, Agent, Condition, State
from skyloom.starcraft.agent.policy import select
from skyloom.starcraft.policies import NEEDS
from skyloom.starcraft.samples import Batch, Counts, SampleStore, read_counts, write_game

HEADS: tuple[str, ...] = ("kind", "skip", "queued", "units", "target", "position")
VALIDATION: str = "validation.json"
SAMPLES: str = ".samples"

_UNITS_A: Tensor = torch.from_numpy(NEEDS.units_A)
_TARGET_A: Tensor = torch.from_numpy(NEEDS.target_A)
_POSITION_A: Tensor = torch.from_numpy(NEEDS.position_A)


class HeadSums(NamedTuple):
    """What one head did on a batch: weighted loss, correct answers and how many samples use the head."""

    loss: Tensor
    correct: Tensor
    used: Tensor


def train(games: pl.DataFrame, config: ImitateConfig, seed: int, folder: Path, execute: ExecuteConfig) -> Agent:
    """Train on the kept games (columns row, recording, winner) and write agent and validation into `folder`.

    Raises BadInput where there are too few games, or a recording does not play again.
    """
    split = split_games(games, config, seed)
    written = write_samples(games, config, folder / SAMPLES, execute)
    paths = {row: folder / SAMPLES / str(row) for row in written}
    fitting = SampleStore([paths[row] for row in split.train])
    checking = SampleStore([paths[row] for row in split.valid])
    torch.manual_seed(rng.derive(seed, "imitate", "init"))
    network = Agent(config.agent)
    trainer = Trainer(network, config.optim, total_steps=config.updates, workdir=folder)
    weight_A = kind_weights(fitting.kind_N, config)
    for step in trainer.steps("imitation"):
        batches = [fitting.batch(rows, weight_A) for rows in _micro(_draw(len(fitting), step, config, seed), config)]
        weight = float(sum(batch.weight_B.sum() for batch in batches))
        trainer.step(batches, functools.partial(loss, network), weight)
        if (step + 1) % config.valid_every == 0 or step + 1 == config.updates:
            heads = validate(network, checking, config.valid_samples)
            values = {f"valid.{name}": each["loss"] for name, each in heads.items()}
            values |= {f"valid.{name}_accuracy": each["accuracy"] for name, each in heads.items()}
            trainer.record(values, score=-sum(each["loss"] for each in heads.values()))
    step = trainer.load_best()
    save_agent(folder, network, config.agent)
    _write_validation(folder, network, checking, config, written, step)
    return network


class Split(NamedTuple):
    """Row keys of the games to fit and to check on; no game is in both."""

    train: list[int]
    valid: list[int]


def split_games(games: pl.DataFrame, config: ImitateConfig, seed: int) -> Split:
    """Carve validation games out of the training games, at least one of each."""
    rows = sorted(games.filter(pl.col("winner") > 0 if config.sides == "winner" else pl.lit(True))["row"].to_list())
    if len(rows) < 2:
        raise BadInput(f"imitation: {len(rows)} games to learn from, at least 2 are needed; collect or keep more")
    order = rng.stream(seed, "imitate", "valid").permutation(len(rows))
    count = min(len(rows) - 1, max(1, round(config.valid_share * len(rows))))
    chosen = {rows[i] for i in order[:count]}
    return Split([row for row in rows if row not in chosen], sorted(chosen))


def write_samples(
    games: pl.DataFrame, config: ImitateConfig, folder: Path, execute: ExecuteConfig
) -> dict[int, Counts]:
    """Encode every game once; games that an interrupted run has encoded are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    tasks: list[_Task] = []
    for row, data, winner in games.select("row", "recording", "winner").iter_rows():
        if config.sides == "both" or winner > 0:
            sides = (winner,) if config.sides == "winner" else (1, 2)
            tasks.append(_Task(row, data, sides, config.keep_no_ops, folder / str(row)))
    counted = run_all(execute, _encode, tasks, "encoding games")
    return {task.row: counts for task, counts in zip(tasks, counted, strict=True)}


class _Task(NamedTuple):
    row: int
    data: bytes
    sides: tuple[int, ...]
    keep_no_ops: float
    path: Path


def _encode(task: _Task) -> Counts:
    return read_counts(task.path) or write_game(task.data, task.sides, task.keep_no_ops, task.path)


def kind_weights(kind_N: NDArray[np.int64], config: ImitateConfig) -> NDArray[np.float64]:
    """(A,): weight of a stored sample of each kind, mean 1 over the samples; kinds that never occur weigh 1.

    A stored no_op stands for all that were left out beside it.
    """
    counts = np.bincount(kind_N, minlength=spec.N_ACTIONS).astype(np.float64)
    stands_for = np.ones(spec.N_ACTIONS)
    stands_for[spec.NO_OP] = 1 / config.keep_no_ops
    share = np.where(counts > 0, counts * stands_for / (counts * stands_for).sum(), 1.0)
    raw = stands_for * share**-config.rare_power
    mean = float((raw * counts).sum() / counts.sum())
    return np.where(counts > 0, raw / mean, 1.0)


def loss(network: Agent, batch: Batch) -> LossOut:
    """Weighted sums of one micro-batch over all heads."""
    heads = head_sums(network, batch)
    total = torch.stack([each.loss for each in heads.values()]).sum()
    metrics = {f"loss.{name}": each.loss.detach() for name, each in heads.items()}
    return LossOut(loss=total, metrics=metrics)


def head_sums(network: Agent, batch: Batch) -> dict[str, HeadSums]:
    """Loss and accuracy of each head, the later heads given the teacher's earlier choices."""
    seen, labels, weight_B = batch
    state = network.encode(seen)
    given = network.condition(state, labels.kind_B)
    everyone = torch.ones_like(labels.queued_B)
    acts = _UNITS_A[labels.kind_B]
    out = {
        "kind": _choice(network.kind_logits(state), seen.legal_BA, labels.kind_B, everyone, weight_B),
        "skip": _choice(network.skip_logits(given), None, labels.skip_B, everyone, weight_B),
        "queued": _flag(network.queued_logit(given), labels.queued_B, acts, weight_B),
        "units": _units(network.unit_logits(state, given), batch, acts),
    }
    given = network.condition_with(state, given, labels.selected_BU)
    aims, places = _TARGET_A[labels.kind_B], _POSITION_A[labels.kind_B]
    out["target"] = _choice(
        network.target_logits(state, given), labels.target_legal_BX, labels.target_B, aims, weight_B
    )
    # The map head is the dearest: only samples that use it go through.
    if not places.any():
        return {**out, "position": HeadSums(*(torch.zeros(3).unbind()))}
    part, cond = State(*(each[places] for each in state)), Condition(*(each[places] for each in given))
    logits = network.position_logits(part, cond)
    legal, label = labels.position_legal_BN[places], labels.position_B[places]
    out["position"] = _choice(logits, legal, label, torch.ones_like(label, dtype=torch.bool), weight_B[places])
    return out


def validate(network: Agent, samples: SampleStore, limit: int, batch: int = 256) -> dict[str, dict[str, float]]:
    """Unweighted loss and accuracy of each head over up to `limit` samples, evenly spread, with how many used it."""
    rows = np.unique(np.linspace(0, len(samples) - 1, min(limit, len(samples))).astype(np.int64))
    flat = np.ones(spec.N_ACTIONS)
    sums = {name: torch.zeros(3, dtype=torch.float64) for name in HEADS}
    network.eval()
    with torch.no_grad():
        for start in range(0, len(rows), batch):
            for name, each in head_sums(network, samples.batch(rows[start : start + batch], flat)).items():
                sums[name] += torch.stack([part.double() for part in each])
    network.train()
    return {
        name: _means(loss, correct, used) for name, (loss, correct, used) in ((n, s.tolist()) for n, s in sums.items())
    }


def _means(loss: float, correct: float, used: float) -> dict[str, float]:
    return {"loss": loss / max(1.0, used), "accuracy": correct / max(1.0, used), "n": used}


def _choice(
    logits_BL: Float[Tensor, "B L"],
    legal_BL: Bool[Tensor, "B L"] | None,
    label_B: Int[Tensor, " B"],
    used_B: Bool[Tensor, " B"],
    weight_B: Float[Tensor, " B"],
) -> HeadSums:
    """Cross-entropy over the legal entries of a head."""
    if legal_BL is not None:
        logits_BL = logits_BL.masked_fill(~legal_BL, MASKED)
    each_B = F.cross_entropy(logits_BL, label_B, reduction="none") * used_B
    right_B = (logits_BL.argmax(1) == label_B) & used_B
    return HeadSums((each_B * weight_B).sum(), right_B.sum(), used_B.sum())


def _flag(
    logit_B: Float[Tensor, " B"], label_B: Bool[Tensor, " B"], used_B: Bool[Tensor, " B"], weight_B: Float[Tensor, " B"]
) -> HeadSums:
    each_B = F.binary_cross_entropy_with_logits(logit_B, label_B.float(), reduction="none") * used_B
    return HeadSums((each_B * weight_B).sum(), (((logit_B > 0) == label_B) & used_B).sum(), used_B.sum())


def _units(logits_BU: Float[Tensor, "B U"], batch: Batch, used_B: Bool[Tensor, " B"]) -> HeadSums:
    """Mean binary cross-entropy over the legal units; right is the whole selection as the policy would make it."""
    labels = batch.labels
    legal_BU = labels.unit_legal_BU
    each_BU = F.binary_cross_entropy_with_logits(logits_BU, labels.selected_BU.float(), reduction="none") * legal_BU
    # A sum over units would let a choice among 60 workers outweigh every other head; a plain mean would starve it.
    each_B = each_BU.sum(1) / legal_BU.sum(1).clamp(min=1).sqrt() * used_B
    exact_B = (select(logits_BU, legal_BU) == labels.selected_BU).all(1) & used_B
    return HeadSums((each_B * batch.weight_B).sum(), exact_B.sum(), used_B.sum())


def _draw(size: int, step: int, config: ImitateConfig, seed: int) -> NDArray[np.int64]:
    """Sample numbers of one update: consecutive pieces of one shuffled epoch after another, a function of the step."""
    places = np.arange(step * config.batch, (step + 1) * config.batch)
    return np.array([_epoch(size, int(place // size), seed)[place % size] for place in places])


@functools.lru_cache(maxsize=2)
def _epoch(size: int, epoch: int, seed: int) -> NDArray[np.int64]:
    return rng.stream(seed, "imitate", "epoch", epoch).permutation(size)


def _micro(rows_B: NDArray[np.int64], config: ImitateConfig) -> Sequence[NDArray[np.int64]]:
    return [rows_B[start : start + config.micro_batch] for start in range(0, len(rows_B), config.micro_batch)]


def _write_validation(
    folder: Path, network: Agent, checking: SampleStore, config: ImitateConfig, counts: Mapping[int, Counts], step: int
) -> None:
    heads = validate(network, checking, len(checking))
    rows = {
        name: {"n": int(each["n"]), "loss": each["loss"], **_interval(each["accuracy"], int(each["n"]))}
        for name, each in heads.items()
    }
    totals = {
        "samples": sum(each.samples for each in counts.values()),
        "illegal": sum(each.illegal for each in counts.values()),
        "games": len(counts),
        "valid_samples": len(checking),
        "best_step": step,
        "updates": config.updates,
    }
    store.write_json(folder / VALIDATION, {"heads": rows, **totals})


def _interval(share: float, n: int) -> dict[str, float]:
    """Accuracy with its Wilson interval, which takes the decisions of a game as independent: they are not quite."""
    if n == 0:
        return {}
    found = wilson(share * n, n)
    return {"accuracy": found.value, "low": found.low, "high": found.high}
