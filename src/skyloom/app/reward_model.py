"""`skyloom reward eval | compare | score`: what is done with a trained reward model, or any published one.

Run   skyloom reward eval runs/x/train/model --bench FILE.jsonl --out results/x
      skyloom reward compare results/x results/y --bench FILE.jsonl
      skyloom reward score runs/x/train/model pairs.jsonl --out scores.jsonl
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from skyloom.app.output import estimate_lines, print_json, say
from skyloom.core.errors import BadInput, BadRow

if TYPE_CHECKING:
    from skyloom.core.metrics import Table
    from skyloom.core.records import Message
    from skyloom.reward.evals._items import Item
    from skyloom.reward.settings import EvalConfig, ScoreConfig

app = typer.Typer()

Model = Annotated[
    str, typer.Argument(help="The `model` folder of a training step, or any sequence classifier with one label.")
]
Bench = Annotated[
    list[str] | None,
    typer.Option(
        "--bench",
        help="A benchmark's file or folder, NAME=PATH where its columns do not tell it; repeatable. Without: the preference world.",
    ),
]
MaxLength = Annotated[
    int, typer.Option("--max-length", help="Longest conversation in tokens; 0: the model's own limit.")
]
OverLong = Annotated[
    Literal["error", "drop", "truncate"],
    typer.Option(
        "--over-long", help="A longer one: an error; not scored and counted; or cut at the left of its prompt."
    ),
]
Budget = Annotated[int, typer.Option("--budget", help="Most tokens of one batch.")]
Dtype = Annotated[Literal["float32", "bfloat16"], typer.Option("--dtype", help="Type of the weights.")]
Attention = Annotated[
    Literal["sdpa", "eager", "flash_attention_2"], typer.Option("--attention", help="Attention kernel.")
]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where the model runs.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


@app.command("eval")
def evaluate(
    model: Model,
    bench: Bench = None,
    trained_on: Annotated[
        list[str] | None,
        typer.Option(
            "--trained-on",
            help="A run directory, or [SOURCE=]PATH of pairs: tells items that they touch from clean ones; repeatable.",
        ),
    ] = None,
    ngram: Annotated[int, typer.Option("--ngram", help="Words in a row that count as touched.")] = 13,
    max_length: MaxLength = 0,
    over_long: OverLong = "drop",
    budget: Budget = 16_384,
    dtype: Dtype = "float32",
    attention: Attention = "sdpa",
    device: Device = "auto",
    seed: Annotated[int, typer.Option("--seed", help="Draws the intervals.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for results, tables, scores and protocol.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score benchmarks by their own rules, beside null baselines, with intervals, calibration and length-matched accuracy."""
    from skyloom.core import registry
    from skyloom.core.text.ngrams import Rule
    from skyloom.reward.evals import reward_bench
    from skyloom.reward.evaluate import benchmark, touched_items
    from skyloom.reward.evaluate import evaluate as run_benchmark

    configs: list[EvalConfig] = [benchmark(text) for text in bench or ()] or [reward_bench.Config()]
    scorer = _scorer(model, _asked(max_length, over_long, budget, dtype, attention, device))
    pairs = _training(trained_on) if trained_on else None
    found: dict[str, Any] = {}  # Any: JSON
    for config in configs:
        name = registry.plugin_of(config).name
        label = name if name not in found else f"{name}-{len(found) + 1}"
        touched = None
        if pairs is not None:
            items = registry.module_of(config).items(config)
            touched = touched_items(items, pairs, Rule(n=ngram, contain=min(6, ngram)))
        folder = None if out is None else out if len(configs) == 1 else out / label
        report = run_benchmark(scorer, config, folder, seed=seed, touched=touched)
        found[label] = report.evaluation.to_json()
        if not as_json:
            say([f"{label}:", *estimate_lines(report.evaluation), ""])
    if as_json:
        print_json({"model": scorer.name, "protocol": scorer.protocol, "benchmarks": found})
    elif out is not None:
        say([f"results: {out}"])


@app.command()
def compare(
    folders: Annotated[
        list[Path], typer.Argument(help="Two or more folders of `reward eval --out`, of one benchmark.")
    ],
    bench: Annotated[str, typer.Option("--bench", help="The benchmark's file or folder, or NAME=PATH.")],
    as_json: AsJson = False,
) -> None:
    """Are two models equally good on the same items? McNemar or sign flips over all items, and by subset with Holm's correction."""
    from skyloom.reward.evaluate import benchmark, compare_all
    from skyloom.reward.evaluate import compare as run_comparison

    if len(folders) < 2:
        raise BadInput("reward compare: give two folders at least")
    if len(folders) > 2:
        table = compare_all(benchmark(bench), folders)
        print_json({"table": table.to_json()}) if as_json else _show(table)
        return
    found = run_comparison(benchmark(bench), folders[0], folders[1])
    if as_json:
        print_json({"estimates": [each.to_json() for each in found.estimates], "table": found.table.to_json()})
        return
    say([f"{e.name}: {e.value:.1%} [{e.low:.1%}, {e.high:.1%}], n={e.n:,}" for e in found.estimates])
    _show(found.table)


