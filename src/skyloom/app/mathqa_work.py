"""What the commands of `skyloom mathqa` do: build a config, run the steps in a run directory, print what came out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from skyloom.app import show
from skyloom.app.output import print_json
from skyloom.core import registry, store
from skyloom.core.config import NOT_KEYED, Config, from_dict, override
from skyloom.core.errors import BadInput
from skyloom.core.ledger.rows import read_sources
from skyloom.core.llm.config import BackboneConfig, GenerateConfig
from skyloom.core.llm.teacher import TeacherConfig
from skyloom.core.metrics import Evaluation, read_evaluation, write_evaluation
from skyloom.core.records import Raw, Reject
from skyloom.core.run import open_run, read_manifest
from skyloom.mathqa import pipeline
from skyloom.mathqa.annotate import contamination
from skyloom.mathqa.benchmark import EvalConfig
from skyloom.mathqa.decide import contamination as drop_contaminated
from skyloom.mathqa.operators import AugmentConfig
from skyloom.mathqa.panel import panel_file
from skyloom.mathqa.settings import EvaluateConfig, MathConfig, PassConfig, SeedConfig, SynthesizeConfig, TrainConfig
from skyloom.mathqa.synthesize import LOG
from skyloom.mathqa.verify.grading import grade_file
from skyloom.recipes.mathqa import skywork_math

RECIPE: str = "mathqa.synthesize"


class Asked(NamedTuple):
    """What `eval` was told."""

    data: Path | None
    model: str
    predictions: Path | None
    output_field: str
    benchmark: str
    limit: int
    url: str = ""
    """Of a server that knows the model by its name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalRun(EvaluateConfig):
    """Config of one `eval`: what the run directory records."""

    generate: GenerateConfig = field(default_factory=lambda: GenerateConfig(max_new_tokens=512))
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    predictions: Path | None = field(default=None, metadata=NOT_KEYED)
    output_field: str = ""
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneRun(Config):
    """Config of one `sft`."""

    train: TrainConfig = field(default_factory=TrainConfig)
    seed: int = 0


# --- synthesize and verify -----------------------------------------------------------------------------------------------


def synthesis_config(
    seeds: Path | None,
    source: str,
    operators: list[str],
    samples: int,
    teacher: str,
    as_train: bool,
    settings: list[str],
) -> MathConfig:
    """The run's config; BadInput for an unknown source or operator, or a source that needs a file."""
    fields: dict[str, Any] = {"plugin": f"mathqa.sources/{source}", "as_train": as_train}
    module = registry.load("mathqa.sources", source)
    if seeds is not None:
        fields["path"] = str(seeds)
    elif hasattr(module, "inputs"):
        raise BadInput(f"--source {source}: give its file with --seeds")
    names: list[str] = operators or list(registry.names("mathqa.augment"))
    augment = tuple(
        from_dict(AugmentConfig, {"plugin": f"mathqa.augment/{name}", "samples": samples}, f"--operator {name}")
        for name in names
    )
    plan = SynthesizeConfig(passes=(PassConfig(augment=augment),), teacher=TeacherConfig(url=teacher))
    config = MathConfig(collect=(from_dict(module.Config, fields, f"--source {source}"),), synthesize=plan)
    return override(config, settings)


def synthesize(config: MathConfig, out: Path) -> tuple[Path, ...]:
    """collect and every pass in a run directory; returns the passes' folders."""
    with open_run(RECIPE, config, out, config.seed) as run:
        return pipeline.make_passes(config, run, pipeline.collect_seeds(config, run))


def verify(path: Path) -> Path:
    """Curate what `synthesize` wrote, without a benchmark to compare with; returns the curate folder."""
    if read_manifest(path).get("recipe") != RECIPE:
        raise BadInput(f"{path}: not a `skyloom mathqa synthesize` run")
    config = from_dict(MathConfig, read_manifest(path)["config"], str(path))
    made = tuple(path / each.folder for each in config.synthesize.passes if each.train)
    missing = next((folder for folder in made if not (folder / "step.json").is_file()), None)
    if missing is not None:
        raise BadInput(f"{missing}: not finished; run the `skyloom mathqa synthesize` command again")
    leaks = (contamination.Config, drop_contaminated.Config)  # there is no benchmark to compare with
    chain = tuple(each for each in skywork_math.CHAIN if not isinstance(each, leaks))
    with open_run(RECIPE, config, path, config.seed) as run:
        return pipeline.curate_step(config, chain, made, run)


