"""What every export shares: the head of the card, shards of kept rows, and a folder that appears whole or not at all.

Flow  collect -> curate -> [export] -> `datasets.load_dataset(DIR)`; each system says what a row of its own looks like
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import polars as pl

from skyloom.core import licences, store
from skyloom.core.errors import BadInput

SIZES: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
"""Bounds of the Hub's size categories."""
WORDS: tuple[str, ...] = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "n>10M")


def card_head(names: Sequence[str], rows: int, tasks: Sequence[str], tags: Sequence[str], files: str) -> list[str]:
    """YAML lines: licences by their names on the Hub, size, and where the data files are. `names`: licences of the rows."""
    parts = {part for name in names for part in name.split(" and ")}
    hub = sorted({"other" if licences.terms(part).commercial == "unknown" else _hub_name(part) for part in parts})
    return [
        "license:",
        *(f"- {name}" for name in hub),
        "task_categories:",
        *(f"- {name}" for name in tasks),
        "tags:",
        *(f"- {name}" for name in tags),
        "size_categories:",
        f"- {WORDS[sum(rows >= size for size in SIZES)]}",
        "configs:",
        "- config_name: default",
        "  data_files:",
        "  - split: train",
        f"    path: {files}",
    ]


def _hub_name(licence: str) -> str:
    """The Hub's name of a known licence, which is SPDX's in lower case but for Meta's."""
    return licence.partition(" ")[0].lower().replace("llama-", "llama")


def shards(curated: Path, exported: Callable[[pl.DataFrame], pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """The kept rows in ledger order, as `exported` turns them out, so many at a time."""
    waiting: list[pl.DataFrame] = []
    for part in sorted((curated / "kept").glob("*.parquet")):
        waiting.append(exported(pl.read_parquet(part)))
        while sum(frame.height for frame in waiting) > rows:
            whole = pl.concat(waiting)
            yield whole[:rows]
            waiting = [whole[rows:]]
    if waiting:
        yield pl.concat(waiting)


def check_target(out: Path, mark: str, *, force: bool) -> None:
    """Raise BadInput unless `out` is new or empty, or, with `force`, holds an earlier export, which the file `mark` shows."""
    if not out.exists():
        return
    if not out.is_dir():
        raise BadInput(f"--out {out}: is a file; name a folder")
    if not any(out.iterdir()):
        return
    if not force:
        raise BadInput(f"--out {out}: is not empty; name another folder, or replace an earlier export with --force")
    if not (out / mark).is_file():
        raise BadInput(
            f"--out {out}: holds something else than an export, which --force does not replace; name another folder"
        )


def publish(partial: Path, out: Path) -> None:
    """Give the finished folder its name; an earlier export is set aside first, because a rename cannot replace it."""
    aside = out.with_name(f".{out.name}.old")
    if aside.exists():
        store.remove_tree(aside)
    if out.exists():
        store.publish(out, aside)
    store.publish(partial, out)
    if aside.exists():
        store.remove_tree(aside)
