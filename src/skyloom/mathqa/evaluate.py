"""Evaluation: ask the model, grade, and report accuracy by level and subject beside what needs no model at all.

Formula  accuracy = items graded equal / items, Wilson interval; greedy decoding, zero-shot, the prompt of training
Source   Skywork-Math (arXiv 2407.08348, section 4); the headline is THE grader's, or another's by `grader=paper`; the panel stands beside
Flow     collect -> synthesize -> curate -> train -> [evaluate] -> report
Run      skyloom mathqa eval --data FILE --model MODEL --out DIR
Layout   results.json tables.json plots.json; outputs-<benchmark>.jsonl: every question, output and verdict;
         disputed-<benchmark>.jsonl: those about which the panel's graders differ, with the verdict of each
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from skyloom.core import registry, store
from skyloom.core.llm.config import TINY, BackboneConfig, GenerateConfig
from skyloom.core.metrics import Cell, Estimate, Evaluation, Plot, Series, Table
from skyloom.core.stats import wilson
from skyloom.mathqa import panel
from skyloom.mathqa.benchmark import EvalConfig, Graded, Item, accuracy, nulls
from skyloom.mathqa.graders import ours
from skyloom.mathqa.panel import GraderConfig
from skyloom.mathqa.records import chat
from skyloom.mathqa.world.grammar import solve
from skyloom.mathqa.world.problems import problems

if TYPE_CHECKING:  # torch: only where a model is asked, so that stored outputs are graded without it
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

WORLD_TEXTS: int = 2_000
SHOWN: int = 8  # outputs of each kind in the report; outputs.jsonl holds all


class Output(NamedTuple):
    """What a model wrote."""

    text: str
    finished: bool


class Report(NamedTuple):
    """One benchmark's numbers, ready to be written."""

    evaluation: Evaluation
    tables: tuple[Table, ...]
    plots: tuple[Plot, ...]


def name_of(config: EvalConfig) -> str:
    """The benchmark's name; says so where only its first items are used."""
    name: str = registry.module_of(config).NAME
    return f"{name} (first {config.limit})" if config.limit else name


def load(config: BackboneConfig, seed: int) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """A model and its tokenizer; `tiny` has random weights and a tokenizer of the world's train problems."""
    from skyloom.core.llm.backbones import load_backbone, load_tokenizer

    corpus: list[str] | None = None
    if config.model == TINY:
        corpus = [f"{posed.text}\n{solve(posed).text}" for posed in problems("train", seed, WORLD_TEXTS)]
    tokenizer = load_tokenizer(config, corpus)
    return load_backbone(config, tokenizer, seed=seed), tokenizer


def write_answers(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    items: Sequence[Item],
    config: GenerateConfig,
    seed: int,
) -> list[Output]:
    """One output an item, in order."""
    from skyloom.core.llm.generate import generate
    from skyloom.core.llm.templates import render_prompt

    prompts: list[list[int]] = [render_prompt(tokenizer, chat(item.question)) for item in items]
    return [Output(reply.text, reply.finished) for reply in generate(model, tokenizer, prompts, config, seed=seed)]


def judge(
    folder: Path,
    config: EvalConfig,
    items: Sequence[Item],
    outputs: Sequence[Output],
    grader: GraderConfig | None = None,
    others: Sequence[GraderConfig] | None = None,
) -> Report:
    """Grade outputs, write them and the disputed ones into the folder, and report.

    `grader`: whose verdict is the headline; None: ours. `others`: who sits beside on the panel; None: every grader there is.
    """
    head: GraderConfig = grader or ours.Config()
    name: str = registry.plugin_of(head).name
    rest = [each for each in (panel.everyone() if others is None else others) if registry.plugin_of(each).name != name]
    graders: panel.Graders = panel.panel_of([head, *rest])
    told_N: list[panel.Verdicts] = [
        panel.ask(graders, item.answer, output.text) for item, output in zip(items, outputs, strict=True)
    ]
    graded: list[Graded] = [
        Graded(item=item, output=output.text, finished=output.finished, verdict=told[name])
        for item, output, told in zip(items, outputs, told_N, strict=True)
    ]
    plain: str = registry.module_of(config).NAME
    write_outputs(folder / f"outputs-{plain}.jsonl", graded)
    write_disputed(folder / f"disputed-{plain}.jsonl", graded, told_N)
    return report_on(name_of(config), graded, told_N, name)


def report_on(
    name: str, graded: Sequence[Graded], told_N: Sequence[panel.Verdicts] = (), grader: str = panel.OURS
) -> Report:
    """Headline, nulls, levels, subjects, panel and examples of one benchmark; `grader`: who gave the headline's verdicts."""
    items: list[Item] = [each.item for each in graded]
    levels: list[Estimate] = _by(graded, lambda each: f"level {each.item.level}" if each.item.level else "")
    others: tuple[Estimate, ...] = (
        *levels,
        Estimate.of(
            "outputs cut at the longest length", wilson(sum(not each.finished for each in graded), len(graded))
        ),
        Estimate.of(
            "outputs without an answer", wilson(sum(each.verdict.answer is None for each in graded), len(graded))
        ),
    )
    asked: str = f"{name} accuracy" if grader == panel.OURS else f"{name} accuracy, {grader} grader"
    evaluation = Evaluation(headline=accuracy(asked, graded), baselines=nulls(items), others=others)
    tables: list[Table] = [_share_table(f"{name}: accuracy by level", levels)] if levels else []
    tables.append(_share_table(f"{name}: accuracy by subject", _by(graded, lambda each: each.item.subject)))
    tables.append(_share_table(f"{name}: answers without a model", evaluation.baselines))
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
    }


def _by(graded: Sequence[Graded], group: Callable[[Graded], str]) -> list[Estimate]:
    """Accuracy of each group in order of name; rows with an empty group are left out."""
    names: list[str] = sorted({group(each) for each in graded} - {""})
    return [accuracy(name, [each for each in graded if group(each) == name]) for name in names]


def _share_table(title: str, estimates: Sequence[Estimate]) -> Table:
    rows: tuple[tuple[Cell, ...], ...] = tuple((each.name, each.n, each.interval) for each in estimates)
    return Table(title=title, note="share right with its 95% Wilson interval", columns=("", "n", "accuracy"), rows=rows)


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
