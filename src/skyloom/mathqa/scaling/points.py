"""Scaling points: a measure at several numbers of rows, where it comes from, and how its noise is drawn anew.

Formula  with every item's result and two seeds a size or more: items are drawn anew for all cells at once (they share them, so what an item
         adds to all sizes cancels), seeds anew within each size, their spread around the size's mean times sqrt(S / (S - 1)), which few
         seeds understate. Else: the best law's curve plus normal noise of the residuals' size, or of k right among n where that is
         larger, divided by a chi as in Student's t
         weight of a cell = 1 / (p (1 - p) / n + variance between seeds), p by size; equal where no n is known
Source   resampling of crossed factors: Owen 2007 (pigeonhole bootstrap), which errs to the wide side
Flow     scaling/cells.py or a CSV -> [points] -> fit -> told
Run      skyloom mathqa scaling --points FILE.csv --out DIR
Shapes   C cells (one a size and seed), I items, R resamples, S seeds of a size
"""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from skyloom.core.errors import BadInput, BadRow

Array: TypeAlias = NDArray[np.float64]
Measure: TypeAlias = Literal["accuracy", "nll"]
KNOWN: tuple[str, ...] = ("rows", "accuracy", "right", "n", "seed", "setting", "model")
CHUNK: int = 4_000_000
"""Item weights in memory at once: 32 MB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Points:
    """The cells of one curve. Raises ValueError for cells that are none."""

    name: str
    """What was varied and measured, for example the model; may be empty."""
    measure: Measure
    """`accuracy`: 0 to 1, rises. `nll`: nats a token, falls."""
    rows_C: Array
    value_C: Array
    """Mean over the items."""
    n_C: NDArray[np.int64]
    """Items behind each value; 0: not known."""
    item_CI: Array | None = None
    """Result of every item, in one order for all cells; None: not known."""
    settings: tuple[str, ...] = ("",)
    """Evaluation settings that the cells come from; a curve has one."""

    def __post_init__(self) -> None:
        """Check the shapes and ranges."""
        if not len(self.rows_C) == len(self.value_C) == len(self.n_C) > 0:
            raise ValueError("points: rows, values and n need one length above 0")
        if self.rows_C.min() < 1 or not np.isfinite(self.value_C).all() or self.value_C.min() < 0:
            raise ValueError("points: rows must be at least 1 and values finite, 0 or more")
        if self.measure == "accuracy" and self.value_C.max() > 1:
            raise ValueError("points: an accuracy lies between 0 and 1")

    @property
    def x_C(self) -> Array:
        """log2 of the rows."""
        return np.log2(self.rows_C)

    @property
    def sign(self) -> float:
        """What makes the measure rise."""
        return 1.0 if self.measure == "accuracy" else -1.0

    @property
    def rising_C(self) -> Array:
        """The measure, or its negative where it falls."""
        return self.sign * self.value_C

    @property
    def ceiling(self) -> float:
        """The most that the rising measure can be: all right, or no surprise at all."""
        return 1.0 if self.measure == "accuracy" else 0.0

    @property
    def sizes(self) -> tuple[int, ...]:
        """The different numbers of rows in order."""
        return tuple(int(each) for each in np.unique(self.rows_C))

    @property
    def seeds(self) -> int:
        """Fewest cells of one size."""
        return int(np.unique(self.rows_C, return_counts=True)[1].min())

    @property
    def crossed(self) -> bool:
        """Whether items and seeds can both be drawn anew."""
        return self.item_CI is not None and self.seeds >= 2

    def up_to(self, rows: float) -> "Points":
        """The cells of at most so many rows."""
        here_C = self.rows_C <= rows
        return Points(
            name=self.name,
            measure=self.measure,
            rows_C=self.rows_C[here_C],
            value_C=self.value_C[here_C],
            n_C=self.n_C[here_C],
            item_CI=None if self.item_CI is None else self.item_CI[here_C],
            settings=self.settings,
        )


def of_items(
    name: str,
    measure: Measure,
    rows: Sequence[int],
    item_CI: Sequence[Sequence[float]],
    settings: Sequence[str] = ("",),
) -> Points:
    """Points from every item's result in every cell; raises BadInput where the cells saw different numbers of items."""
    counts = {len(each) for each in item_CI}
    if len(counts) != 1 or 0 in counts:
        raise BadInput(f"scaling: the cells hold {sorted(counts)} items each; delete the odd ones and run again")
    value_CI = np.asarray(item_CI, dtype=np.float64)
    cells, items = value_CI.shape
    return Points(
        name=name,
        measure=measure,
        rows_C=np.asarray(rows, dtype=np.float64),
        value_C=value_CI.mean(axis=1),
        n_C=np.full(cells, items),
        item_CI=value_CI,
        settings=tuple(dict.fromkeys(settings)),
    )


