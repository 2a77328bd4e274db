"""Evaluation: ask the model, grade, and report accuracy by level and subject beside what needs no model at all.

Formula  accuracy = items graded equal / items, Wilson interval; greedy decoding, zero-shot, the prompt of training. Beside it: nats per
         token of the reference solutions (likelihood.py), maj@k and mean@k of `samples` draws (votes.py), accuracy with irrelevant
         sentences (distractors.py)
Source   Skywork-Math (arXiv 2407.08348, section 4); the headline is THE grader's, or another's by `grader=paper`; the panel stands beside
Flow     collect -> synthesize -> curate -> train -> [evaluate] -> report
Run      skyloom mathqa eval --data FILE --model MODEL --out DIR
Layout   results.json tables.json plots.json; outputs-<benchmark>.jsonl: every question, output and verdict, and the same as a page to
         browse (.html); disputed-<benchmark>.jsonl: those about which the panel's graders differ, with the verdict of each;
         draws-<benchmark>.jsonl, distracted-<benchmark>.jsonl: what was written besides
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from skyloom.core import registry, store
from skyloom.core.errors import BadInput
from skyloom.core.llm.config import TINY, BackboneConfig, GenerateConfig
from skyloom.core.metrics import Cell, Estimate, Evaluation, Plot, Series, Table
from skyloom.core.stats import wilson
from skyloom.mathqa import distractors, panel, votes
from skyloom.mathqa.answering import Answerer, Local, Output, Query
from skyloom.mathqa.benchmark import EvalConfig, Graded, Item, accuracy, items_of, name_of, nulls, plain_name
from skyloom.mathqa.browse import write_page
from skyloom.mathqa.graders import ours
from skyloom.mathqa.panel import GraderConfig
from skyloom.mathqa.settings import EvaluateConfig, TrainConfig
from skyloom.mathqa.verify.grading import Verdict, grade
from skyloom.mathqa.world.grammar import solve
from skyloom.mathqa.world.problems import problems

if TYPE_CHECKING:  # torch: only where a model is asked, so that stored outputs are graded without it
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

WORLD_TEXTS: int = 2_000
SHOWN: int = 8  # outputs of each kind in the report; outputs.jsonl holds all
NAMED: int = 20  # items without an answer in the report


class Report(NamedTuple):
    """One benchmark's numbers, or several's, ready to be written."""

    evaluation: Evaluation
    tables: tuple[Table, ...]
    plots: tuple[Plot, ...]


def load(
    config: BackboneConfig, seed: int, device: Literal["auto", "cpu", "cuda"] = "auto"
) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """A model and its tokenizer; `tiny` has random weights and a tokenizer of the world's train problems.

    `auto` takes a GPU where torch sees one. Raises BadInput where the model cannot be read, or there is no GPU and one is asked for.
    """
    import torch

    from skyloom.core.llm.backbones import load_backbone, load_tokenizer

    seen: bool = torch.cuda.is_available()
    if device == "cuda" and not seen:
        raise BadInput("evaluate: device=cuda, and torch sees no GPU; set device=cpu")

    corpus: list[str] | None = None
    if config.model == TINY:
        corpus = [f"{posed.text}\n{solve(posed).text}" for posed in problems("train", seed, WORLD_TEXTS)]
    tokenizer = load_tokenizer(config, corpus)
    where = torch.device("cuda" if seen and device != "cpu" else "cpu")
    model = load_backbone(config, tokenizer, seed=seed)
    return model.to(where), tokenizer  # pyright: ignore[reportArgumentType] - the stub of `to` is a decorator's


def load_trained(train: TrainConfig, model: Path, seed: int) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """A model that was trained so, where and in what type it was trained."""
    half: bool = train.optim.dtype == "bfloat16"
    backbone = replace(train.backbone, model=str(model), dtype="bfloat16" if half else train.backbone.dtype)
    return load(backbone, seed, train.optim.device)


def write_answers(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    items: Sequence[Item],
    config: GenerateConfig,
    seed: int,
) -> list[Output]:
    """One output an item, in order; nothing is kept on the way."""
    local = Local(model=model, tokenizer=tokenizer, generate=config, seed=seed)
    return local.answers([Query(item.id, item.question) for item in items], None, config.temperature)


def evaluate(config: EvaluateConfig, answerer: Answerer, folder: Path, seed: int) -> Report:
    """Every benchmark asked, graded and written into the folder; the first one gives the headline.

    Work that was cut goes on from what stands in the folder. Raises BadInput for no benchmark, or two of one name.
    """
    names = [plain_name(each) for each in config.benchmarks]
    if not names:
        raise BadInput("evaluate.benchmarks: name at least one benchmark")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise BadInput(
            f"evaluate.benchmarks: {twice[0]!r} stands twice; give each its own name (jsonl has the field `name`)"
        )
    reports = [_benchmark(config, each, answerer, folder, seed) for each in config.benchmarks]
    first = reports[0].evaluation
    others = (*first.others, *(report.evaluation.headline for report in reports[1:]))
    tables = tuple(table for report in reports for table in report.tables)
    plots = tuple(plot for report in reports for plot in report.plots)
    return Report(replace(first, others=others), tables, plots)


def _benchmark(config: EvaluateConfig, each: EvalConfig, answerer: Answerer, folder: Path, seed: int) -> Report:
    items, name, title = items_of(each), plain_name(each), name_of(each)
    outputs = answerer.answers([Query(item.id, item.question) for item in items], folder / f".answers-{name}.jsonl")
    nll = answerer.nll(items)
    drawn = _drawn(config, items, answerer, folder, name) if config.samples else []
    said = [[told.answer for told in told_K] for told_K in drawn]
    report = judge(folder, each, items, outputs, config.grader, config.panel, nll=nll, said=said)
    further: list[tuple[list[Estimate], Table, Plot]] = []
    if drawn:
        further.append(votes.report(title, report.evaluation.headline, drawn, config.temperature, seed))
    if config.distractors:
        by_count = _distracted(config, items, answerer, folder, name, seed)
        module = registry.module_of(config.grader)
        plain = [module.verdict(i.answer, o.text, config.grader).equal for i, o in zip(items, outputs, strict=True)]
        further.append(distractors.report(title, plain, by_count, seed))
    others = (*report.evaluation.others, *(estimate for shown, _, _ in further for estimate in shown))
    tables = (*report.tables, *(table for _, table, _ in further))
    plots = (*report.plots, *(plot for _, _, plot in further))
    return Report(replace(report.evaluation, others=others), tables, plots)


def _drawn(
    config: EvaluateConfig, items: Sequence[Item], answerer: Answerer, folder: Path, name: str
) -> list[list[Verdict]]:
    """THE grader's verdicts on `samples` draws of each item, written to draws-NAME.jsonl."""
    queries = [Query(item.id, item.question, k) for item in items for k in range(1, config.samples + 1)]
    outputs = answerer.answers(queries, folder / f".draws-{name}.jsonl", config.temperature)
    golds = [item.answer for item in items for _ in range(config.samples)]
    told = [grade(gold, output.text) for gold, output in zip(golds, outputs, strict=True)]
    rows = [
        {"id": query.item, "sample": query.sample, **_written(output), "answer": verdict.answer, "equal": verdict.equal}
        for query, output, verdict in zip(queries, outputs, told, strict=True)
    ]
    store.write_jsonl(folder / f"draws-{name}.jsonl", rows)
    return [told[k : k + config.samples] for k in range(0, len(told), config.samples)]


