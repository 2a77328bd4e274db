"""The panel of graders: what each common script says of the same outputs, and where they differ.

Formula  accuracy of each grader with Wilson's interval; its difference to ours as a paired bootstrap over the items; an item is disputed
         where, of the graders that find an answer, one calls it equal and another does not
Source   the same outputs scored 22.7, 23.8 and 37.1 on MATH by three scripts (Xwin-Math, arXiv 2403.04706), so a number without its
         grader means little
Flow     collect -> synthesize -> curate -> train -> [evaluate] -> report; graders/x.py: `verdict(gold, output, config)`
Run      skyloom mathqa grade FILE.jsonl --panel
Limits   Each grader reads whole outputs in its own way: a bare answer has no marker, so paper and minerva find none in it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from skyloom.core import registry, store
from skyloom.core.config import PluginConfig
from skyloom.core.errors import BadInput, BadRow
from skyloom.core.metrics import Cell, Table
from skyloom.core.records import Reject
from skyloom.core.rng import stream
from skyloom.core.stats import paired_bootstrap, wilson
from skyloom.mathqa.benchmark import Item
from skyloom.mathqa.verify.grading import Verdict

GROUP: str = "mathqa.graders"
OURS: str = "ours"
SHOWN: int = 20  # disputed items in the report; disputed-*.jsonl holds all


@dataclass(frozen=True, kw_only=True, slots=True)
class GraderConfig(PluginConfig):
    """Base config of a grader (`mathqa/graders/x.py`)."""


class Example(NamedTuple):
    """A case that a grader's file states."""

    gold: str
    output: str
    equal: bool
    by: str
    """The rule that decides, a key of the grader's RULES."""


Graders: TypeAlias = Mapping[str, GraderConfig]
"""Name of the plug-in -> its config."""
Verdicts: TypeAlias = Mapping[str, Verdict]
"""Name of the grader -> its verdict on one output."""


def everyone() -> tuple[GraderConfig, ...]:
    """Every grader that there is, as it is by default."""
    return tuple(registry.load(GROUP, name).Config() for name in registry.names(GROUP))


def panel_of(configs: Sequence[GraderConfig]) -> dict[str, GraderConfig]:
    """The graders by name, ours first: it stands in every panel, because the others are compared with it.

    Raises BadInput where one stands twice."""
    found: dict[str, GraderConfig] = {OURS: registry.load(GROUP, OURS).Config()}
    names = [registry.plugin_of(config).name for config in configs]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise BadInput(f"panel: {twice[0]!r} stands more than once; name each grader once")
    return {**found, **dict(zip(names, configs, strict=True))}


def ask(graders: Graders, gold: str, output: str) -> dict[str, Verdict]:
    """Every grader's verdict on one output."""
    return {name: registry.module_of(config).verdict(gold, output, config) for name, config in graders.items()}


def disputed(told: Verdicts) -> bool:
    """Whether the graders that find an answer differ; one that misses its closing phrase says nothing of the answer."""
    return len({verdict.equal for verdict in told.values() if verdict.answer is not None}) > 1


def equal_by(told: Verdicts) -> tuple[str, ...]:
    """Who calls it equal."""
    return tuple(name for name, verdict in told.items() if verdict.equal)


def tables(title: str, items: Sequence[Item], told_N: Sequence[Verdicts], seed: int = 0) -> tuple[Table, ...]:
    """Accuracy by grader, which graders side with which, and disputed items; none without an item.

    `seed`: of the bootstrap alone."""
    if not told_N:
        return ()
    return _accuracies(title, told_N, seed), _sides(title, told_N), _items(title, items, told_N)


def _accuracies(title: str, told_N: Sequence[Verdicts], seed: int) -> Table:
    ours_N = np.array([told[OURS].equal for told in told_N], dtype=np.float64)
    rows: list[tuple[Cell, ...]] = []
    for name in told_N[0]:
        equal_N = np.array([told[name].equal for told in told_N], dtype=np.float64)
        rng = stream(seed, "mathqa.panel", name)
        apart = name != OURS and len(told_N) > 1
        gap = paired_bootstrap(equal_N, ours_N, rng) if apart else None
        only = (int((equal_N > ours_N).sum()), int((equal_N < ours_N).sum()))
        answers = sum(told[name].answer is not None for told in told_N)
        rows.append((name, wilson(int(equal_N.sum()), len(told_N)), gap, *only, len(told_N) - answers))
    return Table(
        title=f"{title}: accuracy by grader",
        note="the same outputs; share right with its 95% Wilson interval; difference to ours: paired bootstrap over the items",
        columns=(
            "grader",
            "accuracy",
            "difference to ours",
            "right by it alone",
            "right by ours alone",
            "no answer found",
        ),
        rows=tuple(rows),
    )


def _sides(title: str, told_N: Sequence[Verdicts]) -> Table:
    counts = Counter(equal_by(told) for told in told_N)
    rows: list[tuple[Cell, ...]] = [
        (", ".join(names) or "nobody", count)
        for names, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    ]
    note = "every output once, by the graders that call it equal; one that finds no answer does not"
    return Table(title=f"{title}: who says equal", note=note, columns=("equal by", "outputs"), rows=tuple(rows))


def _items(title: str, items: Sequence[Item], told_N: Sequence[Verdicts]) -> Table:
    found = [(item, told) for item, told in zip(items, told_N, strict=True) if disputed(told)]
    rows: list[tuple[Cell, ...]] = [
        (item.id, item.answer, told[OURS].answer, ", ".join(equal_by(told))) for item, told in found[:SHOWN]
    ]
    return Table(
        title=f"{title}: disputed items",
        note=f"{len(found):,} of {len(items):,} items; the first {SHOWN} here, disputed-*.jsonl holds all",
        columns=("id", "gold", "answer", "equal by"),
        rows=tuple(rows),
    )


def as_json(told: Verdicts) -> dict[str, dict[str, Any]]:  # Any: JSON
    """The verdicts as they stand in files."""
    return {name: {"equal": each.equal, "by": each.by, "answer": each.answer} for name, each in told.items()}


class PanelCounts(NamedTuple):
    """What `panel_file` wrote."""

    rows: int
    equal: dict[str, int]
    """Grader -> rows that it calls equal."""
    disputed: int
    rejects: tuple[Reject, ...]
    """Rows that could not be graded: they stand in no output."""


def panel_file(path_in: Path, path_out: Path, configs: Sequence[GraderConfig] = ()) -> PanelCounts:
    """Rows {gold, prediction} of a .jsonl, .json or .parquet file, written back with `verdicts` (one a grader) and `disputed`.

    `configs`: who sits on the panel; none: everyone. Raises BadInput where the file cannot be read.
    """
    graders = panel_of(configs or everyone())
    rejects: list[Reject] = []
    equal: Counter[str] = Counter(dict.fromkeys(graders, 0))
    rows = apart = 0
    with store.jsonl_writer(path_out) as write:
        for row in store.read_json_rows(path_in):
            if isinstance(row, Reject):
                rejects.append(row)
                continue
            try:
                gold, prediction = (
                    store.text_field(row.data, "gold"),
                    store.text_field(row.data, "prediction", empty=True),
                )
            except BadRow as error:
                rejects.append(Reject(row.file, row.row, error.field, error.reason))
                continue
            told = ask(graders, gold, prediction)
            write({**row.data, "verdicts": as_json(told), "disputed": disputed(told)})
            equal.update(equal_by(told))
            rows, apart = rows + 1, apart + disputed(told)
    return PanelCounts(rows, dict(equal), apart, tuple(rejects))