def weights(points: Points) -> Array:
    """(C,) one over each cell's variance, mean 1; equal where n is unknown or the measure is no share."""
    if points.measure != "accuracy" or points.n_C.min() < 1:
        return np.ones(len(points.value_C))
    _, at_C = np.unique(points.rows_C, return_inverse=True)
    right_S = np.bincount(at_C, points.value_C * points.n_C)
    p_C = ((right_S + 0.5) / (np.bincount(at_C, points.n_C) + 1))[
        at_C
    ]  # half a success keeps a floor of 0 from all the weight
    weight_C = 1 / (p_C * (1 - p_C) / points.n_C + between(points))
    return weight_C / weight_C.mean()


def between(points: Points) -> float:
    """Variance of cells of one size, pooled over sizes; 0 where each has one."""
    _, at_C = np.unique(points.rows_C, return_inverse=True)
    cells_S = np.bincount(at_C)
    free = len(at_C) - len(cells_S)
    mean_S = np.bincount(at_C, points.value_C) / cells_S
    return float(((points.value_C - mean_S[at_C]) ** 2).sum() / free) if free else 0.0


def drawn_items(points: Points, rng: np.random.Generator, resamples: int) -> Array:
    """(R, C) cell means of the rising measure with items drawn anew for all cells and seeds within each size."""
    assert points.item_CI is not None
    cells, items = points.item_CI.shape
    chunk = max(1, CHUNK // items)
    mean_RC = np.empty((resamples, cells))
    for start in range(0, resamples, chunk):
        stop = min(start + chunk, resamples)
        times_RI = rng.multinomial(items, np.full(items, 1 / items), size=stop - start)
        mean_RC[start:stop] = times_RI @ points.item_CI.T / items
    drawn_RC = np.empty_like(mean_RC)
    for size in np.unique(points.rows_C):
        here_S = np.flatnonzero(points.rows_C == size)
        count = len(here_S)
        middle_R1 = mean_RC[:, here_S].mean(axis=1, keepdims=True)
        taken_RS = np.take_along_axis(mean_RC, here_S[rng.integers(count, size=(resamples, count))], axis=1)
        drawn_RC[:, here_S] = middle_R1 + math.sqrt(count / (count - 1)) * (taken_RS - middle_R1)
    return points.sign * drawn_RC


def drawn_noise(
    points: Points, curve_C: Array, residual_variance_C: Array, free: int, rng: np.random.Generator, resamples: int
) -> Array:
    """(R, C) the law's curve plus noise as large as its residuals, or as n items alone would make.

    Raises BadInput where neither is known: as many points as parameters, and no n.
    """
    counted_C = np.zeros(len(curve_C))
    if points.measure == "accuracy" and points.n_C.min() > 0:
        share_C = (points.value_C * points.n_C + 0.5) / (points.n_C + 1)
        counted_C = share_C * (1 - share_C) / points.n_C
    if free < 1 and not counted_C.any():
        raise BadInput(
            f"scaling: {len(curve_C)} points without n tell nothing of their noise; give right and n, or more sizes"
        )
    larger = free >= 1 and residual_variance_C.mean() > counted_C.mean()
    variance_C = np.maximum(residual_variance_C, counted_C) if free >= 1 else counted_C
    noise_RC = rng.standard_normal((resamples, len(curve_C))) * np.sqrt(variance_C)
    if larger:  # the residuals' size is itself an estimate
        noise_RC /= np.sqrt(rng.chisquare(free, size=(resamples, 1)) / free)
    return curve_C + noise_RC


# --- from a file -----------------------------------------------------------------------------------------------------------


def read_points(path: Path, mixed: bool = False) -> tuple[Points, ...]:
    """The curves of a CSV file, one a model: columns rows, accuracy or right and n, optional seed, setting and model.

    Raises BadInput naming file, row and field; also where one model's points come from several settings, unless `mixed`.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            fields = tuple(reader.fieldnames or ())
            _check_columns(path, fields)
            rows = [_parsed(path, number, row) for number, row in enumerate(reader, 1)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path}: not a readable CSV file: {error}") from error
    if not rows:
        raise BadInput(f"{path}: holds no points")
    return tuple(
        _curve(path, model, [row for row in rows if row[3] == model], mixed)
        for model in dict.fromkeys(row[3] for row in rows)
    )


def _check_columns(path: Path, fields: Sequence[str]) -> None:
    unknown = [name for name in fields if name not in KNOWN]
    if unknown:
        raise BadInput(f"{path}: row 0: {unknown[0]!r} is no column of scaling points; known: {', '.join(KNOWN)}")
    if "rows" not in fields or not ({"accuracy"} <= set(fields) or {"right", "n"} <= set(fields)):
        raise BadInput(f"{path}: row 0: needs the columns rows, and accuracy or right and n; has {', '.join(fields)}")


_Row: TypeAlias = tuple[float, float, int, str, str]
"""rows, accuracy, n, model, setting"""


def _parsed(path: Path, number: int, row: Mapping[str, str | None]) -> _Row:
    try:
        if any(value is None for value in row.values()) or None in row:
            raise BadRow("", f"has {'more' if None in row else 'fewer'} values than columns")
        size = _number(row, "rows", 1, math.inf, whole=True)
        n = _number(row, "n", 1, math.inf, whole=True) if row.get("n") else 0
        if row.get("right"):
            if not n:
                raise BadRow("n", "missing; right needs the number of items")
            share = _number(row, "right", 0, n) / n
        else:
            share = _number(row, "accuracy", 0, 1)
    except BadRow as error:
        raise BadInput(f"{path}: row {number}: {error}") from error
    return size, share, int(n), (row.get("model") or "").strip(), (row.get("setting") or "").strip()


def _number(row: Mapping[str, str | None], name: str, low: float, high: float, whole: bool = False) -> float:
    text = (row.get(name) or "").strip()
    if not text:
        raise BadRow(name, "missing")
    try:
        value = float(text.replace("_", ""))
    except ValueError:
        raise BadRow(name, f"{text!r} is not a number") from None
    if not low <= value <= high or (whole and (not math.isfinite(value) or value != int(value))):
        kind = "a whole number" if whole else "a number"
        hint = "; give a share, not percent" if name == "accuracy" and value > 1 else ""
        raise BadRow(name, f"{text} is not {kind} from {low:g} to {high:g}{hint}")
    return value


def _curve(path: Path, model: str, rows: Sequence[_Row], mixed: bool) -> Points:
    settings = tuple(dict.fromkeys(row[4] for row in rows))
    if len(settings) > 1 and not mixed:
        raise BadInput(
            f"{path}: {model or 'the points'}: setting: {len(settings)} of them ({', '.join(s or 'none' for s in settings)}); "
            "one curve needs one; keep one setting, or fit them together with --mixed"
        )
    numbers = [row[2] for row in rows]
    return Points(
        name=model,
        measure="accuracy",
        rows_C=np.array([row[0] for row in rows]),
        value_C=np.array([row[1] for row in rows]),
        n_C=np.array(numbers if all(numbers) else [0] * len(rows), dtype=np.int64),
        settings=settings,
    )