def show_synthesis(folders: Sequence[Path], as_json: bool) -> None:
    """Rows and refusals by operator, and what they cost."""
    told: list[dict[str, Any]] = [_told(folder) for folder in folders]
    if as_json:
        print_json({"passes": told})
        return
    for each in told:
        for label, spent in each["teacher"]["by"].items():
            report = each["operators"][label]
            reasons = ", ".join(f"{name} {count:,}" for name, count in report["reject_reasons"].items())
            tokens = spent["prompt_tokens"] + spent["completion_tokens"]
            line = f"{label}: {report['rows']:,} rows from {spent['replies']:,} replies, {tokens:,} tokens, ${spent['money']:,.2f}; "
            show.say(f"{line}{report['rejected']:,} refused{f' ({reasons})' if reasons else ''}")
        way, cost = each["way"], each["teacher"]
        faults = ", ".join(f"{name} {count:,}" for name, count in way["faults"].items()) or "none"
        show.say(
            f"{cost['replies']:,} replies in {way['seconds']:.1f} s; faults survived: {faults}; ${cost['money']:,.2f}"
        )
        show.say(f"rows: {each['rows']}")


def _told(folder: Path) -> dict[str, Any]:  # Any: JSON
    """What one pass wrote about itself."""
    return {
        "rows": str(folder),
        "operators": {each.label: each._asdict() for each in read_sources([folder])},
        "teacher": read_object(folder / "teacher.json"),
        "way": read_object(folder / "timing.json"),
    }


def show_curation(folder: Path, as_json: bool) -> None:
    """The waterfall of kept and dropped rows."""
    told: dict[str, Any] = read_object(folder / "waterfall.json")
    if as_json:
        print_json({"folder": str(folder), **told})
        return
    for step in told["steps"]:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in step["reasons"].items()) or "none"
        show.say(f"{step['step']}: {step['dropped']:,} dropped ({reasons})")
    show.say(f"{told['kept']:,} rows kept of {told['rows_in']:,}: {folder / 'data.jsonl'}")


# --- grade ----------------------------------------------------------------------------------------------------------------


class Grades(NamedTuple):
    """What `grade` wrote, and how much of it is right."""

    file: Path
    rows: int
    equal: dict[str, int]
    """Grader -> rows that it calls equal."""
    disputed: int | None
    """Rows on which graders differ; None: one was asked."""
    by: Mapping[str, int]
    """Rows by the rule that decided, of ours alone: pairs that were stopped show here."""
    rejects: tuple[Reject, ...]


def grade(file: Path, out: Path | None, *, panel: bool = False) -> Grades:
    """Grade a file, with every grader if `panel`; BadInput where it is missing."""
    if not file.is_file():
        raise BadInput(f"{file}: no such file")
    target: Path = out or file.with_name(f"{file.name.partition('.')[0]}.graded.jsonl")
    if panel:
        asked = panel_file(file, target)
        return Grades(target, asked.rows, asked.equal, asked.disputed, {}, asked.rejects)
    counts = grade_file(file, target)
    return Grades(target, counts.rows, {"ours": counts.equal}, None, counts.by, counts.rejects)


def show_counts(grades: Grades, as_json: bool) -> None:
    """Counts, with the interval of the share that is right; a line a grader where several were asked."""
    from skyloom.core.stats import wilson

    alone = grades.disputed is None
    if as_json:
        rejects = [each._asdict() for each in grades.rejects]
        equal = grades.equal["ours"] if alone else grades.equal
        told = {"by": dict(grades.by)} if alone else {"disputed": grades.disputed}
        print_json({"file": str(grades.file), "rows": grades.rows, "equal": equal, **told, "rejects": rejects})
        return
    for name, count in grades.equal.items():
        share: str = ""
        if grades.rows:
            found = wilson(count, grades.rows)
            share = f", {found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
        show.say(f"{'' if alone else f'{name}: '}{count:,} of {grades.rows:,} rows equal{share}")
    if grades.by:
        show.say("  by " + ", ".join(f"{rule} {count:,}" for rule, count in grades.by.items()))
    disputed = "" if alone else f"{grades.disputed:,} rows disputed; "
    show.say(f"{disputed}{len(grades.rejects):,} rows rejected: {grades.file}")
    for each in grades.rejects[:10]:
        show.say(f"  {each.file}: row {each.row}: {each.field or 'row'}: {each.reason}")


