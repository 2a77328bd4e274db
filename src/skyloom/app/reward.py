"""`skyloom reward curate | train`: the reward loop on files of your own; reward_model.py has what is done with a trained model.

Run   skyloom reward train --data PATH --source hh_rlhf --as-train --model tiny --out runs/hh
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skyloom.app.output import estimate_lines, say
from skyloom.app.reward_data import app as data_app
from skyloom.app.reward_lab import app as lab_app
from skyloom.app.reward_model import app as model_app
from skyloom.app.reward_serve import app as serve_app
from skyloom.core.errors import BadInput

if TYPE_CHECKING:
    from skyloom.core.config import PluginConfig
    from skyloom.core.metrics import Evaluation
    from skyloom.core.records import SourceConfig
    from skyloom.core.run import Run
    from skyloom.reward.settings import RewardConfig

app = typer.Typer(help="Preference pairs: curate, train a reward model, evaluate, score.", no_args_is_help=True)
for part in (data_app, model_app, lab_app, serve_app):
    app.add_typer(part)

Datas = Annotated[
    list[str],
    typer.Option(
        "--data", help="A file, a folder, or hf:NAME of preference pairs; SOURCE=PATH says how to read it; repeatable."
    ),
]
Benchmarks = Annotated[
    list[Path] | None,
    typer.Option("--benchmark", help="A benchmark's file or folder whose prompts must not be trained on; repeatable."),
]
Source = Annotated[
    str,
    typer.Option("--source", help="How to read --data (`skyloom list reward.sources`); guessed where it is obvious."),
]
AsTrain = Annotated[bool, typer.Option("--as-train", help="Train on a test split on purpose; noted in the manifest.")]
Model = Annotated[str, typer.Option("--model", help="tiny, a Hugging Face name, a local directory or a .gguf file.")]
Out = Annotated[Path | None, typer.Option("--out", help="Run directory; without it runs/<name>-<fingerprint>.")]
MaxRows = Annotated[int, typer.Option("--max-rows", help="Read so many rows at most; 0 reads all.")]
Epochs = Annotated[int, typer.Option("--epochs", help="Passes over the pairs; 0: the preset's, or 2.")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", help="path=value, for example train.optim.lr=1e-3; repeatable.")
]
Index = Annotated[Path | None, typer.Option("--index", help="A benchmark index (.npz) to decontaminate against.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
GENERIC: str = "pairs_file"
"""Reads any file of chosen and rejected; taken where no other source fits."""
HUB: str = "hf:"
"""What stands before a Hugging Face name in place of a path."""


@app.command()
def curate(
    data: Datas,
    source: Source = "",
    as_train: AsTrain = False,
    index: Index = None,
    benchmark: Benchmarks = None,
    max_rows: MaxRows = 0,
    settings: Sets = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Read pairs, find duplicates, contradictions, leaks, shortcuts and control tokens, and write what is kept and why."""
    from skyloom.core.report import render
    from skyloom.core.run import open_run
    from skyloom.reward.pipeline import collect_step, curate_step

    sources = pair_sources(data, source, as_train, max_rows)
    config = _config(sources, "tiny", 1, index, benchmark, settings)
    with open_run("reward.curate", config, out, config.seed) as run:
        curate_step(config, run, collect_step(config, run))
        page = render(run.path)
        _tell(run, None, as_json)
        if not as_json:
            say([f"report: {page}"])


