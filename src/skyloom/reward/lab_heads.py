"""Heads of the lab: linear heads on frozen features, one for each condition (a set of pairs, a loss) and each seed.

Formula  w, b = argmin  mean loss(w.x_chosen + b, w.x_rejected + b) + l2/2 |w|^2;  x: features less their mean, divided by the root mean
         square of their differences (a gap has no mean: which side is chosen is a convention);  l2: the least loss on the
         validation prompts, down the path from the largest, each start the end of the one before
         agreement of a pair: its margin under a head that was fitted without its prompt (K folds of the training prompts)
Source   cross-fitting: Chernozhukov et al. 2018; score and offsets: annotate/scores.py, annotate/offsets.py, decide/top_k.py;
         L-BFGS: Liu & Nocedal 1989, in the eigenbasis of the differences, scaled by the curvature of Bradley-Terry at 0, where it
         takes some ten steps
Flow     lab.py -> [lab_heads] -> lab_page.py
Limits   A linear head has one optimum: a seed moves the division into training and validation prompts, the folds and the random
         subsets, and the test prompts stay. Training sets of two seeds overlap, so intervals over seeds are no intervals over new data.
Cost     N = 5,000, D = 576, one core: some 0.3 s a head with its whole path (hinge, which has corners, a second)
Shapes   N rows, K rows of one condition, M curated rows, D feature width, T test rows, C conditions, S seeds
"""

import functools
import hashlib
import itertools
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import minimize

from skyloom.core import registry
from skyloom.core.errors import BadInput, FailedWork
from skyloom.core.ledger.select import best_of_groups, codes_of
from skyloom.core.losses import LossConfig, LossOut
from skyloom.core.progress import bar
from skyloom.core.rng import stream
from skyloom.reward.annotate import offsets
from skyloom.reward.lab import Data, LabConfig
from skyloom.reward.losses._pairs import PairScores

CURVE: float = 0.25
"""Second derivative of Bradley-Terry's loss at a gap of 0; it only sets the scale of the search."""
STEPS: int = 100
PATIENCE: int = 2
ALL: str = "all"
CURATED: str = "curated"
Kind = Literal["set", "size", "without", "loss"]
Floats = Float[np.ndarray, " N"]
Rows = Int[np.ndarray, " K"]
Curated = Int[np.ndarray, " M"]


class Condition(NamedTuple):
    """What one head is trained on, and with which loss."""

    name: str
    kind: Kind
    against: str
    """Name of the condition that it is compared with; empty for the reference."""
    loss: LossConfig
    rows_K: Rows
    weight_K: Float[np.ndarray, " K"]
    label_K: Float[np.ndarray, " K"]


class Head(NamedTuple):
    """A fitted head in the rotated, standardised coordinates of `Space`."""

    weight_D: Float[np.ndarray, " D"]
    bias: float
    l2: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Findings:
    """What all heads did on the test pairs."""

    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    against: tuple[str, ...]
    losses: tuple[str, ...]
    right_CST: Bool[np.ndarray, "C S T"]
    """Chosen strictly above rejected; a tie is wrong."""
    trained_CS: Int[np.ndarray, "C S"]
    l2_CS: Float[np.ndarray, "C S"]
    test: pl.DataFrame
    """FACTS of the test rows, with `subset`."""
    subsets: tuple[str, ...]
    """Subsets with enough pairs, the largest first; others count under all pairs alone."""
    groups: dict[str, int]
    """Condition of the kind `without` -> pairs of the pool that it leaves out."""
    axes: tuple[str, str]
    """What was left out by, and what subsets are told apart by."""
    left_out: tuple[str, ...]
    """Conditions and groups that could not be compared, and why."""
    counts: dict[str, int]
    seconds: tuple[float, ...]
    """Seconds of each condition, all seeds together."""


