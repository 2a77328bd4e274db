"""A scaling study of a finished run: its curated rows as the pool, its settings for every cell, its teacher's bill for the price.

Formula  price of a row = what the teacher was paid for the passes that are trained on / rows kept of them
Flow     RUN -> [study] -> cells -> points -> fit -> told
Run      skyloom mathqa scaling RUN --out DIR --sizes 500,1000,2000 --seeds 3
Limits   Test splits stay out by the run's own curation; a run that trained on a test split is refused as in its own evaluation.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from skyloom.core import store
from skyloom.core.config import from_dict, override
from skyloom.core.errors import BadInput
from skyloom.core.ledger.curate import read_kept
from skyloom.core.records import Reject
from skyloom.core.run import content_of, read_manifest
from skyloom.mathqa import pipeline
from skyloom.mathqa.scaling.cells import ALL, Cell, Done, Grid, Setting, run_grid
from skyloom.mathqa.scaling.points import Points, of_items
from skyloom.mathqa.settings import MathConfig


class Study(NamedTuple):
    """A run as material for a grid."""

    config: MathConfig
    grid: Grid
    folders: tuple[Path, ...]
    """Folders of the passes whose rows are trained on."""

    @property
    def money(self) -> float:
        """What the teacher was paid for them."""
        return sum(teacher(folder)["money"] for folder in self.folders)

    @property
    def tokens(self) -> int:
        """Tokens of their prompts and replies."""
        return sum(teacher(folder)["prompt_tokens"] + teacher(folder)["completion_tokens"] for folder in self.folders)


def study(path: Path, out: Path, settings: Sequence[str] = (), updates: str = "epochs") -> Study:
    """Read a finished run. Raises BadInput where it has no curated rows, no benchmark, or trained on a test split."""
    manifest = read_manifest(path)
    config = override(from_dict(MathConfig, manifest["config"], str(path)), settings)
    if not (path / "curate" / "step.json").is_file():
        raise BadInput(f"{path}: has no finished curate step; finish the run first")
    if not config.evaluate.benchmarks:
        raise BadInput(f"{path}: names no benchmark to measure on; give a run of `skyloom run skywork_math`")
    pipeline.refuse_trained_on(config, path / "collect")
    told = {"benchmark": config.evaluate.benchmarks[0], "train": config.train, "updates": updates}
    setting = from_dict(Setting, {**told, "generate": config.evaluate.generate, "grader": config.evaluate.grader})
    pool: pl.DataFrame = read_kept(path / "curate")
    folders = tuple(path / each.folder for each in config.synthesize.passes if each.train)
    return Study(config, Grid(pool, content_of(path / "curate"), setting, out), folders)


def teacher(folder: Path) -> dict[str, Any]:  # Any: JSON of our own
    """teacher.json of a pass: money and tokens, whole and by operator."""
    (row,) = store.read_json_rows(folder / "teacher.json")
    if isinstance(row, Reject):
        raise BadInput(f"{folder / 'teacher.json'}: {row.reason}; run the recipe again")
    return dict(row.data)


def check_sizes(sizes: Sequence[int], seeds: int) -> None:
    """Raise BadInput for sizes that make no curve."""
    if len(set(sizes)) != len(sizes) or min(sizes, default=0) < 1:
        raise BadInput("--sizes: give different whole numbers above 0, for example 500,1000,2000,4000")
    if len(sizes) < 2 or seeds < 1:
        raise BadInput(f"scaling needs two sizes or more and a seed or more, got {len(sizes)} and {seeds}")


def measure(
    told: Study, sizes: Sequence[int], seeds: int, arms: Sequence[str], tell: Callable[[str], None]
) -> list[Points]:
    """Train the grid, small sizes first; accuracy of every arm, and behind it the held-out NLL where the items have solutions."""
    check_sizes(sizes, seeds)
    cells = [Cell(arm, size, seed) for size in sorted(sizes) for arm in arms or (ALL,) for seed in range(seeds)]
    done = run_grid(told.grid, cells, tell)
    return [points for arm in arms or (ALL,) for points in curves(arm, [each for each in done if each.cell.arm == arm])]


def curves(arm: str, done: Sequence[Done]) -> list[Points]:
    """Accuracy and, where every cell has it for the same items, NLL."""
    rows = [each.rows for each in done]
    found = [of_items(arm, "accuracy", rows, [[float(one) for one in each.right] for each in done])]
    scored = [k for k in range(len(done[0].nll)) if all(each.nll[k] is not None for each in done)]
    if scored:
        found.append(of_items(arm, "nll", rows, [[each.nll[k] or 0.0 for k in scored] for each in done]))
    return found
