"""Sensitivity: which pairs hang on which hand-made constant. Each constant is changed alone, the deciders run again, nothing else does.

Formula  for every number c of every decider and every value v to try: kept(c = v) against kept(c as configured); gained, lost, altered
         v in c * (0.5, 0.8, 0.9, 1.1, 1.25, 2) unless the plug-in states SWEEPS; where a decider refuses a value above 1, 1 is tried
Source   ours; Skywork-Reward (arXiv 2410.18451) says of its offsets, -0.1 and -0.05, that the best ones were not searched
Flow     collect -> curate -> [sensitivity] -> report; reads columns, verdicts and decisions of a finished curation
Run      skyloom reward sensitivity skywork_v01:smoke
Limits   Annotators do not run again: where a fit annotator follows the decider that changes, its columns stay as fitted on the rows that
         were alive in the base, and a decider that reads them passes over the rows that it never saw. Such values carry a note; a new
         run with that setting is exact.
Shapes   N rows of the ledger
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, get_origin, get_type_hints

import numpy as np
import polars as pl

from skyloom.core import registry, store
from skyloom.core.config import PluginConfig
from skyloom.core.errors import BadInput
from skyloom.core.ledger.annotate import KEYS, AnnotatorConfig, read_columns, stored_owners
from skyloom.core.ledger.curate import read_decisions
from skyloom.core.ledger.decide import DeciderConfig, Standing, reads_of, run_decider
from skyloom.core.ledger.query import curated_folder
from skyloom.core.metrics import PLOTS, TABLES, Plot, Series, Table
from skyloom.core.progress import track

FACTORS: tuple[float, ...] = (0.5, 0.8, 0.9, 1.1, 1.25, 2.0)
"""What a constant is multiplied with, where its plug-in states no SWEEPS."""
NOT_SWEPT: tuple[str, ...] = ("seed",)
"""Numbers that are names."""
MOST_PLOTS: int = 8
"""Constants with a plot of their own: those that move the most rows."""
FOLDER: str = "sensitivity"
WORDS: tuple[str, ...] = ("gained", "lost", "altered")
ROWS: dict[str, pl.DataType] = {
    "constant": pl.Categorical(),
    "value": pl.Float64(),
    "row": pl.Int64(),
    "change": pl.Enum(list(WORDS)),
    "source": pl.Categorical(),
    "category": pl.Categorical(),
}
"""Columns of sensitivity.parquet."""


class Constant(NamedTuple):
    """One number of one decider."""

    at: int
    """Position of the decider in the chain."""
    path: str
    """As `--set` names it behind `curate.`: top_k.shares.Math."""
    field: str
    key: str | None
    """Key in a table of numbers; None where the field is the number."""
    base: float
    values: tuple[float, ...]
    note: str
    """What of the result is only approximate; empty where the sweep is exact."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What one value of one constant does to the kept set."""

    constant: str
    base: float
    value: float
    kept: int
    gained: int
    """Rows kept with this value and not with the base."""
    lost: int
    altered: int
    """Rows kept with both whose action, weight or label differ."""
    by_source: Mapping[str, Mapping[str, int]]
    """Source -> gained, lost, altered; sources where nothing moves are left out."""
    by_category: Mapping[str, Mapping[str, int]]
    """The same by scores.category, where the chain annotates it."""
    note: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Sensitivity:
    """The whole sweep of one run."""

    rows: int
    """Rows of the ledger."""
    kept: int
    """Rows that the base keeps."""
    changes: tuple[Change, ...]
    refused: tuple[str, ...]
    """Values that a decider does not accept, each with its message."""
    moved: pl.DataFrame
    """Columns ROWS: every row that a value gains, loses or alters."""

    def to_json(self) -> dict[str, Any]:  # Any: nested JSON
        """Everything but the rows."""
        changes = [asdict(change) for change in self.changes]
        return {"rows": self.rows, "kept": self.kept, "changes": changes, "refused": list(self.refused)}


