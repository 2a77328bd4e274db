"""The mathqa loop: collect seeds, synthesise, curate, fine-tune, evaluate; each step one folder of the run.

Flow     collect -> benchmarks (index of what must stay out) -> synthesize -> curate -> train -> evaluate -> report
Source   Skywork-Math (arXiv 2407.08348), its first stage
Run      skyloom run skywork_math --smoke
Layout   collect/ benchmarks/ synthesize/ curate/ train/ evaluate/ below the run directory
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from skyloom.core import registry, store
from skyloom.core.config import PluginConfig
from skyloom.core.errors import BadInput
from skyloom.core.ledger.curate import curate, read_kept
from skyloom.core.ledger.query import retractions
from skyloom.core.ledger.rows import collect, read_sources, source_inputs
from skyloom.core.llm.config import BackboneConfig
from skyloom.core.llm.simulated import SimulatedTeacher
from skyloom.core.llm.teacher import TeacherConfig
from skyloom.core.metrics import Evaluation, Plot, Table, read_evaluation, write_evaluation
from skyloom.core.plan import Plan
from skyloom.core.run import Run
from skyloom.mathqa import planning, summary
from skyloom.mathqa.annotate import contamination
from skyloom.mathqa.benchmark import EvalConfig, Item, index_of
from skyloom.mathqa.records import Problem
from skyloom.mathqa.settings import EvaluateConfig, MathConfig, SeedConfig, SynthesizeConfig
from skyloom.mathqa.synthesize import Judge, synthesize
from skyloom.mathqa.world.responder import Responder

Config = MathConfig
INDEX: str = "index.npz"
DEFECTS: dict[str, tuple[str, ...]] = {
    "wrong": ("wrong_answer", "votes_disagree"),
    "drifted": ("wrong_answer", "votes_disagree"),
    "unsound": ("wrong_answer", "votes_disagree"),
    "leaked": ("contaminated",),
}
"""Planted in the world -> reasons that count as having found it. unsound: the answer is wrong or the question drifted."""


def run(config: MathConfig, run: Run) -> Evaluation:
    """All steps, each skipped where it is done; returns the evaluation that stands in evaluate/results.json."""
    evals: tuple[Path, ...] = benchmark_inputs(config.evaluate.benchmarks)
    seed = SeedConfig(seed=config.seed)
    sources: tuple[Path, ...] = source_inputs(config.collect)
    seeds: Path = run.step("collect", lambda out: _collect(config, out), config=config.collect, inputs=sources)
    note_test_splits(run, seeds)
    index: Path = run.step(
        "benchmarks", lambda out: export_index(config.evaluate, out), config=config.evaluate, inputs=evals
    )
    made: Path = run.step(
        "synthesize", lambda out: make_rows(config, (seeds,), out), config=config.synthesize, inputs=(seeds,)
    )
    chain: tuple[PluginConfig, ...] = tuple(_with_index(each, index / INDEX) for each in config.curate)
    lists: tuple[Path, ...] = retractions(run.path)
    kept: Path = run.step(
        "curate", lambda out: curate_rows(config, chain, made, out, run), config=chain, inputs=(made, index, *lists)
    )
    model: Path = run.step("train", lambda out: _train(config, kept, out), config=(config.train, seed), inputs=(kept,))
    folders = summary.Folders(seeds, made, kept, model)
    run.step(
        "evaluate",
        lambda out: _evaluate(config, folders, out),
        config=(config.evaluate, seed),
        inputs=(model, kept, made, *evals),
    )
    return read_evaluation(run.path / "evaluate")


def plan(config: MathConfig) -> Plan:
    """What the run will cost, before anything is spent."""
    return planning.plan(config)


def benchmark_inputs(benchmarks: Sequence[EvalConfig]) -> tuple[Path, ...]:
    """Files that the benchmarks read."""
    modules = [(config, registry.module_of(config)) for config in benchmarks]
    return tuple(path for config, module in modules if hasattr(module, "inputs") for path in module.inputs(config))


def export_index(config: EvaluateConfig, out: Path) -> None:
    """index.npz: hashed n-grams of every benchmark question; no text of a benchmark leaves `evals`."""
    items: list[Item] = [item for each in config.benchmarks for item in registry.module_of(each).items(each)]
    index_of(items, config.ngram).save(out / INDEX)
    store.write_json(out / "items.json", {"items": len(items), "ngram": config.ngram})


def make_rows(config: MathConfig, seeds: Sequence[Path], out: Path) -> None:
    """Synthesis with the configured teacher, or with the simulated one."""
    with open_teacher(config.synthesize) as teacher:
        synthesize(seeds, config.synthesize.augment, teacher, out, judge=_judge(config))


@contextmanager
def open_teacher(config: SynthesizeConfig) -> Generator[TeacherConfig]:
    """The teacher's config with an address; a simulated one runs as long as the context."""
    if config.teacher.url:
        yield config.teacher
        return
    told = config.simulated
    responder = Responder(wrong=told.wrong, drift=told.drift, careless=told.careless)
    with SimulatedTeacher(responder, told.faults, told.seed) as server:
        yield replace(config.teacher, url=server.url)


