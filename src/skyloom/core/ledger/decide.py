"""Decide: pure functions of ledger columns that keep, drop, flip or repair rows, and say why.

A decider sees every row, the declared columns only, and who is still alive where it stands in the chain. Every verdict is stored, not
only the first: a row that two deciders would drop says so. Nothing is recomputed but the deciders when a threshold changes.

    decide(ledger_N, config) -> pl.Series                              the reason for dropping each row; null keeps it
                             -> pl.DataFrame {action, reason, weight, label}   missing columns and nulls mean keep, null, 1, 1

Flow  collect -> [curate: annotate -> DECIDE -> materialise] -> train -> evaluate -> report
Shapes   N rows of the ledger
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from skyloom.core import registry
from skyloom.core.config import PluginConfig
from skyloom.core.errors import BadInput, FailedWork

ACTIONS: tuple[str, ...] = ("keep", "drop", "flip", "repair")
"""Codes 0 to 3 of the action columns. flip swaps chosen and rejected; repair lets the system mend the row's text."""
KEEP, DROP, FLIP, REPAIR = range(4)
Action = pl.Enum(list(ACTIONS))


@dataclass(frozen=True, kw_only=True, slots=True)
class DeciderConfig(PluginConfig):
    """Base config of a decider (`<system>/decide/x.py`): READS (or reads(config)) and `decide`."""

    sources: tuple[str, ...] = ()
    """Labels of the sources that it judges; empty judges all. It sees the rows of the others as no longer alive."""


class Verdict(NamedTuple):
    """One decider's answer for N rows."""

    name: str
    reason_N: pl.Series
    """Categorical; null where the decider has nothing to say."""
    action_N: np.ndarray
    """uint8 code of ACTIONS."""
    weight_N: np.ndarray | None
    """float32 factor on the row's weight; None: all 1."""
    label_N: np.ndarray | None
    """float32 probability that the label is right, 0 to 1; NaN where the decider has no opinion; None: no opinion at all."""
    only_drops: bool = False
    """The decider returned reasons alone: a reason means drop, none means keep."""


@dataclass(slots=True)
class Standing:
    """Where the rows stand after the deciders so far."""

    alive_N: np.ndarray
    """bool"""
    flipped_N: np.ndarray
    """bool; two flips cancel"""
    repaired_N: np.ndarray
    """bool"""
    weight_N: np.ndarray
    """float32"""
    label_N: np.ndarray
    """float32"""
    reason: pl.Series
    """First reason for dropping, categorical."""

    @classmethod
    def start(cls, height: int) -> "Standing":
        """Everything kept, weight 1, label 1."""
        false_N, one_N = np.zeros(height, bool), np.ones(height, np.float32)
        reason = pl.Series("reason", [None], dtype=pl.Categorical).new_from_index(0, height)
        return cls(~false_N, false_N.copy(), false_N.copy(), one_N, one_N.copy(), reason)

    def apply(self, verdict: Verdict) -> np.ndarray:
        """Take a verdict in; returns the bool mask of rows that it changed (dropped, flipped or mended while alive)."""
        drop_N = self.alive_N & (verdict.action_N == DROP)
        flip_N = self.alive_N & (verdict.action_N == FLIP)
        mend_N = self.alive_N & (verdict.action_N == REPAIR)
        self.flipped_N ^= flip_N
        self.repaired_N |= mend_N
        self.alive_N &= ~drop_N
        if verdict.weight_N is not None:
            self.weight_N *= verdict.weight_N
        if verdict.label_N is not None:
            self.label_N = np.where(np.isnan(verdict.label_N), self.label_N, verdict.label_N)
        first = pl.select(pl.when(pl.Series(drop_N)).then(verdict.reason_N).otherwise(self.reason)).to_series()
        self.reason = first.alias("reason")
        return drop_N | flip_N | mend_N

    def action(self) -> pl.Series:
        """The final action of each row."""
        code_N = self.flipped_N.astype(np.uint8) * np.uint8(FLIP)
        code_N[self.repaired_N] = REPAIR
        code_N[~self.alive_N] = DROP
        return _actions(code_N)


def reads_of(config: DeciderConfig) -> tuple[str, ...]:
    """The columns that a decider declares."""
    module = registry.module_of(config)
    return tuple(module.reads(config)) if hasattr(module, "reads") else tuple(module.READS)


def run_decider(config: DeciderConfig, read: Callable[[Sequence[str]], pl.DataFrame], alive_N: np.ndarray) -> Verdict:
    """One decider over the ledger; `read(names)` loads columns. Raises FailedWork where its answer breaks the contract."""
    name = registry.plugin_of(config).name
    wanted = list(dict.fromkeys(("row", "source", *reads_of(config))))
    ledger_N = read(wanted)
    scope_N = _scope(config, name, ledger_N["source"])
    seen_N = alive_N if scope_N is None else alive_N & scope_N
    answer = registry.module_of(config).decide(ledger_N.with_columns(pl.Series("alive", seen_N)), config)
    verdict = check(name, answer, len(alive_N))
    return verdict if scope_N is None else _within(verdict, scope_N)


