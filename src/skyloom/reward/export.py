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

from skyloom.core import store
from skyloom.core.ledger.curate import read_decisions
from skyloom.core.ledger.export import card_head, check_target, publish, shards
from skyloom.core.ledger.query import collected_folders, curated_folder
from skyloom.core.ledger.rows import SourceReport, read_sources, row_parts
from skyloom.core.records import split_key
from skyloom.core.run import read_manifest

SHARD_ROWS: int = 25_000
"""Pairs of one data file: about 100 MB of text at the paper's length."""
LEDGER: str = "ledger.parquet"
TAGS: tuple[str, ...] = ("preference", "reward-model", "trl")


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
    check_target(out, LEDGER, force=force)
    sources = read_sources(folders)
    partial = out.with_name(f".{out.name}.partial")
    if partial.exists():
        store.remove_tree(partial)
    decisions = read_decisions(curated)
    pairs = int(decisions["kept"].sum())
    files = max(1, math.ceil(pairs / SHARD_ROWS))
    for number, frame in enumerate(shards(curated, lambda kept: _exported(kept, sources), SHARD_ROWS)):
        store.write_parquet(partial / "data" / f"train-{number:05d}-of-{files:05d}.parquet", frame)
    ledger = _ledger(folders, curated, decisions, sources)
    store.write_parquet(partial / LEDGER, ledger)
    store.write_text(partial / "README.md", card(run, ledger))
    publish(partial, out)
    return Exported(out, pairs, decisions.height, files)


def card(run: Path, ledger: pl.DataFrame) -> str:
    """README.md: the head that the Hub and `datasets` read, what the columns are, and the card that curation wrote.

    `ledger`: at least licence and kept of every row that was read.
    """
    manifest, kept = read_manifest(run), ledger.filter("kept")
    own = (curated_folder(run) / "card.md").read_text(encoding="utf-8").removeprefix("# Data card\n").strip()
    names = kept["licence"].unique().cast(pl.String).to_list()
    lines = ["---", *card_head(names, kept.height, ["text-generation"], TAGS, "data/train-*.parquet"), "---", ""]
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