def sweep(run: Path, chain: Sequence[PluginConfig]) -> Sensitivity:
    """Change every constant of the chain that a run was curated with, one at a time, and decide again.

    Retracted rows stay out. Raises BadInput where the run is not curated, or where the chain does not give its kept set again.
    """
    ledger = _Ledger(curated_folder(run))
    deciders = {at: config for at, config in enumerate(chain) if isinstance(config, DeciderConfig)}
    standing, before = ledger.start(), dict[int, Standing]()
    for at, decider in deciders.items():
        before[at] = _copy(standing)
        standing.apply(run_decider(decider, ledger.read, standing.alive_N))
    ledger.check_base(standing)
    changes, refused, moved = list[Change](), list[str](), [pl.DataFrame(schema=ROWS)]
    found = list(constants(chain))
    for constant in track(found, "sweeping", len(found)):

        def decided(value: float, constant: Constant = constant) -> Standing:
            """Nothing before the changed decider can differ, so it starts there."""
            varied = _varied(deciders[constant.at], constant, value)
            other = _copy(before[constant.at])
            other.apply(run_decider(varied, ledger.read, other.alive_N))
            for at, decider in deciders.items():
                if at > constant.at:
                    unseen_N = other.alive_N & ~_seen(chain, before, constant.at, at)
                    other.alive_N &= ~unseen_N
                    other.apply(run_decider(decider, ledger.read, other.alive_N))
                    other.alive_N |= unseen_N
            return other

        for value, other in _accepted(constant, decided, refused):
            change, rows = ledger.compare(constant, value, standing, other)
            changes.append(change)
            moved.append(rows)
    kept = int(standing.alive_N.sum())
    refusals = tuple(dict.fromkeys(refused))
    return Sensitivity(rows=ledger.height, kept=kept, changes=tuple(changes), refused=refusals, moved=pl.concat(moved))


def constants(chain: Sequence[PluginConfig]) -> Iterator[Constant]:
    """Every number of every decider that is not a switch: whole and decimal fields and tables of numbers, 0 (off) left out."""
    names = [registry.plugin_of(config).name for config in chain if isinstance(config, DeciderConfig)]
    for at, config in enumerate(chain):
        if not isinstance(config, DeciderConfig):
            continue
        name = registry.plugin_of(config).name
        stem = name if names.count(name) == 1 else str(at)
        swept: Mapping[str, tuple[float, ...]] = getattr(registry.module_of(config), "SWEEPS", {})
        note = _fitted_after(chain, at)
        hints = get_type_hints(type(config))
        for field in fields(config):
            if field.name in NOT_SWEPT or get_origin(hints[field.name]) is Literal:
                continue
            value = getattr(config, field.name)
            table = cast(Mapping[str, Any], value) if isinstance(value, dict) else {None: value}  # Any: field values
            for key, base in table.items():
                if isinstance(base, bool) or not isinstance(base, int | float):
                    continue
                values = swept.get(field.name) or _around(base)
                path = ".".join(filter(None, (stem, field.name, key)))
                others = tuple(dict.fromkeys(each for each in values if each != base))
                if others:
                    yield Constant(at, path, field.name, key, base, others, note)


def write(run: Path, found: Sensitivity) -> Path:
    """Write sensitivity.parquet (the rows), sensitivity.json, tables.json and plots.json into the run; returns their folder.

    The run's report shows the tables and plots.
    """
    folder = run / FOLDER
    store.write_parquet(folder / "sensitivity.parquet", found.moved)
    store.write_json(folder / "sensitivity.json", found.to_json())
    store.write_json(folder / TABLES, [table.to_json() for table in tables(found)])
    store.write_json(folder / PLOTS, [plot.to_json() for plot in plots(found)])
    return folder


def tables(found: Sensitivity) -> tuple[Table, ...]:
    """Every value; the moved rows by source and by category."""
    return (overview(found), _by(found, "source"), _by(found, "category"))


def overview(found: Sensitivity) -> Table:
    """One row a value, in the order of the chain."""
    rows = [
        (c.constant, c.base, c.value, c.kept, c.gained, c.lost, c.altered, _share(c, found.kept), c.note)
        for c in found.changes
    ]
    note = (
        f"{found.rows:,} rows, of which the configured constants keep {found.kept:,}. One constant changed at a time and the "
        "deciders run again: counts of all rows, so no interval. Altered: kept by both, with another action, weight or label. "
        "Moved: gained and lost, in % of the kept rows."
    )
    if found.refused:
        note += f" Not accepted: {'; '.join(found.refused)}."
    columns = ("constant", "configured", "value", "kept", "gained", "lost", "altered", "moved", "note")
    return Table(title="Sensitivity to hand-made constants", note=note, columns=columns, rows=tuple(rows))