# --- sft ------------------------------------------------------------------------------------------------------------------


def tune(data: Path, out: Path, model: str, settings: list[str], seed: int) -> Path:
    """Train on a file of rows; returns the train folder."""
    backbone = BackboneConfig(model=model)
    config = override(TuneRun(train=TrainConfig(backbone=backbone), seed=seed), settings)
    with open_run("mathqa.sft", config, out, seed) as run:
        return run.step(
            "train",
            lambda folder: _tune(config, data, folder),
            config=(config.train, SeedConfig(seed=config.seed)),
            inputs=(data,),
            version=2,
        )


def _tune(config: TuneRun, data: Path, folder: Path) -> None:
    from skyloom.mathqa.reading import read_examples
    from skyloom.mathqa.train import examples_of, train

    rows, rejects = read_examples(data)
    store.write_jsonl(folder / "rejects.jsonl", [reject._asdict() for reject in rejects])
    train(examples_of(rows), config.train, config.seed, folder)


def show_training(folder: Path, as_json: bool) -> None:
    """What was trained on, what was left out and why, and where the model is."""
    rows: dict[str, Any] = read_object(folder / "rows.json")
    if as_json:
        print_json({"model": str(folder / "model"), **rows})
        return
    show.say(f"{rows['learn']:,} rows learnt, {rows['valid']:,} for validation")
    for stage, reasons in rows["left_out"].items():
        show.say(f"  {stage}: left out: " + ", ".join(f"{count:,} {reason}" for reason, count in reasons.items()))
    for stage, count in rows["cut"].items():
        show.say(f"  {stage}: {count:,} responses cut at the end, their answers lost")
    for phase in rows["phases"]:
        best = f"{phase['updates']:,} updates, the best after {phase['best_step']:,}"
        show.say(f"{phase['name'] or 'training'}: {phase['rows']:,} rows, {best}")
    if rows["trained_weights"] < rows["weights"]:
        show.say(f"{rows['trained_weights']:,} weights trained beside {rows['weights'] - rows['trained_weights']:,}")
    show.say(f"model: {folder / 'model'}")


# --- eval -----------------------------------------------------------------------------------------------------------------


def evaluate(asked: Asked, settings: list[str], out: Path) -> tuple[Path, Evaluation]:
    """Ask the model, or read stored outputs, and grade; returns the evaluate folder and its numbers."""
    if bool(asked.model) == bool(asked.predictions):
        raise BadInput("eval: give either --model or --predictions")
    if asked.url and not asked.model:
        raise BadInput("eval: --url names a server; give the name of its model with --model")
    benchmark = benchmark_of(asked)
    local = asked.model and not asked.url
    config = EvalRun(
        benchmarks=(benchmark,),
        backbone=BackboneConfig(model=str(_model_path(asked.model)) if local else "tiny"),
        server=TeacherConfig(url=asked.url, model=asked.model) if asked.url else None,
        predictions=asked.predictions,
        output_field=asked.output_field,
    )
    config = override(config, settings)
    inputs: list[Path] = [
        *pipeline.benchmark_inputs(config.benchmarks),
        *([asked.predictions] if asked.predictions else []),
    ]
    inputs += [Path(config.backbone.model)] if Path(config.backbone.model).exists() else []
    with open_run("mathqa.eval", config, out, config.seed) as run:
        log = run.path / LOG
        folder = run.step(
            "evaluate", lambda into: _evaluate(config, into, log), config=config, inputs=inputs, version=2
        )
    return folder, read_evaluation(folder)


def benchmark_of(asked: Asked) -> EvalConfig:
    """The benchmark that a file belongs to, by its first row; the world where no file is given."""
    if asked.data is None:
        if asked.benchmark not in ("", "world"):
            raise BadInput(f"--benchmark {asked.benchmark}: give its file with --data")
        return from_dict(EvalConfig, {"plugin": "mathqa.evals/world", "limit": asked.limit}, "--benchmark")
    name: str = asked.benchmark or _sniff(asked.data)
    registry.load("mathqa.evals", name)  # an unknown name lists the known ones
    return from_dict(
        EvalConfig,
        {"plugin": f"mathqa.evals/{name}", "path": str(asked.data), "limit": asked.limit},
        f"--benchmark {name}",
    )