def _distracted(
    config: EvaluateConfig, items: Sequence[Item], answerer: Answerer, folder: Path, name: str, seed: int
) -> dict[int, list[bool]]:
    """Which items the headline's grader calls right, by number of distractors; all is written to distracted-NAME.jsonl."""
    module = registry.module_of(config.grader)
    found: dict[int, list[bool]] = {}
    rows: list[dict[str, Cell]] = []
    for count in sorted(config.distractors):
        queries = [Query(i.id, distractors.distracted(i, count, seed), distractors=count) for i in items]
        outputs = answerer.answers(queries, folder / f".distracted-{count}-{name}.jsonl")
        told = [module.verdict(i.answer, o.text, config.grader) for i, o in zip(items, outputs, strict=True)]
        found[count] = [verdict.equal for verdict in told]
        rows += [
            {"id": query.item, "distractors": count, "question": query.text, **_written(output)}
            | {"answer": verdict.answer, "equal": verdict.equal}
            for query, output, verdict in zip(queries, outputs, told, strict=True)
        ]
    store.write_jsonl(folder / f"distracted-{name}.jsonl", rows)
    return found


def _written(output: Output) -> dict[str, Cell]:
    return {"output": output.text, "finished": output.finished, "failed": output.failed}


def judge(
    folder: Path,
    config: EvalConfig,
    items: Sequence[Item],
    outputs: Sequence[Output],
    grader: GraderConfig | None = None,
    others: Sequence[GraderConfig] | None = None,
    *,
    nll: Sequence[float | None] | None = None,
    said: Sequence[Sequence[str | None]] = (),
) -> Report:
    """Grade outputs, write them and the disputed ones into the folder, and report.

    Args:
        folder: where the files go.
        config: the benchmark.
        items: its items.
        outputs: one an item, in their order.
        grader: whose verdict is the headline; None: ours.
        others: who sits beside on the panel; None: every grader there is.
        nll: nats per token of each item's reference solution; None: not measured.
        said: further answers to each item, shown on the page of outputs; empty: there are none.
    """
    head: GraderConfig = grader or ours.Config()
    name: str = registry.plugin_of(head).name
    rest = [each for each in (panel.everyone() if others is None else others) if registry.plugin_of(each).name != name]
    graders: panel.Graders = panel.panel_of([head, *rest])
    told_N: list[panel.Verdicts] = [
        panel.ask(graders, item.answer, output.text) for item, output in zip(items, outputs, strict=True)
    ]
    graded: list[Graded] = [
        Graded(
            item=item,
            output=output.text,
            finished=output.finished,
            verdict=told[name],
            failed=output.failed,
            nll=nll[place] if nll else None,
        )
        for place, (item, output, told) in enumerate(zip(items, outputs, told_N, strict=True))
    ]
    plain: str = plain_name(config)
    write_outputs(folder / f"outputs-{plain}.jsonl", graded)
    write_disputed(folder / f"disputed-{plain}.jsonl", graded, told_N)
    rows = [
        _shown(each, told, said[k] if said else None) for k, (each, told) in enumerate(zip(graded, told_N, strict=True))
    ]
    write_page(folder / f"outputs-{plain}.html", name_of(config), rows)
    return report_on(name_of(config), graded, told_N, name)