def plots(found: Sensitivity) -> tuple[Plot, ...]:
    """Rows gained and lost by value, for the constants that move the most rows."""
    by_constant: dict[str, list[Change]] = {}
    for change in found.changes:
        by_constant.setdefault(change.constant, []).append(change)
    most = sorted(by_constant, key=lambda name: -max(c.gained + c.lost for c in by_constant[name]))
    return tuple(_plot(name, by_constant[name]) for name in most[:MOST_PLOTS])


def _plot(name: str, changes: Sequence[Change]) -> Plot:
    points = {change.value: (change.gained, change.lost) for change in changes} | {changes[0].base: (0, 0)}
    x = tuple(sorted(points))
    lines = (("gained", 0), ("lost", 1))
    series = tuple(Series(name=line, x=x, y=tuple(points[each][k] for each in x)) for line, k in lines)
    return Plot(title=f"{name}, configured as {changes[0].base:g}", x=name, y="rows", series=series)


def _by(found: Sensitivity, group: Literal["source", "category"]) -> Table:
    rows = [
        (change.constant, change.value, name or "(none)", *(counts[word] for word in WORDS))
        for change in found.changes
        for name, counts in (change.by_source if group == "source" else change.by_category).items()
    ]
    note = "Values that move no row are left out."
    columns = ("constant", "value", group, *WORDS)
    return Table(title=f"Moved rows by {group}", note=note, columns=columns, rows=tuple(rows))


def _share(change: Change, kept: int) -> str:
    return f"{(change.gained + change.lost) / max(kept, 1):.2%}"


def _around(base: float) -> tuple[float, ...]:
    """The base times FACTORS, whole where the base is; without 0, which switches off what it bounds."""
    values = [round(base * factor) if isinstance(base, int) else round(base * factor, 12) for factor in FACTORS]
    return tuple(value for value in values if value)


def _accepted(
    constant: Constant, decided: Callable[[float], Standing], refused: list[str]
) -> Iterator[tuple[float, Standing]]:
    """The values that the decider takes, each once; in place of a share above 1 it is offered 1. Refusals go to `refused`."""
    done: set[float] = set()
    for value in constant.values:
        offered = (value, 1.0) if abs(constant.base) < 1 < value else (value,)
        for each in offered:
            if each in done:
                break
            try:
                standing = decided(each)
            except (BadInput, ValueError) as error:
                if each == offered[-1]:
                    refused.append(f"{constant.path}={each:g}: {error}")
                continue
            done.add(each)
            yield each, standing
            break


def _varied(config: DeciderConfig, constant: Constant, value: float) -> DeciderConfig:
    number = int(value) if isinstance(constant.base, int) else float(value)
    if constant.key is None:
        return replace(config, **{constant.field: number})
    return replace(config, **{constant.field: {**getattr(config, constant.field), constant.key: number}})


def _seen(chain: Sequence[PluginConfig], before: Mapping[int, Standing], changed: int, at: int) -> np.ndarray:
    """bool, rows on which the decider at `at` can say something: those that every fit since `changed` saw whose columns it reads."""
    read = set(reads_of(cast(DeciderConfig, chain[at])))
    seen_N = np.ones_like(before[at].alive_N)
    for place in range(changed + 1, at):
        module = registry.module_of(chain[place])
        if isinstance(chain[place], AnnotatorConfig) and module.KIND == "fit" and read & set(module.WRITES):
            seen_N &= before[min(each for each in before if each > place)].alive_N
    return seen_N


def _fitted_after(chain: Sequence[PluginConfig], at: int) -> str:
    """Which columns that later deciders read would be fitted anew if the decider at `at` dropped other rows."""
    stale: list[str] = []
    for place in range(at + 1, len(chain)):
        annotator = chain[place]
        if not isinstance(annotator, AnnotatorConfig) or registry.module_of(annotator).KIND != "fit":
            continue
        later = [config for config in chain[place + 1 :] if isinstance(config, DeciderConfig)]
        read = {column for config in later for column in reads_of(config)}
        stale += [column for column in registry.module_of(annotator).WRITES if column in read]
    return f"{', '.join(stale)} as fitted on the base's rows, nothing for rows gained" if stale else ""