def _sniff(data: Path) -> str:
    """The benchmark that knows the file by its first row."""
    file: Path = store.find_files(data)[0]
    first = next(store.read_json_rows(file), None)
    fields = set() if first is None or isinstance(first, Reject) else set(first.data)
    names = registry.names("mathqa.evals")
    if isinstance(first, Raw):
        found = [name for name in names if registry.load("mathqa.evals", name).recognises(first.data, file)]
        if len(found) == 1:
            return found[0]
    told = f"fields {', '.join(sorted(fields)) or 'none'}"
    raise BadInput(
        f"{file}: row 1: {told}: which benchmark is this? --benchmark one of {', '.join(names)}; jsonl reads any"
    )


def _model_path(model: str) -> Path | str:
    """The trained model inside a run directory; anything else as it is."""
    inside = Path(model) / "train" / "model"
    return inside if inside.is_dir() else model


def _evaluate(config: EvalRun, folder: Path, log: Path) -> None:
    from skyloom.mathqa import answering
    from skyloom.mathqa import evaluate as work

    if config.predictions is not None:
        answerer = answering.Stored(path=config.predictions, field=config.output_field)
    elif config.server is not None:
        answerer = answering.Server(teacher=config.server, generate=config.generate, log=log)
    else:
        model, tokenizer = work.load(config.backbone, config.seed)
        answerer = answering.Local(model=model, tokenizer=tokenizer, generate=config.generate, seed=config.seed)
    report = work.evaluate(config, answerer, folder, config.seed)
    write_evaluation(folder, report.evaluation, report.tables, report.plots)


def show_evaluation(folder: Path, evaluation: Evaluation, as_json: bool) -> None:
    """The headline, what it must beat, and the rest."""
    if as_json:
        print_json({"folder": str(folder), "beats_null": evaluation.beats_null, **evaluation.to_json()})
        return
    show.say(show.verdict(evaluation))
    for title, estimates in (("without a model:", evaluation.baselines), ("further:", evaluation.others)):
        show.say(title)
        for each in estimates:
            show.say(f"  {show.estimate(each)}")
    for page in sorted(folder.glob("outputs-*.html")):
        show.say(f"every output: {page}")


# --- compare --------------------------------------------------------------------------------------------------------------


def show_comparison(a: Path, b: Path, as_json: bool) -> None:
    """Two evaluations, benchmark by benchmark."""
    from skyloom.mathqa.compare import Paired, compare

    found = compare(a, b)
    if as_json:
        print_json({"a": str(a), "b": str(b), "benchmarks": [each.to_json() for each in found]})
        return

    def line(pair: Paired) -> str:
        gap = "" if pair.gap is None else f", A-B {pair.gap.value:+.3f} [{pair.gap.low:+.3f}, {pair.gap.high:+.3f}]"
        adjusted = "" if pair.p_holm is None else f", {pair.p_holm:.3g} for all levels (Holm)"
        only = f"right by A alone {pair.test.only_a:,}, by B alone {pair.test.only_b:,}"
        return f"{pair.name} n={pair.a.n:,}: A {pair.a.value:.3f}, B {pair.b.value:.3f}{gap}; {only}: p={pair.test.p:.3g}{adjusted}"

    show.say(f"A {a}\nB {b}")
    for each in found:
        show.say(f"{each.benchmark}: {line(each.whole)}")
        if each.nll is not None:
            value, low, high, n, _ = each.nll
            show.say(f"  nats per token A-B {value:+.4f} [{low:+.4f}, {high:+.4f}] n={n:,}; below 0: A is better")
        for level in each.levels:
            show.say(f"  {line(level)}")


def read_object(path: Path) -> dict[str, Any]:  # Any: JSON
    """One JSON object from a file of ours."""
    (row,) = store.read_json_rows(path)
    if isinstance(row, Reject):
        raise BadInput(f"{path}: {row.reason}; delete the step's folder and run again")
    return dict(row.data)