def _shown(each: Graded, told: panel.Verdicts, said: Sequence[str | None] | None) -> dict[str, object]:
    """A row of the page."""
    apart = {"disputed": True, "verdicts": panel.as_json(told)} if panel.disputed(told) else {}
    return {**_row(each), **apart, **({"votes": list(said)} if said is not None else {})}


def report_on(
    name: str, graded: Sequence[Graded], told_N: Sequence[panel.Verdicts] = (), grader: str = panel.OURS
) -> Report:
    """Headline, nulls, levels, subjects, panel and examples of one benchmark; `grader`: who gave the headline's verdicts."""
    items: list[Item] = [each.item for each in graded]
    levels: list[Estimate] = _by(graded, lambda each: f"level {each.item.level}" if each.item.level else "")
    others: tuple[Estimate, ...] = (
        *levels,
        Estimate.of(
            "outputs cut at the longest length",
            wilson(sum(not each.finished and not each.failed for each in graded), len(graded)),
        ),
        Estimate.of(
            "outputs without an answer", wilson(sum(each.verdict.answer is None for each in graded), len(graded))
        ),
        *_unanswered(graded),
        *_likelihood(graded),
    )
    asked: str = f"{name} accuracy" if grader == panel.OURS else f"{name} accuracy, {grader} grader"
    evaluation = Evaluation(headline=accuracy(asked, graded), baselines=nulls(items), others=others)
    tables: list[Table] = [_share_table(f"{name}: accuracy by level", levels)] if levels else []
    tables.append(_share_table(f"{name}: accuracy by subject", _by(graded, lambda each: each.item.subject)))
    tables.append(_share_table(f"{name}: answers without a model", evaluation.baselines))
    tables += [*_likelihood_table(name, graded), *_failed_table(name, graded)]
    tables += [*panel.tables(name, items, told_N), _rule_table(name, graded), _example_table(name, graded)]
    plots: tuple[Plot, ...] = (_level_plot(name, levels),) if levels else ()
    return Report(evaluation, tuple(tables), plots)


def write_outputs(path: Path, graded: Sequence[Graded]) -> None:
    """Every output, one JSON object a line."""
    store.write_jsonl(path, [_row(each) for each in graded])


def write_disputed(path: Path, graded: Sequence[Graded], told_N: Sequence[panel.Verdicts]) -> None:
    """The outputs about which the graders differ, each with all verdicts."""
    rows = [
        {**_row(each), "verdicts": panel.as_json(told)}
        for each, told in zip(graded, told_N, strict=True)
        if panel.disputed(told)
    ]
    store.write_jsonl(path, rows)