def _copy(standing: Standing) -> Standing:
    arrays = ("alive_N", "flipped_N", "repaired_N", "weight_N", "label_N")
    return replace(standing, **{name: getattr(standing, name).copy() for name in arrays})


class _Ledger:
    """The stored columns of a curation, each read once, and its base decisions."""

    def __init__(self, curated: Path) -> None:
        self._curated = curated
        self._owners = stored_owners(curated / "columns")
        self._read: dict[str, pl.Series] = {}
        self._row_N, self._source_N = (self.read(KEYS)[name] for name in ("row", "source"))
        self.height = self._row_N.len()
        category = "scores.category"
        none_N = pl.Series("category", [""]).new_from_index(0, self.height)
        self._category_N = (self.read([category])[category] if category in self._owners else none_N).cast(
            pl.Categorical
        )

    def read(self, names: Sequence[str]) -> pl.DataFrame:
        """Columns by name, in row order."""
        for name in names:
            if name not in self._owners:
                raise BadInput(f"{self._curated}: no column {name!r}; known: {', '.join(self._owners)}")
            if name not in self._read:
                self._read[name] = read_columns({name: self._owners[name]})[name]
        return pl.DataFrame([self._read[name] for name in names])

    def start(self) -> Standing:
        """Everything alive but what was retracted."""
        standing = Standing.start(self.height)
        retracted = self._curated / "verdicts" / "00-retracted.parquet"
        if retracted.is_file():
            standing.alive_N &= pl.read_parquet(retracted)["retracted.reason"].is_null().to_numpy()
        return standing

    def check_base(self, standing: Standing) -> None:
        """BadInput unless the standing is what the run decided."""
        stored_N = read_decisions(self._curated)["kept"].to_numpy()
        wrong = int((stored_N != standing.alive_N).sum()) if len(stored_N) == self.height else self.height
        if wrong:
            raise BadInput(f"{self._curated}: deciding again changes {wrong:,} rows; curate again with these settings")

    def compare(self, constant: Constant, value: float, base: Standing, other: Standing) -> tuple[Change, pl.DataFrame]:
        """Counts of the rows on which two standings differ, and those rows."""
        both_N = base.alive_N & other.alive_N
        altered_N = (base.flipped_N != other.flipped_N) | (base.repaired_N != other.repaired_N)
        altered_N |= (base.weight_N != other.weight_N) | (base.label_N != other.label_N)
        masks = {
            "gained": other.alive_N & ~base.alive_N,
            "lost": base.alive_N & ~other.alive_N,
            "altered": both_N & altered_N,
        }
        at = np.concatenate([np.flatnonzero(mask_N) for mask_N in masks.values()])
        words = [word for word, mask_N in masks.items() for _ in range(int(mask_N.sum()))]
        rows = pl.DataFrame(
            {
                "row": self._row_N.gather(at),
                "change": pl.Series(words, dtype=ROWS["change"]),
                "source": self._source_N.gather(at),
                "category": self._category_N.gather(at),
            }
        ).select(pl.lit(constant.path).alias("constant"), pl.lit(float(value)).alias("value"), pl.all())
        change = Change(
            constant=constant.path,
            base=constant.base,
            value=value,
            kept=int(other.alive_N.sum()),
            gained=int(masks["gained"].sum()),
            lost=int(masks["lost"].sum()),
            altered=int(masks["altered"].sum()),
            by_source=_counts(rows, "source"),
            by_category=_counts(rows, "category"),
            note=constant.note,
        )
        return change, rows.cast(ROWS)  # pyright: ignore[reportArgumentType] - polars types the mapping invariantly


def _counts(rows: pl.DataFrame, group: str) -> dict[str, dict[str, int]]:
    """Group -> change -> rows."""
    names = pl.col(group).cast(pl.String).fill_null("").alias("name")
    counted = rows.group_by(names, pl.col("change").cast(pl.String)).len().sort("name", "change")
    found: dict[str, dict[str, int]] = {}
    for name, change, count in counted.iter_rows():
        found.setdefault(name, dict.fromkeys(WORDS, 0))[change] = count
    return found
