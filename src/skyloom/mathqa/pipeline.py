"""The mathqa loop: collect seeds, synthesise, curate, fine-tune, evaluate; each step one folder of the run.

Flow     collect -> benchmarks (index of what must stay out) -> select and synthesize, once a pass -> curate -> train -> evaluate -> report
Source   Skywork-Math (arXiv 2407.08348)
Run      skyloom run skywork_math --smoke
Layout   collect/ benchmarks/ select-PASS/ synthesize-PASS/ curate/ train/ evaluate/ below the run directory; requests.sqlite beside
         them holds every reply of the teacher, whatever step is made anew
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from skyloom.core import registry, store
from skyloom.core.config import PluginConfig
from skyloom.core.errors import BadInput
from skyloom.core.ledger.annotate import AnnotatorConfig, inputs_of
from skyloom.core.ledger.curate import curate, read_decisions, read_kept
from skyloom.core.ledger.query import retractions
from skyloom.core.ledger.rows import collect, read_sources, source_inputs
from skyloom.core.llm.simulated import SimulatedTeacher
from skyloom.core.llm.teacher import TeacherConfig
from skyloom.core.metrics import Evaluation, Table, read_evaluation, write_evaluation
from skyloom.core.plan import Plan
from skyloom.core.run import Run
from skyloom.core.text import embed
from skyloom.mathqa import planning, summary
from skyloom.mathqa.annotate import backward, contamination, pass_rate, question_kind
from skyloom.mathqa.benchmark import EvalConfig, Item, index_of, items_of
from skyloom.mathqa.decide import contamination as drop_contaminated
from skyloom.mathqa.records import Problem
from skyloom.mathqa.settings import COLLECTED, EvaluateConfig, MathConfig, PassConfig, SeedConfig, SynthesizeConfig
from skyloom.mathqa.synthesize import LOG, Judge, Pass, synthesize
from skyloom.mathqa.validity import KINDS
from skyloom.mathqa.world.responder import Responder

Config = MathConfig
INDEX: str = "index.npz"
WRONG: tuple[str, ...] = ("wrong_answer", "votes_disagree", "unlikely", "outranked")
DEFECTS: dict[str, tuple[str, ...]] = {
    "wrong": WRONG,
    "drifted": WRONG,
    "unsound": WRONG,
    "leaked": drop_contaminated.REASONS,
    "ill_posed": KINDS,
}
"""Planted in the world -> reasons that count as having found it. unsound: the answer is wrong or the question drifted."""


def run(config: MathConfig, run: Run) -> Evaluation:
    """All steps, each skipped where it is done; returns the evaluation that stands in evaluate/results.json."""
    evals: tuple[Path, ...] = benchmark_inputs(config.evaluate.benchmarks)
    seed = SeedConfig(seed=config.seed)
    seeds: Path = collect_seeds(config, run)
    index: Path = run.step(
        "benchmarks",
        lambda out: export_index(config.evaluate, out),
        config=config.evaluate,
        inputs=(*evals, *embed.inputs(embed.EmbedConfig(model=config.evaluate.near))),
        version=2,
    )
    made: tuple[Path, ...] = make_passes(config, run, seeds, index)
    chain: tuple[PluginConfig, ...] = tuple(_filled(each, index, made, run) for each in config.curate)
    kept: Path = curate_step(config, chain, made, run, (index,))
    model: Path = run.step(
        "train", lambda out: _train(config, kept, out), config=(config.train, seed), inputs=(kept,), version=2
    )
    folders = summary.Folders(seeds, made, kept, model)
    run.step(
        "evaluate",
        lambda out: _evaluate(config, folders, out, run.path / LOG),
        config=(config.evaluate, seed),
        inputs=(model, kept, *made, *evals),
        version=3,
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
    items: list[Item] = [item for each in config.benchmarks for item in items_of(each)]
    index_of(items, config.ngram, config.near).save(out / INDEX)
    store.write_json(out / "items.json", {"items": len(items), "ngram": config.ngram})


def collect_seeds(config: MathConfig, run: Run) -> Path:
    """The collect step; test splits that serve as seeds on purpose are written into the manifest."""
    sources: tuple[Path, ...] = source_inputs(config.collect)
    seeds: Path = run.step("collect", lambda out: _collect(config, out), config=config.collect, inputs=sources)
    note_test_splits(run, seeds)
    return seeds


def make_passes(config: MathConfig, run: Run, seeds: Path, index: Path | None = None) -> tuple[Path, ...]:
    """Every pass in order: its seeds are selected where it says so, then its rows are made; the folders whose rows are training data."""
    if not config.synthesize.passes:
        raise BadInput("synthesize.passes: name at least one pass")
    folders: dict[str, Path] = {COLLECTED: seeds}
    for each in config.synthesize.passes:
        sources: tuple[Path, ...] = tuple(folders[name] for name in each.seeds)
        earlier: tuple[Path, ...] = tuple(folders.values())
        chosen: Path | None = _select(config, each, sources, earlier[1:], run, index) if each.select else None
        folders[each.name] = run.step(
            each.folder,
            lambda out, each=each, sources=sources, earlier=earlier, chosen=chosen: _make(
                config, Pass(config=each, folders=sources, before=earlier, chosen=_kept(chosen)), out, run.path / LOG
            ),
            config=(each, config.synthesize.teacher, config.synthesize.simulated, SeedConfig(seed=config.seed)),
            inputs=(*sources, *([chosen] if chosen else [])),
            version=2,
        )
    trained: list[Path] = [folders[each.name] for each in config.synthesize.passes if each.train]
    if not trained:
        raise BadInput("synthesize.passes: none has train=true; its rows are all that is trained on")
    return tuple(trained)


def _select(
    config: MathConfig, each: PassConfig, sources: Sequence[Path], made: Sequence[Path], run: Run, index: Path | None
) -> Path:
    """The curation that says which rows serve as a pass's seeds; every row has its reason, as in any curation."""
    chain: tuple[PluginConfig, ...] = tuple(_filled(step, index, made, run) for step in each.select)
    lists: tuple[Path, ...] = retractions(run.path)
    return run.step(
        f"select-{each.name}" if each.name else "select",
        lambda out: curate_rows(config, chain, sources, out, run, defects=None),
        config=chain,
        inputs=(*sources, *made, *([index] if index else []), *lists, *_models(chain)),
    )