class Space(NamedTuple):
    """Features in the coordinates in which heads are fitted."""

    gap_ND: Float[np.ndarray, "N D"]
    """chosen - rejected, float32."""
    chosen_ND: Float[np.ndarray, "N D"] | None
    """Chosen sides, where a loss reads scores of single sides."""
    spectrum_D: Float[np.ndarray, " D"]
    """Mean square of each coordinate of the gap."""

    @classmethod
    def of(cls, data: Data, pool_K: Rows, sides: bool) -> "Space":
        """Standardise and rotate by the rows `pool_K` (labels play no part), all rows alike."""
        gap_ND = data.chosen_ND.astype(np.float32) - data.rejected_ND.astype(np.float32)
        scale_D = np.sqrt(np.square(gap_ND[pool_K], dtype=np.float64).mean(axis=0))
        # A feature that no pair tells apart says nothing, and would be divided by 0.
        inverse_D = np.divide(1.0, scale_D, out=np.zeros_like(scale_D), where=scale_D > 1e-12).astype(np.float32)
        gap_ND *= inverse_D
        spectrum_D, basis_DD = np.linalg.eigh((gap_ND[pool_K].T @ gap_ND[pool_K]).astype(np.float64) / len(pool_K))
        basis_DD = basis_DD.astype(np.float32)
        chosen_ND = None
        if sides:
            mean_D = (data.chosen_ND[pool_K].mean(axis=0) + data.rejected_ND[pool_K].mean(axis=0)) / 2
            chosen_ND = ((data.chosen_ND - mean_D).astype(np.float32) * inverse_D) @ basis_DD
        return cls(gap_ND @ basis_DD, chosen_ND, np.clip(spectrum_D, 0.0, None))

    def margins(self, head: Head, rows_K: Rows) -> Float[np.ndarray, " K"]:
        """score(chosen) - score(rejected)."""
        return self.gap_ND[rows_K].astype(np.float64) @ head.weight_D


class Split(NamedTuple):
    """Rows of one seed; no prompt stands in two of them."""

    train_N: Bool[np.ndarray, " N"]
    valid_N: Bool[np.ndarray, " N"]
    test_N: Bool[np.ndarray, " N"]


def ablate(data: Data, config: LabConfig) -> Findings:
    """Fit every condition with every seed. Raises BadInput where a split is empty, FailedWork where a loss is not finite."""
    return _Ablation(data, config).findings()


def divide(data: Data, config: LabConfig, seed: int) -> Split:
    """Divide by prompt: a hash of the seed and the prompt decides, so adding pairs moves no other. The test prompts are every seed's."""
    prompts = data.facts["prompt"].to_list()
    test_N = places(prompts, config.seed, "test") < config.test_share
    valid_N = places(prompts, config.seed, "valid", seed) < config.valid_share
    return Split(~test_N & ~valid_N, ~test_N & valid_N, test_N)


def places(prompts: Sequence[str], *names: str | int) -> Floats:
    """A number from 0 to 1 for each prompt, equal for equal ones."""
    lead = "\x1f".join(map(str, names)).encode()
    digests = (
        hashlib.blake2b(lead + b"\x1f" + each.encode("utf-8", "surrogatepass"), digest_size=8) for each in prompts
    )
    return np.asarray([int.from_bytes(each.digest()) for each in digests], dtype=np.float64) / 2**64


def fit(space: Space, data: Data, train: Condition, valid_K: Rows, penalties: Sequence[float]) -> Head:
    """The head of one condition; `penalties` fall, and one alone needs no validation rows."""
    best: Head | None = None
    least, worse, start = math.inf, 0, np.zeros(len(space.spectrum_D) + 1)
    for l2 in penalties:
        head = _minimise(space, data, train, l2, start)
        start = np.append(head.weight_D, head.bias)
        if len(penalties) == 1:
            return head
        value = _loss_on(space, data, train.loss, valid_K, head)
        if value < least:
            best, least, worse = head, value, 0
        else:
            worse += 1
        if worse == PATIENCE:
            break
    if best is None:
        raise FailedWork(f"lab: {train.name}: its loss on the validation pairs is not finite")
    return best