@app.command()
def score(
    model: Model,
    data: Annotated[
        Path, typer.Argument(help="JSONL of {messages}, {prompt, response(s)}, or pairs of any known source.")
    ],
    source: Annotated[str, typer.Option("--source", help="How to read pairs; guessed where it is obvious.")] = "",
    max_rows: Annotated[int, typer.Option("--max-rows", help="Read so many rows at most; 0 reads all.")] = 0,
    max_length: MaxLength = 0,
    over_long: OverLong = "drop",
    budget: Budget = 16_384,
    dtype: Dtype = "float32",
    attention: Attention = "sdpa",
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option("--out", help="JSONL: file, row, scores, normalized, p_win.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score every response of a file: raw, normalised, and each one's chance against the others of its prompt."""
    from skyloom.core import store
    from skyloom.core.stats import wilson
    from skyloom.reward.evaluate import score_items

    read = _read(data, source, max_rows)
    scorer = _scorer(model, _asked(max_length, over_long, budget, dtype, attention, device))
    scoring = score_items(scorer, read.items, "scoring")
    rows = [_row(place, scores_R, scorer) for place, scores_R in zip(read.places, scoring.scores, strict=True)]
    if out is not None:
        store.write_jsonl(out, rows)
    unscored = sum(scoring.reasons.values())
    counts: dict[str, Any] = {  # Any: JSON
        "rows": len(rows),
        "rejected": sum(read.rejected.values()),
        "unscored": unscored,
        "truncated": scoring.truncated,
    }
    told = [
        f"{len(rows):,} rows scored, {counts['rejected']:,} rejected, {scoring.truncated:,} cut, {unscored:,} responses without a score"
    ]
    told += [f"  {count:,}: {reason}" for reason, count in {**read.rejected, **scoring.reasons}.items()]
    if read.pairs:
        right = wilson(sum(bool(scores_R[0] > scores_R[1]) for scores_R in scoring.scores), len(rows))
        counts["chosen_above_rejected"] = right._asdict()
        told.append(f"chosen above rejected: {right.value:.1%} [{right.low:.1%}, {right.high:.1%}], n={right.n:,}")
    elif out is None and not as_json:
        told += [f"{place[0]}:{place[1]}: {row['scores']}" for place, row in zip(read.places, rows, strict=True)]
    if as_json:
        print_json(counts if out is not None else {**counts, "scores": rows})
    else:
        say(told)


class _Rows(NamedTuple):
    """What a file holds."""

    places: list[tuple[str, int]]
    items: "list[Item]"
    rejected: dict[str, int]
    """Reason -> rows."""
    pairs: bool
    """The first response is the preferred one."""


def _read(data: Path, source: str, max_rows: int) -> _Rows:
    """Rows of conversations, or pairs by a source plug-in; raises BadInput where none is usable."""
    from skyloom.core.records import Raw
    from skyloom.core.store import find_files, read_json_rows

    if not data.exists():
        raise BadInput(f"{data}: no such file or directory")
    first = next((raw for path in find_files(data)[:1] for raw in read_json_rows(path) if isinstance(raw, Raw)), None)
    columns = set(first.data) if first is not None else set[str]()
    plain = not source and "chosen" not in columns and bool({"messages", "response", "responses"} & columns)
    rows = _conversations(data) if plain else _pairs(data, source)
    places: list[tuple[str, int]] = []
    items: list[Item] = []
    rejected: dict[str, int] = {}
    for place, item in rows:
        if max_rows and len(places) == max_rows:
            break
        if isinstance(item, BadRow):
            rejected[str(item)] = rejected.get(str(item), 0) + 1
        else:
            places.append(place)
            items.append(item)
    if not items:
        why = f": {next(iter(rejected))}" if rejected else ""
        raise BadInput(f"{data}: no usable row, {sum(rejected.values()):,} rejected{why}")
    return _Rows(places, items, rejected, not plain)


def _conversations(data: Path) -> "Iterator[tuple[tuple[str, int], Item | BadRow]]":
    """{messages} that end with the assistant's turn, or {prompt, response} or {prompt, responses}."""
    from skyloom.core.records import Reject
    from skyloom.core.store import find_files, read_json_rows
    from skyloom.reward.evals._items import Item

    for path in find_files(data):
        for raw in read_json_rows(path):
            try:
                if isinstance(raw, Reject):
                    raise BadRow(raw.field, raw.reason)
                prompt, responses = _parted(raw.data)
                yield (
                    (raw.file, raw.row),
                    Item(name=f"{raw.file}:{raw.row}", subset="", prompt=tuple(prompt), responses=tuple(responses)),
                )
            except BadRow as error:
                yield (raw.file, raw.row), error


def _parted(raw: Any) -> "tuple[Sequence[Message], Sequence[str]]":  # Any: parsed JSON or Parquet values
    from skyloom.core.records import Message
    from skyloom.core.store import list_field, text_field
    from skyloom.reward.records import check_prompt
    from skyloom.reward.sources._files import text_or_turns, turns_field

    if "messages" in raw:
        turns = turns_field(raw, "messages")
        if turns[-1].role != "assistant":
            raise BadRow("messages", "must end with the assistant's turn")
        prompt, responses = turns[:-1], [turns[-1].content]
    else:
        told = text_or_turns(raw, "prompt")
        prompt = [Message(role="user", content=told)] if isinstance(told, str) else told
        many = list_field(raw, "responses") if "responses" in raw else [text_field(raw, "response")]
        if not all(isinstance(each, str) and each.strip() for each in many):
            raise BadRow("responses", "each must be a text that is not empty")
        responses = [str(each) for each in many]
    check_prompt(prompt)
    return prompt, responses


def _pairs(data: Path, source: str) -> "Iterator[tuple[tuple[str, int], Item | BadRow]]":
    from skyloom.app.reward import pair_source
    from skyloom.core import registry
    from skyloom.core.records import Reject
    from skyloom.reward.evals._items import item_of

    config = pair_source(str(data), source, as_train=True, max_rows=0)
    module: Any = registry.module_of(config)  # Any: modules have no static type
    for raw in module.rows(config, 0):
        try:
            if isinstance(raw, Reject):
                raise BadRow(raw.field, raw.reason)
            yield (raw.file, raw.row), item_of(module.to_record(raw.data), f"{raw.file}:{raw.row}")
        except BadRow as error:
            yield (raw.file, raw.row), error


def _row(place: tuple[str, int], scores_R: Any, scorer: Any) -> dict[str, Any]:  # Any: an array, a Scorer, JSON
    """One line of the output; null where a response has no score or the model no calibration."""
    row: dict[str, Any] = {
        "file": place[0],
        "row": place[1],
        "scores": [_number(each) for each in scores_R],
    }  # Any: JSON
    calibration = scorer.calibration
    if calibration is not None:
        row["normalized"] = [_number(each) for each in calibration.normal(scores_R)]
        if len(scores_R) > 1:
            wins = calibration.p_win(scores_R[:, None] - scores_R[None, :])
            others = (wins.sum(axis=1) - 0.5) / (len(scores_R) - 1)  # less the half against itself
            row["p_win"] = [_number(each) for each in others]
    return row


def _training(places: Sequence[str]) -> Any:  # Any: a polars frame
    """Prompts and both sides of what a model was trained on."""
    import polars as pl

    from skyloom.app.reward import pair_sources
    from skyloom.core import registry
    from skyloom.core.ledger.curate import read_kept
    from skyloom.core.records import Reject, to_row

    frames: list[pl.DataFrame] = []
    for text in places:
        run = Path(text).expanduser() / "curate"
        if (run / "kept").is_dir():
            frames.append(read_kept(run, ("prompt", "chosen", "rejected")))
            continue
        (config,) = pair_sources([text], "", as_train=True, max_rows=0)
        module: Any = registry.module_of(config)  # Any: modules have no static type
        rows: list[dict[str, Any]] = []
        unusable = 0
        for raw in module.rows(config, 0):
            try:
                if isinstance(raw, Reject):
                    unusable += 1
                else:
                    rows.append(to_row(module.to_record(raw.data)))
            except BadRow:  # such a row could not be trained on either
                unusable += 1
        if not rows:
            raise BadInput(f"--trained-on {text}: no usable pair")
        if unusable:
            typer.echo(
                f"--trained-on {text}: {len(rows):,} pairs; {unusable:,} rows are no pairs and were left out", err=True
            )
        frames.append(pl.DataFrame(rows, infer_schema_length=None).select("prompt", "chosen", "rejected"))
    return pl.concat(frames, how="vertical_relaxed")


def _asked(
    max_length: int,
    over_long: Literal["error", "drop", "truncate"],
    budget: int,
    dtype: Literal["float32", "bfloat16"],
    attention: Literal["sdpa", "eager", "flash_attention_2"],
    device: Literal["auto", "cpu", "cuda"],
) -> "ScoreConfig":
    from skyloom.reward.settings import ScoreConfig

    if max_length < 0 or budget < 1:
        raise BadInput("--max-length must be at least 0, --budget at least 1")
    config = ScoreConfig(over_long=over_long, dtype=dtype, attention=attention, device=device)
    return replace(config, max_length=max_length, budget=budget)


def _scorer(model: str, config: "ScoreConfig") -> Any:  # Any: a Scorer; no torch import here
    from skyloom.reward.score import Scorer

    return Scorer.load(model, config)


def _number(value: float) -> float | None:
    return float(value) if value == value else None  # NaN: could not be scored


def _show(table: "Table") -> None:
    from rich.console import Console
    from rich.table import Table as Drawn

    from skyloom.core.stats import Interval

    drawn = Drawn(title=table.title, caption=table.note)
    for column in table.columns:
        drawn.add_column(column)
    for row in table.rows:
        cells = [
            f"{each.value:.3f} [{each.low:.3f}, {each.high:.3f}]"
            if isinstance(each, Interval)
            else f"{each:.3f}"
            if isinstance(each, float)
            else ""
            if each is None
            else str(each)
            for each in row
        ]
        drawn.add_row(*cells)
    Console().print(drawn)
