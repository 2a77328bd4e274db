"""Export: a curated run as a data set that others load, with its card, its licences and its whole ledger.

Layout   data/train-*.parquet   chosen, rejected (conversations), weight, label, source, category, origin, licence, id, content
         README.md              data-set card: YAML head, licences by source, the run's own card
         ledger.parquet         every row that was read: id, content, source, licence, kept, action, reason, a reason a decider
Flow     collect -> curate -> [export] -> `datasets.load_dataset(DIR)`, TRL's RewardTrainer
Run      skyloom reward export runs/x --out my-pairs
Limits   TRL's loss knows neither weight nor label; a run that gives either needs a trainer that reads the columns.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from skyloom.core import licences, store
from skyloom.core.errors import BadInput
from skyloom.core.ledger.curate import read_decisions
from skyloom.core.ledger.query import collected_folders, curated_folder
from skyloom.core.ledger.rows import SourceReport, read_sources, row_parts
from skyloom.core.records import split_key
from skyloom.core.run import read_manifest

SHARD_ROWS: int = 25_000
"""Pairs of one data file: about 100 MB of text at the paper's length."""
LEDGER: str = "ledger.parquet"
SIZES: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
"""Bounds of the Hub's size categories."""


class Exported(NamedTuple):
    """What was written."""

    folder: Path
    pairs: int
    rows: int
    """Rows of the ledger."""
    files: int


def export(run: Path, out: Path, force: bool = False) -> Exported:
    """Write the curated pairs of a run into the folder `out`, all of it or nothing.

    Raises BadInput where the run is not curated, where `out` holds something, unless `force` replaces an earlier export, and FailedWork
    where the disk refuses.
    """
    folders, curated = collected_folders(run), curated_folder(run)
    _check_target(out, force)
    sources = read_sources(folders)
    partial = out.with_name(f".{out.name}.partial")
    if partial.exists():
        store.remove_tree(partial)
    decisions = read_decisions(curated)
    pairs = int(decisions["kept"].sum())
    files = max(1, math.ceil(pairs / SHARD_ROWS))
    for number, frame in enumerate(_shards(curated, sources)):
        store.write_parquet(partial / "data" / f"train-{number:05d}-of-{files:05d}.parquet", frame)
    ledger = _ledger(folders, curated, decisions, sources)
    store.write_parquet(partial / LEDGER, ledger)
    store.write_text(partial / "README.md", card(run, ledger))
    _publish(partial, out)
    return Exported(out, pairs, decisions.height, files)


def card(run: Path, ledger: pl.DataFrame) -> str:
    """README.md: the head that the Hub and `datasets` read, what the columns are, and the card that curation wrote.

    `ledger`: at least licence and kept of every row that was read.
    """
    manifest, kept = read_manifest(run), ledger.filter("kept")
    own = (curated_folder(run) / "card.md").read_text(encoding="utf-8").removeprefix("# Data card\n").strip()
    lines = ["---", *_head(kept["licence"].unique().cast(pl.String).to_list(), kept.height), "---", ""]
    lines += [
        f"# {manifest['recipe']}: {kept.height:,} preference pairs",
        "",
        f"Curated by Skyloom, recipe `{manifest['recipe']}`, fingerprint `{manifest['fingerprint']}`.",
        "",
        "`chosen` and `rejected` are whole conversations. `weight` and `label` (probability that the label is right) are 1 unless a "
        "decider said otherwise. `id` names the row as `source:shard:ordinal`, `content` is the hash of the pair as it was read. "
        f"`{LEDGER}` has both for every pair that was read, with the reason of every decider. Each pair stays under the licence "
        "in its row.",
        "",
    ]
    return "\n".join([*lines, own, ""])


def _head(names: Sequence[str], pairs: int) -> list[str]:
    """YAML lines: licences by their names on the Hub, size, and where the data files are."""
    bound = sum(pairs >= size for size in SIZES)
    words = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "n>10M")
    parts = {part for name in names for part in name.split(" and ")}
    hub = sorted({"other" if licences.terms(part).commercial == "unknown" else _hub_name(part) for part in parts})
    return [
        "license:",
        *(f"- {name}" for name in hub),
        "task_categories:",
        "- text-generation",
        "tags:",
        "- preference",
        "- reward-model",
        "- trl",
        "size_categories:",
        f"- {words[bound]}",
        "configs:",
        "- config_name: default",
        "  data_files:",
        "  - split: train",
        "    path: data/train-*.parquet",
    ]