@app.command()
def train(
    data: Datas,
    source: Source = "",
    as_train: AsTrain = False,
    model: Model = "tiny",
    index: Index = None,
    benchmark: Benchmarks = None,
    max_rows: MaxRows = 0,
    epochs: Epochs = 0,
    preset: Annotated[
        str, typer.Option("--preset", help="Settings of the paper or a peer, e.g. skywork_8b, rlhflow, openrlhf, trl.")
    ] = "",
    settings: Sets = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Curate pairs, train a reward model on them, and measure it on prompts that were set aside."""
    from skyloom.core.report import render
    from skyloom.core.run import open_run
    from skyloom.reward.pipeline import run as run_all

    sources = pair_sources(data, source, as_train, max_rows)
    config = _config(sources, model, epochs, index, benchmark, settings, preset)
    with open_run("reward.train", config, out, config.seed) as run:
        evaluation = run_all(config, run)
        render(run.path)
        _tell(run, evaluation, as_json)


def pair_sources(data: Sequence[str], name: str, as_train: bool, max_rows: int) -> "tuple[SourceConfig, ...]":
    """A config for each `PATH` or `SOURCE=PATH`; a plug-in that stands twice gets numbered labels."""
    from skyloom.core import registry

    known = registry.names("reward.sources")
    found: list[SourceConfig] = []
    for text in data:
        own, _, path = text.partition("=")
        chosen, path = (own, path) if own in known else (name, text)
        found.append(pair_source(path, chosen, as_train, max_rows))
    plugins = [registry.plugin_of(each).name for each in found]
    return tuple(
        replace(each, label=f"{plugin}-{plugins[: k + 1].count(plugin)}") if plugins.count(plugin) > 1 else each
        for k, (each, plugin) in enumerate(zip(found, plugins, strict=True))
    )


def pair_source(text: str, name: str, as_train: bool, max_rows: int) -> "SourceConfig":
    """The source plug-in's config; raises BadInput where it does not read files or cannot be guessed."""
    from skyloom.core import registry
    from skyloom.reward.sources._files import FilesConfig

    data = Path(text)
    online = text.removeprefix(HUB) if text.startswith(HUB) else ""
    if online and not name:
        raise BadInput(f"--data {text}: give --source, or --data SOURCE={text}")
    if not online and not data.exists():
        raise BadInput(f"--data {data}: no such file or directory")
    module: Any = registry.load("reward.sources", name or _guess(data))  # Any: modules have no static type
    if not issubclass(module.Config, FilesConfig):
        raise BadInput(f"--source {name}: reads no files; see `skyloom list reward.sources`")
    path = Path() if online else data.resolve()
    return module.Config(path=path, hub=online, as_train=as_train, max_rows=max_rows)


def _guess(data: Path) -> str:
    """The source by its first readable row: the plug-in whose example has the most columns in common, all of its own being there."""
    from skyloom.core import registry
    from skyloom.core.records import Raw
    from skyloom.core.store import find_files, read_json_rows

    first = next((raw for path in find_files(data)[:1] for raw in read_json_rows(path) if isinstance(raw, Raw)), None)
    row: Mapping[str, Any] = first.data if first is not None else {}  # Any: parsed JSON or Parquet values
    if isinstance(row.get("chosen"), str) and row["chosen"].startswith("\n\nHuman:"):
        return "hh_rlhf"
    fits: dict[str, int] = {}
    for name in registry.names("reward.sources"):
        module = registry.load("reward.sources", name)
        example: Mapping[str, Any] = getattr(module, "FILE_ROW", module.EXAMPLE[0])  # Any: as above
        alike = all(key in row and _same_kind(row[key], example[key]) for key in example)
        if alike and name not in ("hh_rlhf", GENERIC):
            fits[name] = len(example)
    best = [name for name, columns in fits.items() if columns == max(fits.values())]
    released = best == ["skywork_80k"] and len(row) == fits["skywork_80k"]  # any more columns: some other file of pairs
    if len(best) == 1 and (released or best != ["skywork_80k"]):
        return best[0]
    if len(best) <= 1 and {"chosen", "rejected"} <= set(row):
        return GENERIC
    told = f"could be {' or '.join(best)}" if best else f"columns {', '.join(sorted(row)) or 'none'}"
    raise BadInput(f"--data {data}: cannot tell what it is ({told}); give --source, or --data SOURCE={data}")


def _same_kind(value: Any, example: Any) -> bool:  # Any: parsed JSON or Parquet values
    """Whether a value could stand where the example stands: equal types, a whole number for a float, or nothing."""
    return value is None or isinstance(value, type(example)) or (isinstance(value, int) and isinstance(example, float))


def _config(
    sources: "tuple[SourceConfig, ...]",
    model: str,
    epochs: int,
    index: Path | None,
    benchmarks: Sequence[Path] | None,
    settings: Sequence[str] | None,
    preset: str = "",
) -> "RewardConfig":
    """Curation, training and a held-out evaluation for sources of files."""
    from skyloom.core.config import override
    from skyloom.core.llm.config import TINY, BackboneConfig
    from skyloom.core.optim import TrainerConfig
    from skyloom.reward.evals import held_out
    from skyloom.reward.presets import preset as preset_of
    from skyloom.reward.settings import RewardConfig, TrainConfig

    tiny = model == TINY
    trained = TrainConfig(
        backbone=BackboneConfig(model=model, max_length=512 if tiny else 4096, hidden=64),
        optim=TrainerConfig(lr=1e-3 if tiny else 2e-6, device="auto"),
        batch_pairs=32 if tiny else 128,
        budget=8192,
        held_out_share=0.2,
    )
    trained = preset_of(preset, trained) if preset else trained
    config = RewardConfig(
        collect=sources,
        curate=_chain(index, bool(benchmarks)),
        benchmarks=tuple(path.resolve() for path in benchmarks or ()),
        ngram=13,
        train=replace(trained, epochs=epochs or trained.epochs),
        evaluate=held_out.Config(),
    )
    return override(config, settings or [])


def _chain(index: Path | None, benchmarks: bool) -> "tuple[PluginConfig, ...]":
    """What is safe to do to any preference data: repair, dedup, decontaminate, and look for shortcuts without acting on them."""
    from skyloom.reward.annotate import contamination as find_contamination
    from skyloom.reward.annotate import control_tokens as find_control_tokens
    from skyloom.reward.annotate import exact_duplicates as find_duplicates
    from skyloom.reward.annotate import length as find_length
    from skyloom.reward.annotate import near_duplicates as find_near
    from skyloom.reward.annotate import repeats as find_repeats
    from skyloom.reward.annotate import shortcuts as find_shortcuts
    from skyloom.reward.annotate import style as find_style
    from skyloom.reward.decide import contamination, control_tokens, duplicates, near_duplicates, repeats, shortcuts

    leaks = (find_contamination.Config(index=index), contamination.Config()) if index or benchmarks else ()
    copies = (find_duplicates.Config(), duplicates.Config(), find_near.Config(), near_duplicates.Config())
    repeated = (find_repeats.Config(), repeats.Config())
    repaired = (find_control_tokens.Config(), control_tokens.Config())
    looks = (find_length.Config(), find_style.Config(), find_shortcuts.Config(), shortcuts.Config(action="keep"))
    return (*looks, *repaired, *copies, *repeated, *leaks)


def _tell(run: "Run", evaluation: "Evaluation | None", as_json: bool) -> None:
    """What a run did, in counts: rows read, rejected, kept, trained, and the accuracy."""
    from skyloom.app.output import print_json
    from skyloom.reward.summary import shortcuts

    sources, waterfall = (_json(run.path / name) for name in ("collect/sources.json", "curate/waterfall.json"))
    counts = _json(run.path / "train" / "counts.json") if evaluation is not None else None
    if as_json:
        found = [each._asdict() for each in shortcuts(run.path / "curate")]
        whole = {"run": str(run.path), **sources, "waterfall": waterfall, "shortcuts": found, "train": counts}
        print_json({**whole, "evaluation": evaluation.to_json() if evaluation is not None else None})
        return
    lines: list[str] = []
    for each in sources["sources"]:
        note = ", a test split trained on purpose" if each["as_train"] and each["split"] == "test" else ""
        lines.append(f"{each['label']}: {each['rows']:,} rows read, {each['rejected']:,} rejected{note}")
        lines += [f"  rejected {count:,}: {reason}" for reason, count in each["reject_reasons"].items()]
    lines.append(f"curated: {waterfall['kept']:,} kept of {waterfall['rows_in']:,}")
    for step in waterfall["steps"]:
        lines += [f"  {step['step']}: {reason} {count:,}" for reason, count in step["reasons"].items()]
    for each in shortcuts(run.path / "curate"):
        lines.append(f"{'SHORTCUT' if each.alarm else 'no shortcut'} in {each.source}: {each.evidence}")
    if counts is not None and evaluation is not None:
        lines.append(
            f"trained: {counts['trained']:,} pairs, {counts['valid']:,} for validation, {counts['held_out']:,} held out"
        )
        lines += [f"  left out {count:,}: {reason}" for reason, count in counts["left_out"].items()]
        lines += estimate_lines(evaluation)
    say([*lines, f"run: {run.path}"])


def _json(path: Path) -> Any:  # Any: JSON that a step wrote
    from skyloom.core.records import Raw
    from skyloom.core.store import read_json_rows

    return next(raw.data for raw in read_json_rows(path) if isinstance(raw, Raw))