def reads_sides(loss: LossConfig) -> bool:
    """Whether a loss looks at more than the gap: whether adding a constant to both scores changes it."""
    one_B, two_B = torch.linspace(-2, 2, 9, dtype=torch.float64), torch.linspace(1.5, -1, 9, dtype=torch.float64)
    values = [float(_call(loss, PairScores.plain(one_B + add, two_B + add)).loss) for add in (0.0, 3.0)]
    return abs(values[0] - values[1]) > 1e-9


def labels(facts: pl.DataFrame, axis: str) -> list[str]:
    """The group of each row by `source`, `origin`, `category` or `reason`; `category:2` takes two parts of a path."""
    name, _, depth = axis.partition(":")
    if name not in ("source", "origin", "category", "reason") or (depth and not depth.isdigit()):
        raise BadInput(
            f"lab: {axis!r} names no groups; give source, origin, category, or category:2 for part of a path"
        )
    found = facts[name].fill_null("").replace("", None if name == "reason" else "(none)").fill_null("").to_list()
    return ["/".join(each.split("/")[: int(depth)]) for each in found] if depth else found


class _Ablation:
    """One call of `ablate`."""

    def __init__(self, data: Data, config: LabConfig) -> None:
        self.data, self.config = data, config
        self.left_out: list[str] = []
        self.raw_N = data.facts["raw"].to_numpy()
        self.kept_N = data.facts["kept"].to_numpy()
        self.weight_N, self.label_N = (data.facts[name].to_numpy() for name in ("weight", "label"))
        self.test_N = divide(data, config, 0).test_N
        self.pool_N = self.raw_N & ~self.test_N
        if not self.pool_N.any() or not (self.raw_N & self.test_N).any():
            raise BadInput(f"lab: {len(self.raw_N):,} pairs leave none to train or to test on; give more prompts")
        self.by = self._axis(config.by, ("source", "category", "origin"))
        self.subset_by = self._axis(config.subsets, ("category", "source", "origin"))
        self.without = self._without()
        self.space = Space.of(data, np.flatnonzero(self.pool_N), any(map(reads_sides, config.losses)))

    def findings(self) -> Findings:
        """All seeds, put side by side."""
        config, facts = self.config, self.data.facts
        with bar("heads") as done:
            seeds = [dict(self._seed(seed, done.advance)) for seed in range(config.seeds)]
        names = [name for name in seeds[0] if all(name in each for each in seeds)]
        for name in dict.fromkeys(name for each in seeds for name in each if name not in names):
            self.left_out.append(f"{name}: not possible with every seed")
        first = [seeds[0][name].condition for name in names]
        test = facts.filter(pl.Series(self.test_N)).with_columns(
            pl.Series("subset", labels(facts, self.subset_by), pl.String).filter(pl.Series(self.test_N))
        )
        split = divide(self.data, config, 0)
        return Findings(
            names=tuple(names),
            kinds=tuple(each.kind for each in first),
            against=tuple(each.against for each in first),
            losses=tuple(registry.plugin_of(each.loss).name for each in first),
            right_CST=np.stack([[each[name].right_T for each in seeds] for name in names]),
            trained_CS=np.asarray([[len(each[name].condition.rows_K) for each in seeds] for name in names]),
            l2_CS=np.asarray([[each[name].head.l2 for each in seeds] for name in names]),
            test=test,
            subsets=self._groups(test["subset"].to_list(), test["raw"].to_numpy(), "subset"),
            groups={name: int((group_N & self.pool_N).sum()) for name, group_N in self.without.items()},
            axes=(self.by, self.subset_by),
            left_out=tuple(dict.fromkeys(self.left_out)),
            counts={
                "pairs to train on, first seed": int((split.train_N & self.raw_N).sum()),
                "pairs to validate on, first seed": int((split.valid_N & self.raw_N).sum()),
                "pairs to test on": int((split.test_N & self.raw_N).sum()),
                "prompts to test on": facts.filter(pl.Series(self.test_N))["prompt"].n_unique(),
            },
            seconds=tuple(round(sum(each[name].seconds for each in seeds), 4) for name in names),
        )

    def _seed(self, seed: int, done: Callable[[], None]) -> "Iterator[tuple[str, _Outcome]]":
        """Every condition of one seed, fitted."""
        split = divide(self.data, self.config, seed)
        train_K, valid_K = (np.flatnonzero(each_N & self.raw_N) for each_N in (split.train_N, split.valid_N))
        if not len(train_K) or not len(valid_K):
            raise BadInput("lab: no pair is left to train or to validate on; give more prompts, or other shares")
        everything = self._condition(ALL, "set", "", train_K)
        first = self._outcome(everything, valid_K)
        yield ALL, first
        curated_M = np.flatnonzero(split.train_N & self.kept_N & (self.weight_N > 0))
        draw = stream(self.config.seed, "lab", "seed", seed)
        conditions = itertools.chain(
            self._sets(train_K, curated_M, draw),
            self._sizes(train_K, self._agreement(seed, everything, first.head.l2), draw),
            self._left_outs(train_K),
            self._losses(train_K, curated_M),
        )
        for condition in conditions:
            if len(condition.rows_K) < min(self.config.least_rows, len(train_K)):
                self.left_out.append(f"{condition.name}: fewer than {self.config.least_rows} pairs to train on")
                continue
            yield condition.name, self._outcome(condition, valid_K)
            done()

    def _outcome(self, condition: Condition, valid_K: Rows) -> "_Outcome":
        started = time.perf_counter()
        head = fit(self.space, self.data, condition, valid_K, self.config.l2)
        right_T = self.space.margins(head, np.flatnonzero(self.test_N)) > 0
        return _Outcome(condition, head, right_T, time.perf_counter() - started)

    def _sets(self, train_K: Rows, curated_M: Curated, draw: np.random.Generator) -> Iterator[Condition]:
        """The curated set, and as many pairs at random."""
        if not self.data.curated:
            return
        random = f"random, as many as {CURATED}"
        size = min(len(curated_M), len(train_K))
        yield self._condition(random, "set", ALL, np.sort(draw.choice(train_K, size, replace=False)))
        yield self._condition(CURATED, "set", random, curated_M, own=True)
        yield self._condition(f"{CURATED}, no weights or labels", "set", CURATED, curated_M)

    def _sizes(self, train_K: Rows, margin_K: Floats, draw: np.random.Generator) -> Iterator[Condition]:
        """Shares of the pairs: at random, by agreement, and by score where there are scores, with and without learnt offsets."""
        facts = self.data.facts[train_K]
        category_K, _ = codes_of(facts["category"])
        scored_K = facts["score"].is_finite().fill_null(False).to_numpy()
        value_K = facts["score"].fill_null(0.0).to_numpy()
        learnt_K = self._learnt(facts, margin_K) if self.config.keep and scored_K.any() else None
        for share in sorted(self.config.keep):
            size = math.ceil(share * len(train_K) - 1e-9)
            random = f"random {share:.0%}"
            yield self._condition(random, "size", ALL, np.sort(draw.choice(train_K, size, replace=False)))
            agreeing_K = np.sort(np.argsort(-margin_K, kind="stable")[:size])
            yield self._condition(f"agreement {share:.0%}", "size", random, train_K[agreeing_K])
            if not scored_K.any():
                continue
            rankings = {f"score {share:.0%}": value_K}
            if learnt_K is not None:
                rankings[f"score {share:.0%}, learnt offsets"] = value_K + learnt_K
            against = random
            for name, each_K in rankings.items():
                take = functools.partial(_part, share)
                best_K = best_of_groups(category_K, each_K, scored_K, take)
                yield self._condition(name, "size", against, train_K[best_K])
                against = name

    def _left_outs(self, train_K: Rows) -> Iterator[Condition]:
        for name, group_N in self.without.items():
            yield self._condition(name, "without", ALL, train_K[~group_N[train_K]])

    def _losses(self, train_K: Rows, curated_M: Curated) -> Iterator[Condition]:
        """The other losses on all pairs, and on the curated ones."""
        plugins = [registry.plugin_of(loss).name for loss in self.config.losses]
        for k, loss in enumerate(self.config.losses[1:], 1):
            name = (
                plugins[k] if plugins.count(plugins[k]) == 1 else f"{plugins[k]} #{plugins[: k + 1].count(plugins[k])}"
            )
            yield self._condition(name, "loss", ALL, train_K, loss)
            if self.data.curated:
                yield self._condition(f"{CURATED}, {name}", "loss", CURATED, curated_M, loss, own=True)

    def _condition(
        self, name: str, kind: Kind, against: str, rows_K: Rows, loss: LossConfig | None = None, own: bool = False
    ) -> Condition:
        """`own`: with the weights and labels of curation; else every pair counts the same and its label is certain."""
        one_K = np.ones(len(rows_K))
        weight_K, label_K = (self.weight_N[rows_K], self.label_N[rows_K]) if own else (one_K, one_K)
        return Condition(name, kind, against, loss or self.config.losses[0], rows_K, weight_K, label_K)

    def _agreement(self, seed: int, everything: Condition, l2: float) -> Floats:
        """Margin of each training pair under a head that has not seen its prompt."""
        rows_K, margin_K = everything.rows_K, np.zeros(len(everything.rows_K))
        if not self.config.keep:
            return margin_K
        prompts = self.data.facts["prompt"][rows_K].to_list()
        fold_K = (places(prompts, self.config.seed, "fold", seed) * self.config.folds).astype(np.int64)
        for fold in range(self.config.folds):
            inside_K = fold_K == fold
            if inside_K.any() and not inside_K.all():
                others = self._condition(ALL, "set", "", rows_K[~inside_K])
                head = fit(self.space, self.data, others, rows_K[:0], (l2,))
                margin_K[inside_K] = self.space.margins(head, rows_K[inside_K])
        return margin_K

    def _learnt(self, facts: pl.DataFrame, margin_K: Floats) -> Floats | None:
        """Offset of each pair's origin; 0 where its own was refused, None where all were."""
        asked = facts.select(
            "source",
            pl.col("origin").alias("scores.origin"),
            pl.col("category").alias("scores.category"),
            pl.col("score").alias("scores.mean"),
            pl.Series("agreement.margin", margin_K),
        )
        found = offsets.fit(asked, offsets.Config())
        if found["offsets.learnt"].fill_null(0.0).abs().max() == 0:
            told = found["offsets.evidence"].cast(pl.String).drop_nulls().unique().sort().to_list()
            self.left_out.append(f"learnt offsets: {told[-1] if told else 'nothing to learn'}")
            return None
        return found["offsets.learnt"].fill_null(0.0).to_numpy()

    def _without(self) -> dict[str, Bool[np.ndarray, " N"]]:
        """Condition -> the rows that it leaves out: groups of the axis, and what curation dropped, reason by reason."""
        found: dict[str, Bool[np.ndarray, " N"]] = {}
        dropped_N = self.raw_N & ~self.kept_N if self.data.curated else np.zeros_like(self.raw_N)
        for axis, member_N in ((self.by, self.raw_N), ("reason", dropped_N)):
            of_N = np.asarray(labels(self.data.facts, axis), dtype=np.str_)
            groups = self._groups(of_N.tolist(), member_N & self.pool_N, axis)
            if axis == self.by and len(groups) < 2:
                self.left_out.append(f"without {axis}: one group alone")
                continue
            found |= {f"without {axis}={name}": (of_N == name) & member_N for name in groups if name}
        return found

    def _groups(self, names: Sequence[str], member_N: Bool[np.ndarray, " N"], what: str) -> tuple[str, ...]:
        """The groups that are large enough, the largest first; the others are told."""
        sizes = Counter(name for name, member in zip(names, member_N.tolist(), strict=True) if member)
        ranked = sorted(sizes, key=lambda name: (-sizes[name], name))
        large = [name for name in ranked if sizes[name] >= self.config.least_rows][: self.config.most_groups]
        if len(large) < len(ranked):
            rest = sum(sizes[name] for name in ranked if name not in large)
            self.left_out.append(
                f"{what}: {len(ranked) - len(large)} groups with {rest:,} pairs: too small, or not among the "
                f"{self.config.most_groups} largest"
            )
        return tuple(large)

    def _axis(self, wanted: str, order: tuple[str, ...]) -> str:
        """The axis that was asked for, or the first with two large groups."""
        pool = self.data.facts.filter(pl.Series(self.pool_N))
        for axis in (wanted,) if wanted else order:
            sizes = Counter(labels(pool, axis))
            if wanted or sum(size >= self.config.least_rows for size in sizes.values()) > 1:
                return axis
        return order[0]