def _hub_name(licence: str) -> str:
    """The Hub's name of a known licence, which is SPDX's in lower case but for Meta's."""
    return licence.partition(" ")[0].lower().replace("llama-", "llama")


def _shards(curated: Path, sources: Sequence[SourceReport]) -> Iterator[pl.DataFrame]:
    """Exported rows in ledger order, SHARD_ROWS at a time."""
    waiting: list[pl.DataFrame] = []
    for part in sorted((curated / "kept").glob("*.parquet")):
        waiting.append(_exported(pl.read_parquet(part), sources))
        while sum(frame.height for frame in waiting) > SHARD_ROWS:
            whole = pl.concat(waiting)
            yield whole[:SHARD_ROWS]
            waiting = [whole[SHARD_ROWS:]]
    if waiting:
        yield pl.concat(waiting)


def _exported(kept: pl.DataFrame, sources: Sequence[SourceReport]) -> pl.DataFrame:
    def said(side: str) -> pl.Expr:
        reply = pl.struct(pl.lit("assistant").alias("role"), pl.col(side).alias("content"))
        return pl.concat_list("prompt", reply).alias(side)

    plain = ("source", "category", "origin", "licence")
    return kept.select(
        said("chosen"),
        said("rejected"),
        pl.col("weight").cast(pl.Float32),
        pl.col("label").cast(pl.Float32),
        *(pl.col(name).cast(pl.String) for name in plain),
        _ids(kept["row"], sources),
        pl.col("content").bin.encode("hex"),
    )


def _ledger(
    folders: Sequence[Path], curated: Path, decisions: pl.DataFrame, sources: Sequence[SourceReport]
) -> pl.DataFrame:
    """One row for every row that was read, in key order, with every decider's reason in a column named after its place and name."""
    parts = [pl.read_parquet(part, columns=["content", "licence"]) for part in row_parts(folders)]
    read = pl.concat(parts).select(pl.col("content").bin.encode("hex"), pl.col("licence").cast(pl.Categorical))
    verdicts = sorted((curated / "verdicts").glob("*.parquet"))
    reasons = [
        pl.read_parquet(file, columns=[f"{file.stem.partition('-')[2]}.reason"]).to_series().alias(file.stem)
        for file in verdicts
    ]
    columns = (decisions["source"], decisions["kept"], decisions["action"], decisions["reason"])
    ledger = pl.DataFrame([_ids(decisions["row"], sources), read["content"], columns[0], read["licence"], *columns[1:]])
    return ledger.hstack(reasons)


def _ids(row_N: pl.Series, sources: Sequence[SourceReport]) -> pl.Series:
    """label:shard:ordinal, as `skyloom why` takes it."""
    labels = {source.number: source.label for source in sources}
    keys: Iterator[tuple[int, int, int]] = (split_key(int(row)) for row in row_N)
    return pl.Series("id", [f"{labels[source]}:{shard}:{ordinal}" for source, shard, ordinal in keys], dtype=pl.String)


def _check_target(out: Path, force: bool) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise BadInput(f"--out {out}: is a file; name a folder")
    if not any(out.iterdir()):
        return
    if not force:
        raise BadInput(f"--out {out}: is not empty; name another folder, or replace an earlier export with --force")
    if not (out / LEDGER).is_file():
        raise BadInput(
            f"--out {out}: holds something else than an export, which --force does not replace; name another folder"
        )


def _publish(partial: Path, out: Path) -> None:
    """Give the finished folder its name; an earlier export is set aside first, because a rename cannot replace it."""
    aside = out.with_name(f".{out.name}.old")
    if aside.exists():
        store.remove_tree(aside)
    if out.exists():
        store.publish(out, aside)
    store.publish(partial, out)
    if aside.exists():
        store.remove_tree(aside)