def _row(each: Graded) -> dict[str, Cell]:
    return {
        "id": each.item.id,
        "level": each.item.level,
        "subject": each.item.subject,
        "question": each.item.question,
        "gold": each.item.answer,
        "output": each.output,
        "finished": each.finished,
        "answer": each.verdict.answer,
        "equal": each.verdict.equal,
        "by": each.verdict.by,
        "nll": each.nll,
        "failed": each.failed,
    }


def _by(graded: Sequence[Graded], group: Callable[[Graded], str]) -> list[Estimate]:
    """Accuracy of each group in order of name; rows with an empty group are left out."""
    names: list[str] = sorted({group(each) for each in graded} - {""})
    return [accuracy(name, [each for each in graded if group(each) == name]) for name in names]


def _share_table(title: str, estimates: Sequence[Estimate]) -> Table:
    rows: tuple[tuple[Cell, ...], ...] = tuple((each.name, each.n, each.interval) for each in estimates)
    return Table(title=title, note="share right with its 95% Wilson interval", columns=("", "n", "accuracy"), rows=rows)


def _unanswered(graded: Sequence[Graded]) -> list[Estimate]:
    """The share of items without any answer of the model; nothing where all have one."""
    count = sum(bool(each.failed) for each in graded)
    return [Estimate.of("items not answered, counted as not right", wilson(count, len(graded)))] if count else []


def _failed_table(name: str, graded: Sequence[Graded]) -> list[Table]:
    failed = [each for each in graded if each.failed]
    if not failed:
        return []
    note = f"{len(failed):,} of {len(graded):,} items, counted as not right; the first {NAMED} here, outputs-*.jsonl holds all"
    rows: tuple[tuple[Cell, ...], ...] = tuple((each.item.id, each.failed) for each in failed[:NAMED])
    logging.getLogger(__name__).warning(
        "%s: %d of %d items were not answered, the first %s: %s",
        name, len(failed), len(graded), failed[0].item.id, failed[0].failed,
    )  # fmt: skip
    return [Table(title=f"{name}: items not answered", note=note, columns=("id", "why"), rows=rows)]


def _likelihood(graded: Sequence[Graded], name: str = "nats per token of the reference solutions") -> list[Estimate]:
    """Mean over the items that have it; nothing where none has."""
    found = [each.nll for each in graded if each.nll is not None]
    return [Estimate.of(name, votes.spread(found, 0, name))] if found else []


def _likelihood_table(name: str, graded: Sequence[Graded]) -> list[Table]:
    whole = _likelihood(graded, "all items")
    if not whole:
        return []
    levels = sorted({each.item.level for each in graded if each.item.level is not None})
    parts = [_likelihood([each for each in graded if each.item.level == level], f"level {level}") for level in levels]
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (e.name, e.n, e.interval) for e in (*whole, *(e for p in parts for e in p))
    )
    note = "-log p of the reference solution given its question, per token, averaged over items; lower is better; intervals by items"
    return [
        Table(title=f"{name}: likelihood of the solutions", note=note, columns=("", "n", "nats a token"), rows=rows)
    ]


def _rule_table(name: str, graded: Sequence[Graded]) -> Table:
    counts: Counter[tuple[str, bool]] = Counter((each.verdict.by, each.verdict.equal) for each in graded)
    rows: tuple[tuple[Cell, ...], ...] = tuple((by, equal, count) for (by, equal), count in sorted(counts.items()))
    note: str = "which rule of the grader decided"
    return Table(title=f"{name}: verdicts by rule", note=note, columns=("rule", "equal", "items"), rows=rows)


def _example_table(name: str, graded: Sequence[Graded]) -> Table:
    right: list[Graded] = [each for each in graded if each.verdict.equal][:SHOWN]
    wrong: list[Graded] = [each for each in graded if not each.verdict.equal][:SHOWN]
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (each.verdict.equal, each.item.question, each.item.answer, each.output) for each in (*right, *wrong)
    )
    note: str = f"the first {SHOWN} right and wrong ones; outputs-*.jsonl beside this file holds all"
    return Table(title=f"{name}: outputs", note=note, columns=("right", "question", "gold", "output"), rows=rows)


def _level_plot(name: str, levels: Sequence[Estimate]) -> Plot:
    x: tuple[float, ...] = tuple(float(each.name.rpartition(" ")[2]) for each in levels)
    y, low, high = (tuple(getattr(each, bound) for each in levels) for bound in ("value", "low", "high"))
    series = Series(name=name, x=x, y=y, low=low, high=high)
    return Plot(title=f"{name}: accuracy by level", x="level", y="share right", series=(series,))