class _Outcome(NamedTuple):
    condition: Condition
    head: Head
    right_T: Bool[np.ndarray, " T"]
    seconds: float


def _part(share: float, group: int, size: int) -> int:
    del group
    return math.ceil(share * size - 1e-9)


def _minimise(space: Space, data: Data, train: Condition, l2: float, start: Floats) -> Head:
    """The head of one penalty, from `start` (weights, then bias)."""
    scale_D = torch.from_numpy(1 / np.sqrt(CURVE * space.spectrum_D + l2))
    gap_KD = torch.from_numpy(space.gap_ND[train.rows_K])
    sides = space.chosen_ND is not None and reads_sides(train.loss)
    chosen_KD = torch.from_numpy(space.chosen_ND[train.rows_K]) if sides and space.chosen_ND is not None else None
    told = [torch.from_numpy(np.asarray(each, dtype=np.float64)) for each in (train.weight_K, train.label_K)]
    gap_K = torch.from_numpy(data.facts["gap"].to_numpy()[train.rows_K].astype(np.float64))

    def objective(u: Floats) -> tuple[float, Floats]:
        u_D = torch.tensor(u, requires_grad=True)
        weight_D = u_D[:-1] * scale_D
        margin_K = (gap_KD @ weight_D.float()).double()
        chosen_K = margin_K if chosen_KD is None else (chosen_KD @ weight_D.float()).double() + u_D[-1]
        pairs = PairScores(chosen_K, chosen_K - margin_K, told[0], told[1], gap_K)
        loss = _call(train.loss, pairs).loss + l2 / 2 * weight_D.square().sum()
        (slope_D,) = torch.autograd.grad(loss, u_D)
        return float(loss.detach()), slope_D.numpy()

    at = np.append(start[:-1] / scale_D.numpy(), start[-1])
    found = minimize(objective, at, jac=True, method="L-BFGS-B", options={"maxiter": STEPS, "gtol": 1e-5, "ftol": 1e-7})
    if not math.isfinite(float(found.fun)):
        raise FailedWork(f"lab: {train.name}: the loss is {found.fun}; check its settings and the source's scores")
    solution = np.asarray(found.x, dtype=np.float64)
    return Head(solution[:-1] * scale_D.numpy(), float(solution[-1]), l2)


def _loss_on(space: Space, data: Data, loss: LossConfig, rows_K: Rows, head: Head) -> float:
    """The mean loss of some rows, every pair alike and its label certain."""
    margin_K = torch.from_numpy(space.margins(head, rows_K))
    sides = space.chosen_ND is not None and reads_sides(loss)
    chosen_K = margin_K
    if sides and space.chosen_ND is not None:
        chosen_K = torch.from_numpy(space.chosen_ND[rows_K].astype(np.float64) @ head.weight_D + head.bias)
    gap_K = torch.from_numpy(data.facts["gap"].to_numpy()[rows_K].astype(np.float64))
    return float(_call(loss, PairScores.plain(chosen_K, chosen_K - margin_K)._replace(gap_B=gap_K)).loss)


def _call(loss: LossConfig, pairs: PairScores) -> LossOut:
    module: Any = registry.module_of(loss)  # Any: modules have no static type
    return module.loss(pairs, loss)