def _scope(config: DeciderConfig, name: str, source_N: pl.Series) -> np.ndarray | None:
    """bool, which rows belong to the decider's sources; None for all. Raises BadInput for a source that is not there."""
    if not config.sources:
        return None
    known = source_N.unique().cast(pl.String).to_list()
    unknown = [each for each in config.sources if each not in known]
    if unknown:
        raise BadInput(f"decider {name}: no source {unknown[0]!r}; known: {', '.join(sorted(known))}")
    return source_N.cast(pl.String).is_in(list(config.sources)).to_numpy()


def _within(verdict: Verdict, scope_N: np.ndarray) -> Verdict:
    """The verdict where the decider judges, silence elsewhere."""
    return verdict._replace(
        reason_N=pl.select(pl.when(pl.Series(scope_N)).then(verdict.reason_N)).to_series().alias("reason"),
        action_N=np.where(scope_N, verdict.action_N, np.uint8(KEEP)),
        weight_N=None if verdict.weight_N is None else np.where(scope_N, verdict.weight_N, np.float32(1)),
        label_N=None if verdict.label_N is None else np.where(scope_N, verdict.label_N, np.float32(np.nan)),
    )


def check(name: str, answer: Any, height: int) -> Verdict:  # Any: whatever a plug-in returned
    """Normalise and check what a decider returned."""
    if isinstance(answer, pl.Series):
        _require(len(answer) == height, name, f"returned {len(answer)} rows of {height}")
        reason_N = answer.cast(pl.Categorical).alias("reason")
        action_N = reason_N.is_not_null().to_numpy().astype(np.uint8)  # KEEP is 0, DROP is 1
        return Verdict(name, reason_N, action_N, None, None, only_drops=True)
    _require(isinstance(answer, pl.DataFrame), name, f"returned {type(answer).__name__}, not a Series or DataFrame")
    frame: pl.DataFrame = answer
    _require(frame.height == height, name, f"returned {frame.height} rows of {height}")
    extra = set(frame.columns) - {"action", "reason", "weight", "label"}
    _require(
        not extra and "action" in frame.columns,
        name,
        f"returned columns {frame.columns}; known: action, reason, weight, label",
    )
    texts = frame["action"].cast(pl.String)
    unknown = set(texts.drop_nulls().unique().to_list()) - set(ACTIONS)
    _require(not unknown, name, f"unknown action {sorted(unknown)}; known: {', '.join(ACTIONS)}")
    action_N = texts.fill_null("keep").cast(Action).to_physical().to_numpy().astype(np.uint8)
    reason_N = frame["reason"].cast(pl.Categorical) if "reason" in frame.columns else _no_reason(height)
    silent = int((pl.Series(action_N != KEEP) & reason_N.is_null()).sum())
    _require(silent == 0, name, f"changed {silent} rows without a reason")
    weight_N = _floats(frame, "weight", 1.0)
    label_N = _floats(frame, "label", float("nan"))
    _require(weight_N is None or bool((weight_N >= 0).all()), name, "returned a negative or missing weight")
    known = label_N is None or bool((np.isnan(label_N) | ((label_N >= 0) & (label_N <= 1))).all())
    _require(known, name, "returned a label outside 0 to 1")
    return Verdict(name, reason_N.alias("reason"), action_N, weight_N, label_N)


def verdict_frame(verdict: Verdict) -> pl.DataFrame:
    """A verdict as stored: the reason; the action where a reason does not always mean drop; weight and label where given."""
    columns = [verdict.reason_N.alias(f"{verdict.name}.reason")]
    if not verdict.only_drops:
        columns.append(_actions(verdict.action_N).alias(f"{verdict.name}.action"))
    if verdict.weight_N is not None:
        columns.append(pl.Series(f"{verdict.name}.weight", verdict.weight_N))
    if verdict.label_N is not None:
        columns.append(pl.Series(f"{verdict.name}.label", verdict.label_N))
    return pl.DataFrame(columns)


def count_reasons(reason_N: pl.Series, where_N: np.ndarray) -> dict[str, int]:
    """Reason -> rows, over the rows of a mask."""
    counted = pl.DataFrame({"reason": reason_N.filter(pl.Series(where_N))}).group_by("reason").len()
    pairs = ((str(reason), int(count)) for reason, count in counted.iter_rows() if reason is not None)
    return dict(sorted(pairs))


def _actions(code_N: np.ndarray) -> pl.Series:
    return pl.Series("action", list(ACTIONS), dtype=Action).gather(pl.Series(code_N, dtype=pl.UInt8))


def _no_reason(height: int) -> pl.Series:
    return pl.Series("reason", [None], dtype=pl.Categorical).new_from_index(0, height)


def _floats(frame: pl.DataFrame, column: str, missing: float) -> np.ndarray | None:
    if column not in frame.columns:
        return None
    return frame[column].cast(pl.Float32).fill_null(missing).to_numpy()


def _require(holds: bool, name: str, problem: str) -> None:
    if not holds:
        raise FailedWork(f"decider {name}: {problem}")