def _kept(chosen: Path | None) -> frozenset[int] | None:
    if chosen is None:
        return None
    decisions = read_decisions(chosen)
    return frozenset(decisions.filter(decisions["kept"])["row"].to_list())


def _make(config: MathConfig, plan: Pass, out: Path, log: Path) -> None:
    """One pass with the configured teacher, or with the simulated one."""
    with open_teacher(config.synthesize) as teacher:
        synthesize(replace(plan, judge=_judge(config), seed=config.seed), teacher, out, log)


@contextmanager
def open_teacher(config: SynthesizeConfig) -> Generator[TeacherConfig]:
    """The teacher's config with an address where it needs one; a simulated one runs as long as the context."""
    if config.teacher.url or not config.teacher.remote:
        yield config.teacher
        return
    told = config.simulated
    responder = Responder(
        wrong=told.wrong,
        wrong_per_step=told.wrong_per_step,
        drift=told.drift,
        careless=told.careless,
        weak=told.weak,
        unsolvable=told.unsolvable,
        missing=told.missing,
        several=told.several,
        contradictory=told.contradictory,
        impossible=told.impossible,
        bluff=told.bluff,
    )
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


def _filled(step: PluginConfig, index: Path | None, made: Sequence[Path], run: Run) -> PluginConfig:
    """What a step leaves to the run: the index of its benchmarks, the rows made so far, a place for a teacher's replies."""
    if isinstance(step, contamination.Config) and step.index is None and index is not None:
        return replace(step, index=index / INDEX)
    if isinstance(step, pass_rate.Config) and not step.made:
        return replace(step, made=tuple(made))
    if isinstance(step, question_kind.Config) and step.teacher is not None and step.log is None:
        return replace(step, log=run.cache / "question_kind.sqlite")
    if isinstance(step, backward.Config) and step.teacher is not None and step.log is None:
        return replace(step, log=run.cache / "backward.sqlite")
    return step


def curate_step(
    config: MathConfig, chain: Sequence[PluginConfig], made: Sequence[Path], run: Run, inputs: Sequence[Path] = ()
) -> Path:
    """The step that says which rows are trained on."""
    return run.step(
        "curate",
        lambda out: curate_rows(config, chain, made, out, run),
        config=chain,
        inputs=(*made, *inputs, *retractions(run.path), *_models(chain)),
    )


def _models(chain: Sequence[PluginConfig]) -> tuple[Path, ...]:
    """Files of the annotators' own, such as an embedding model's."""
    annotators = [each for each in chain if isinstance(each, AnnotatorConfig)]
    return tuple(path for each in annotators for path in inputs_of(each))


def curate_rows(
    config: MathConfig,
    chain: Sequence[PluginConfig],
    folders: Sequence[Path],
    out: Path,
    run: Run,
    defects: Mapping[str, Sequence[str]] | None = DEFECTS,
) -> None:
    """Curation of problems or of synthesised rows, with the export of this system; `defects`: what a world planted in the rows."""
    listed: tuple[Path, ...] = retractions(run.path)
    curate(
        folders,
        chain,
        out,
        run.cache,
        execute=config.execute,
        retractions=listed[0] if listed else None,
        export=_exported,
        defects=defects,
    )


def _exported(row: Mapping[str, Any]) -> dict[str, Any]:  # Any: column values
    """A row as it leaves the house; a selected problem has its solution for a response."""
    if "response" not in row:
        return {"query": row["question"], "response": row["solution"], "operator": ""}
    told = {"query": row["question"], "response": row["response"], "operator": row["operator"]}
    return {**told, "stage": row["stage"]} if "stage" in row else told


def _train(config: MathConfig, kept: Path, out: Path) -> None:
    from skyloom.mathqa.train import examples_of, train  # torch: only where a model is trained

    rows = read_kept(kept, ("question", "response", "weight", "seed", "stage", "row", "source"))
    train(examples_of(rows.to_dicts()), config.train, config.seed, out)


def _evaluate(config: MathConfig, folders: summary.Folders, out: Path, log: Path) -> None:
    from skyloom.mathqa import answering, evaluate

    refuse_trained_on(config, folders.seeds)
    asked: EvaluateConfig = config.evaluate
    if asked.server is not None:
        answerer = answering.Server(teacher=asked.server, generate=asked.generate, log=log)
    else:
        model, tokenizer = evaluate.load_trained(config.train, folders.model / "model", config.seed)  # torch
        answerer = answering.Local(model=model, tokenizer=tokenizer, generate=asked.generate, seed=config.seed)
    report = evaluate.evaluate(asked, answerer, out, config.seed)
    items: list[Item] = [item for each in asked.benchmarks for item in items_of(each)]
    tables: list[Table] = [*summary.tables(folders), *report.tables, *summary.leaks(folders, items)]
    write_evaluation(out, report.evaluation, tables, [*summary.plots(folders), *report.plots])


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
