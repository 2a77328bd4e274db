"""Export: the rows that curation kept as a data set that others load, with its card and the hash of every file.

Layout   data/train-*.jsonl   one flat object a line, the same keys and types in each: FIELDS
         README.md            data-set card: YAML head, counts by operator and level, seeds, hashes, licences, decisions
         sha256.json          every data file and its SHA-256
Flow     collect -> synthesize -> curate -> [export] -> `datasets.load_dataset(DIR)`, any trainer that reads query and response
Run      skyloom mathqa export runs/x --out my-rows
Limits   What a teacher's terms allow is not known here: the card names the teachers. `skyloom why ID` needs the run
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from skyloom.core import store
from skyloom.core.errors import BadInput
from skyloom.core.ledger.curate import read_decisions
from skyloom.core.ledger.export import card_head, check_target, publish, shards
from skyloom.core.ledger.query import collected_folders, curated_folder
from skyloom.core.ledger.rows import SourceReport, read_sources, show_row
from skyloom.core.run import read_manifest
from skyloom.mathqa.records import MARK

SHARD_ROWS: int = 100_000
"""Rows of one data file: about 150 MB."""
HASHES: str = "sha256.json"
TASKS: tuple[str, ...] = ("text-generation", "question-answering")
FIELDS: Mapping[str, str] = {
    "query": "the question, which is all that a model is asked",
    "response": f"working, then a last line `{MARK}N`",
    "answer": "N of that line",
    "operator": "the augmenter that made the row",
    "strategy": "its form of it; empty where it has one",
    "stage": "training stage: 1, or 2 for rows from hard seeds",
    "level": "the seed's difficulty, 1 to 5; 0: no level is known",
    "subject": "the seed's subject",
    "teacher": "the model that wrote the row",
    "seed": "id of the problem that it comes from",
    "source": "pass and augmenter",
    "licence": "licence of the seed",
    "id": "source:shard:ordinal",
}


def export(run: Path, out: Path, force: bool = False) -> Path:
    """Write the kept rows of a run into the folder `out`, all of it or nothing; returns the folder.

    Raises BadInput where the run is not curated or its rows are problems without responses, and where `out` holds something, unless
    `force` replaces an earlier export; FailedWork where the disk refuses.
    """
    folders, curated = collected_folders(run), curated_folder(run)
    check_target(out, HASHES, force=force)
    sources = read_sources(folders)
    partial = out.with_name(f".{out.name}.partial")
    if partial.exists():
        store.remove_tree(partial)
    files = max(1, math.ceil(int(read_decisions(curated)["kept"].sum()) / SHARD_ROWS))
    for number, frame in enumerate(shards(curated, lambda kept: _exported(kept, sources), SHARD_ROWS)):
        with store.jsonl_writer(partial / "data" / f"train-{number:05d}-of-{files:05d}.jsonl") as write:
            for row in frame.iter_rows(named=True):
                write(row)
    hashes: dict[str, str] = {f"data/{name}": digest for name, digest in store.hash_tree(partial / "data").items()}
    store.write_json(partial / HASHES, hashes)
    store.write_text(partial / "README.md", card(run, hashes))
    publish(partial, out)
    return out


def card(run: Path, hashes: Mapping[str, str]) -> str:
    """README.md: the head that the Hub and `datasets` read, the columns, the counts, the hashes, and the card that curation wrote."""
    manifest, curated = read_manifest(run), curated_folder(run)
    kept = _kept(curated, ("operator", "level", "licence", "teacher"))
    own = (curated / "card.md").read_text(encoding="utf-8").removeprefix("# Data card\n").strip()
    teachers = ", ".join(f"`{name}`" for name in kept["teacher"].unique().sort())
    names = kept["licence"].unique().cast(pl.String).to_list()
    lines = ["---", *card_head(names, kept.height, TASKS, ["math", "synthetic"], "data/train-*.jsonl"), "---", ""]
    lines += [
        f"# {manifest['recipe']}: {kept.height:,} maths questions with worked answers",
        "",
        f"Made and curated by Skyloom, recipe `{manifest['recipe']}`, fingerprint `{manifest['fingerprint']}`; written by {teachers}, "
        "whose terms of use hold besides the licences below.",
        "",
        "## Columns",
        "",
        *(f"- `{name}`: {meaning}" for name, meaning in FIELDS.items()),
    ]
    lines += ["", "## Rows by operator and level of the seed", "", *_counts(kept)]
    lines += ["", "## Seeds", "", *_seeds(run), "", "## Files", "", "| file | SHA-256 |", "|---|---|"]
    lines += [f"| {name} | `{digest}` |" for name, digest in sorted(hashes.items())]
    return "\n".join([*lines, "", "## Curation", "", own, ""])


def _counts(kept: pl.DataFrame) -> list[str]:
    """A line an operator, a column a level."""
    levels: list[int | None] = sorted(kept["level"].unique().to_list(), key=lambda level: (level is None, level or 0))
    heads = ["no level" if level is None else f"level {level}" for level in levels]
    lines = [f"| operator | {' | '.join(heads)} | all |", f"|---|{'---:|' * (len(heads) + 1)}"]
    for (operator,), rows in sorted(kept.group_by("operator")):
        held = Counter(rows["level"].to_list())
        counts = [held[level] for level in levels]
        lines.append(f"| {operator} | {' | '.join(f'{count:,}' for count in counts)} | {rows.height:,} |")
    return lines


def _seeds(run: Path) -> list[str]:
    """A line a source of seed problems, benchmarks that serve on purpose among them."""
    lines = ["| source | licence | split | problems |", "|---|---|---|---:|"]
    for source in read_sources([run / "collect"]):
        on_purpose = ", used for training on purpose" if source.split == "test" and source.as_train else ""
        lines.append(f"| {source.label} | {source.licence} | {source.split}{on_purpose} | {source.rows:,} |")
    return lines


def _kept(curated: Path, columns: Sequence[str]) -> pl.DataFrame:
    files = sorted((curated / "kept").glob("*.parquet"))
    if not files or "response" not in pl.read_parquet_schema(files[0]):
        raise BadInput(f"{curated}: holds no questions with responses; export a run that synthesised rows")
    return pl.concat([pl.read_parquet(file, columns=list(columns)) for file in files])


def _exported(kept: pl.DataFrame, sources: Sequence[SourceReport]) -> pl.DataFrame:
    unmarked = kept.filter(~pl.col("response").str.strip_chars_end().str.split("\n").list.last().str.starts_with(MARK))
    if unmarked.height:
        raise BadInput(f"row {show_row(unmarked['row'][0], sources)}: its response does not end with a line {MARK!r}")
    ids = pl.Series("id", [show_row(row, sources) for row in kept["row"]], dtype=pl.String)
    named = kept.with_columns(
        ids,
        pl.col("question").alias("query"),
        pl.col("level").fill_null(0),
        pl.col("source", "licence").cast(pl.String),
    )
    return named.select(*FIELDS)