def _judge(config: MathConfig) -> Judge | None:
    """Truth of synthetic rows: known where every seed comes from one world."""
    judges = {getattr(registry.module_of(source), "judge_instance", None) for source in config.collect}
    return judges.pop() if len(judges) == 1 else None


def _collect(config: MathConfig, out: Path) -> None:
    if not config.collect:
        raise BadInput("collect: name at least one source of seed problems")
    collect(config.collect, Problem, out, config.execute)


def _with_index(step: PluginConfig, index: Path) -> PluginConfig:
    """Contamination without an index of its own compares with the run's benchmarks."""
    return replace(step, index=index) if isinstance(step, contamination.Config) and step.index is None else step


def curate_rows(config: MathConfig, chain: Sequence[PluginConfig], made: Path, out: Path, run: Run) -> None:
    """Curation of synthesised rows, with the export and the planted defects of this system."""
    listed: tuple[Path, ...] = retractions(run.path)
    curate(
        (made,),
        chain,
        out,
        run.cache,
        execute=config.execute,
        retractions=listed[0] if listed else None,
        export=lambda row: {"query": row["question"], "response": row["response"], "operator": row["operator"]},
        defects=DEFECTS,
    )


def _train(config: MathConfig, kept: Path, out: Path) -> None:
    from skyloom.mathqa.train import examples_of, train  # torch: only where a model is trained

    rows = read_kept(kept, ("question", "response", "weight", "seed"))
    train(examples_of(rows.to_dicts()), config.train, config.seed, out)


def _evaluate(config: MathConfig, folders: summary.Folders, out: Path) -> None:
    from skyloom.mathqa import evaluate  # torch: only where a model is asked

    if not config.evaluate.benchmarks:
        raise BadInput("evaluate.benchmarks: name at least one benchmark")
    refuse_trained_on(config, folders.seeds)
    backbone: BackboneConfig = replace(config.train.backbone, model=str(folders.model / "model"))
    model, tokenizer = evaluate.load(backbone, config.seed)
    reports: list[evaluate.Report] = []
    for each in config.evaluate.benchmarks:
        items = registry.module_of(each).items(each)
        outputs = evaluate.write_answers(model, tokenizer, items, config.evaluate.generate, config.seed)
        graded = evaluate.grade_all(each, items, outputs)
        evaluate.write_outputs(evaluate.outputs_file(out, each), graded)
        reports.append(evaluate.report_on(evaluate.name_of(each), graded))
    whole: Evaluation = replace(
        reports[0].evaluation,
        others=(*reports[0].evaluation.others, *(report.evaluation.headline for report in reports[1:])),
    )
    tables: list[Table] = [*summary.tables(folders), *(table for report in reports for table in report.tables)]
    plots: list[Plot] = [plot for report in reports for plot in report.plots]
    write_evaluation(out, whole, tables, plots)


def note_test_splits(run: Run, seeds: Path) -> None:
    """Write into the manifest which test splits serve as seeds on purpose."""
    meant: list[str] = [source.label for source in read_sources([seeds]) if source.split == "test"]
    if meant:
        run.note(trained_on_test_splits=[*meant])


def refuse_trained_on(config: MathConfig, seeds: Path) -> None:
    """Raise BadInput where a benchmark's test split was trained on, unless `evaluate.as_train` says that this is meant."""
    trained: set[str] = {source.plugin for source in read_sources([seeds]) if source.split == "test"}
    for each in config.evaluate.benchmarks:
        source: str = getattr(registry.module_of(each), "SOURCE", "")
        if f"mathqa.sources/{source}" in trained and not config.evaluate.as_train:
            raise BadInput(
                f"evaluate: this run trained on the test split of {source}; its score would mean nothing "
                "(evaluate.as_train=true reports it all the same)"
            )
