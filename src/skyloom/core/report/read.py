"""What a report needs from a run directory, read and checked into typed facts; nothing is recomputed.

A step is any folder directly below the run that holds one of the files named here; the folder's name is free, so a run may
have two ledgers. Absent files are absent facts; a damaged file is a BadInput that names it.

Flow  run directory -> read_run -> core.report.sections
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from skyloom.core import metrics, store
from skyloom.core.errors import BadInput, BadRow
from skyloom.core.metrics import Evaluation, MetricRow, Plot, Table

ORDER: tuple[str, ...] = ("collect", "synthesize", "curate", "train", "evaluate")
"""Steps in the order of the flow; others follow by name."""
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFacts:
    """One source of sources.json."""

    label: str
    plugin: str
    licence: str
    split: str
    as_train: bool
    rows: int
    rejected: int
    reject_reasons: dict[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """One decider of waterfall.json."""

    step: str
    dropped: int
    changed: int
    """Rows flipped or mended; counted among the reasons as well."""
    reasons: dict[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Waterfall:
    """waterfall.json: rows in, what each decider took, rows kept."""

    rows_in: int
    steps: tuple[Decision, ...]
    kept: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Defect:
    """One defect of truth.json: rows planted with it, rows found, rows that are both."""

    defect: str
    planted: int
    found: int
    hits: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StepFacts:
    """What one step's folder says; None where it does not hold the file."""

    name: str
    sources: tuple[SourceFacts, ...] | None
    waterfall: Waterfall | None
    truth: tuple[Defect, ...] | None
    metrics: tuple[MetricRow, ...] | None
    evaluation: Evaluation | None
    tables: tuple[Table, ...] | None
    plots: tuple[Plot, ...] | None
    pages: tuple[str, ...] | None = None
    """Names of the HTML pages beside them, such as all outputs of an evaluation."""

    @property
    def empty(self) -> bool:
        """Whether the folder holds none of the files."""
        return all(getattr(self, name) is None for name in self.__slots__ if name != "name")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """A whole run."""

    name: str
    """The recipe; where run.json does not say, the directory's name."""
    manifest: Mapping[str, Any]  # Any: run.json is shown as it is
    """run.json; empty where there is none."""
    steps: tuple[StepFacts, ...]

    @property
    def evaluation(self) -> Evaluation | None:
        """The last step's evaluation; None where no step has one."""
        return next((step.evaluation for step in reversed(self.steps) if step.evaluation is not None), None)


def read_run(run_dir: Path) -> RunFacts:
    """Read every file that a report shows. BadInput where the directory is missing or a file is damaged."""
    if not run_dir.is_dir():
        raise BadInput(f"{run_dir}: no such run directory")
    folders = [folder for folder in run_dir.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
    steps = [_read_step(folder) for folder in sorted(folders, key=lambda folder: place(folder.name))]
    manifest = _optional(run_dir / "run.json", lambda path: _only(path, dict)) or {}
    name = manifest.get("recipe")
    return RunFacts(
        name=name if isinstance(name, str) and name else run_dir.resolve().name,
        manifest=manifest,
        steps=tuple(step for step in steps if not step.empty),
    )


def place(step: str) -> tuple[int, str]:
    """Sort key of a step's name: the flow's order first."""
    return (ORDER.index(step) if step in ORDER else len(ORDER), step)


def _read_step(folder: Path) -> StepFacts:
    return StepFacts(
        name=folder.name,
        sources=_optional(folder / "sources.json", lambda path: _only(path, _sources)),
        waterfall=_optional(folder / "waterfall.json", lambda path: _only(path, _waterfall)),
        truth=_optional(folder / "truth.json", lambda path: metrics.read_objects(path, _defect)),
        metrics=_optional(folder / metrics.METRICS, metrics.read_metrics),
        evaluation=_optional(folder / metrics.RESULTS, lambda path: metrics.read_evaluation(path.parent)),
        tables=_optional(folder / metrics.TABLES, lambda path: metrics.read_tables(path.parent)),
        plots=_optional(folder / metrics.PLOTS, lambda path: metrics.read_plots(path.parent)),
        pages=tuple(path.name for path in sorted(folder.glob("*.html"))) or None,
    )


def _optional(path: Path, read: Callable[[Path], T]) -> T | None:
    return read(path) if path.is_file() else None


def _only(path: Path, parse: Callable[[Mapping[str, Any]], T]) -> T:
    found = metrics.read_objects(path, parse)
    if len(found) != 1:
        raise BadInput(f"{path}: holds {len(found)} objects, expected one; run that step again")
    return found[0]


def _sources(raw: Mapping[str, Any]) -> tuple[SourceFacts, ...]:
    return tuple(_source(store.object_field({"sources": each}, "sources")) for each in _list(raw, "sources"))


def _source(raw: Mapping[str, Any]) -> SourceFacts:
    label, plugin, licence, split = (store.text_field(raw, key) for key in ("label", "plugin", "licence", "split"))
    return SourceFacts(
        label=label,
        plugin=plugin,
        licence=licence,
        split=split,
        as_train=raw.get("as_train") is True,
        rows=_count(raw, "rows"),
        rejected=_count(raw, "rejected"),
        reject_reasons=_counts(raw, "reject_reasons"),
    )


def _waterfall(raw: Mapping[str, Any]) -> Waterfall:
    steps = tuple(_decision(store.object_field({"steps": each}, "steps")) for each in _list(raw, "steps"))
    return Waterfall(rows_in=_count(raw, "rows_in"), steps=steps, kept=_count(raw, "kept"))


def _decision(raw: Mapping[str, Any]) -> Decision:
    changed = _count(raw, "changed") if "changed" in raw else 0
    step, dropped = store.text_field(raw, "step"), _count(raw, "dropped")
    return Decision(step=step, dropped=dropped, changed=changed, reasons=_counts(raw, "reasons"))


def _defect(raw: Mapping[str, Any]) -> Defect:
    planted, found, hits = (_count(raw, key) for key in ("planted", "found", "hits"))
    if hits > min(planted, found):
        raise BadRow("hits", f"{hits} exceeds planted {planted} or found {found}")
    return Defect(defect=store.text_field(raw, "defect"), planted=planted, found=found, hits=hits)


def _list(raw: Mapping[str, Any], name: str) -> list[Any]:
    return store.list_field(raw, name, empty=True)


def _count(raw: Mapping[str, Any], name: str) -> int:
    value = store.number_field(raw, name)
    if value < 0 or value != int(value):
        raise BadRow(name, f"expected a count, got {value:g}")
    return int(value)


def _counts(raw: Mapping[str, Any], name: str) -> dict[str, int]:
    """Reason -> rows, most frequent first."""
    mapping = store.object_field(raw, name)
    counts = {key: _count(mapping, key) for key in mapping}
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
