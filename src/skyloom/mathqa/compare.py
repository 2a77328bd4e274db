"""Two evaluations of the same items, compared as pairs: which is better, by how much, and is it more than chance?

Formula  accuracy: McNemar's mid-p on the items that only one gets right, and a paired bootstrap of the difference A - B;
         likelihood: a paired bootstrap of nll(A) - nll(B) over the items that both score (below zero: A is better); by level: the same,
         p adjusted for the number of levels by Holm
Source   core.stats; two unpaired runs on MATH differ beyond noise at 1.9 points only, pairs see less
Flow     reads outputs-NAME.jsonl of two finished evaluations
Run      skyloom mathqa compare RUN_A RUN_B --json
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skyloom.core import store
from skyloom.core.errors import BadInput
from skyloom.core.records import Reject
from skyloom.core.rng import stream
from skyloom.core.stats import Interval, PairedTest, holm, mcnemar, paired_bootstrap, wilson

PREFIX: str = "outputs-"
SAME: tuple[str, ...] = ("question", "gold")
"""What must be equal besides the id: a benchmark with distractors, or another file, has other questions."""


class Outcome(NamedTuple):
    """What one side did with one item."""

    equal: bool
    nll: float | None
    level: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Paired:
    """One group of items: all, or those of a level."""

    name: str
    a: Interval
    b: Interval
    gap: Interval | None
    """A - B; None for a single item."""
    test: PairedTest
    p_holm: float | None = None
    """Adjusted for the number of levels; None for all items."""

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """As --json prints it."""
        gap = None if self.gap is None else self.gap._asdict()
        sides = {"a": self.a._asdict(), "b": self.b._asdict(), "difference": gap}
        return {"name": self.name, **sides, **self.test._asdict(), "p_holm": self.p_holm}


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """One benchmark."""

    benchmark: str
    whole: Paired
    levels: tuple[Paired, ...]
    nll: Interval | None
    """nll(A) - nll(B), nats per token; None where fewer than two items have both."""

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """As --json prints it."""
        nll = None if self.nll is None else self.nll._asdict()
        levels = [each.to_json() for each in self.levels]
        return {"benchmark": self.benchmark, **self.whole.to_json(), "nll_difference": nll, "levels": levels}


def compare(a: Path, b: Path, seed: int = 0) -> tuple[Compared, ...]:
    """Every benchmark that both evaluated, in order of name.

    Raises BadInput where there is none, or where the items of one differ.
    """
    folders = evaluation_of(a), evaluation_of(b)
    names = [{file.name.removeprefix(PREFIX).removesuffix(".jsonl") for file in _files(folder)} for folder in folders]
    both = sorted(names[0] & names[1])
    if not both:
        told = " and ".join(", ".join(sorted(each)) for each in names)
        raise BadInput(f"compare: {a} and {b} share no benchmark ({told}); evaluate both on the same --data")
    return tuple(_benchmark(name, folders[0], folders[1], seed) for name in both)


def evaluation_of(path: Path) -> Path:
    """The folder with the outputs: `evaluate` of a run directory, or the folder itself. BadInput where there is none."""
    for folder in (path / "evaluate", path):
        if folder.is_dir() and _files(folder):
            return folder
    raise BadInput(f"{path}: holds no {PREFIX}*.jsonl; give a run directory or its evaluate folder, finished")


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{PREFIX}*.jsonl"))


def _benchmark(name: str, folder_a: Path, folder_b: Path, seed: int) -> Compared:
    file_a, file_b = (folder / f"{PREFIX}{name}.jsonl" for folder in (folder_a, folder_b))
    rows_a, rows_b = _read(file_a), _read(file_b)
    apart = [*(key for key in rows_a if key not in rows_b), *(key for key in rows_b if key not in rows_a)]
    if apart:
        raise BadInput(
            f"compare: {len(apart):,} items of {name} are in {file_a} or {file_b} alone, first {apart[0]}; evaluate both on the same "
            "file with the same --limit"
        )
    other = next((key for key, row in rows_a.items() if any(row[field] != rows_b[key][field] for field in SAME)), None)
    if other is not None:
        raise BadInput(
            f"compare: {other} is another question or gold in {file_a} than in {file_b}; evaluate both on the same file"
        )
    pairs = [(_outcome(file_a, row), _outcome(file_b, rows_b[key])) for key, row in rows_a.items()]
    levels = sorted({first.level for first, _ in pairs if first.level is not None})
    by_level = [_pair(f"level {k}", [pair for pair in pairs if pair[0].level == k], seed, name) for k in levels]
    adjusted = holm([each.test.p for each in by_level]).tolist() if by_level else []
    return Compared(
        benchmark=name,
        whole=_pair("all items", pairs, seed, name),
        levels=tuple(_with(each, float(p)) for each, p in zip(by_level, adjusted, strict=True)),
        nll=_nll(pairs, seed, name),
    )


def _with(pair: Paired, p_holm: float) -> Paired:
    return Paired(name=pair.name, a=pair.a, b=pair.b, gap=pair.gap, test=pair.test, p_holm=p_holm)


def _pair(name: str, pairs: Sequence[tuple[Outcome, Outcome]], seed: int, benchmark: str) -> Paired:
    a_N, b_N = (np.array([pair[side].equal for pair in pairs], dtype=np.float64) for side in (0, 1))
    rng = stream(seed, "mathqa.compare", benchmark, name)
    return Paired(
        name=name,
        a=wilson(float(a_N.sum()), len(pairs)),
        b=wilson(float(b_N.sum()), len(pairs)),
        gap=paired_bootstrap(a_N, b_N, rng) if len(pairs) > 1 else None,
        test=mcnemar(int((a_N > b_N).sum()), int((a_N < b_N).sum())),
    )


def _nll(pairs: Sequence[tuple[Outcome, Outcome]], seed: int, benchmark: str) -> Interval | None:
    both = [(a.nll, b.nll) for a, b in pairs if a.nll is not None and b.nll is not None]
    if len(both) < 2:
        return None
    a_N, b_N = np.array(both).T
    return paired_bootstrap(a_N, b_N, stream(seed, "mathqa.compare", benchmark, "nll"))


def _read(file: Path) -> dict[str, Mapping[str, Any]]:  # Any: JSON values
    """Rows by id. BadInput for a damaged row or an id that stands twice."""
    found: dict[str, Mapping[str, Any]] = {}
    for row in store.read_json_rows(file):
        if isinstance(row, Reject):
            raise BadInput(f"{file}: row {row.row}: {row.field or 'row'}: {row.reason}; evaluate again")
        missing = [name for name in ("id", "equal", *SAME) if name not in row.data]
        if missing:
            raise BadInput(f"{file}: row {row.row}: {missing[0]}: missing; evaluate again")
        if str(row.data["id"]) in found:
            raise BadInput(f"{file}: row {row.row}: id: {row.data['id']!r} stands twice; evaluate again")
        found[str(row.data["id"])] = row.data
    return found


def _outcome(file: Path, row: Mapping[str, Any]) -> Outcome:  # Any: as above
    equal, nll, level = row["equal"], row.get("nll"), row.get("level")
    if not isinstance(equal, bool) or not isinstance(nll, float | int | None) or not isinstance(level, int | None):
        raise BadInput(
            f"{file}: {row['id']}: equal, nll or level: of another type than an evaluation writes; evaluate again"
        )
    return Outcome(equal, None if nll is None else float(nll), level)
