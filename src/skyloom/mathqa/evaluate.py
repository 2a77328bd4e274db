"""Evaluation: ask the model, grade, and report accuracy by level and subject beside what needs no model at all.

Formula  accuracy = items graded equal / items, Wilson interval; greedy decoding, zero-shot, the prompt of training
Source   Skywork-Math (arXiv 2407.08348, section 4); its strict string match is replaced by THE grader
Flow     collect -> synthesize -> curate -> train -> [evaluate] -> report
Run      skyloom mathqa eval --data FILE --model MODEL --out DIR
Layout   results.json tables.json plots.json; outputs-<benchmark>.jsonl: every question, output and verdict
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from skyloom.core import registry, store
from skyloom.core.llm.backbones import load_backbone, load_tokenizer
from skyloom.core.llm.config import TINY, BackboneConfig, GenerateConfig
from skyloom.core.llm.generate import generate
from skyloom.core.llm.templates import render_prompt
from skyloom.core.metrics import Cell, Estimate, Evaluation, Plot, Series, Table
from skyloom.core.stats import wilson
from skyloom.mathqa.benchmark import EvalConfig, Graded, Item, accuracy, nulls
from skyloom.mathqa.records import chat
from skyloom.mathqa.world.grammar import solve
from skyloom.mathqa.world.problems import problems

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


def load(config: BackboneConfig, seed: int) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A model and its tokenizer; `tiny` has random weights and a tokenizer of the world's train problems."""
    corpus: list[str] | None = None
    if config.model == TINY:
        corpus = [f"{posed.text}\n{solve(posed).text}" for posed in problems("train", seed, WORLD_TEXTS)]
    tokenizer = load_tokenizer(config, corpus)
    return load_backbone(config, tokenizer, seed=seed), tokenizer


def write_answers(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, items: Sequence[Item], config: GenerateConfig, seed: int
) -> list[Output]:
    """One output an item, in order."""
    prompts: list[list[int]] = [render_prompt(tokenizer, chat(item.question)) for item in items]
    return [Output(reply.text, reply.finished) for reply in generate(model, tokenizer, prompts, config, seed=seed)]


def grade_all(config: EvalConfig, items: Sequence[Item], outputs: Sequence[Output]) -> tuple[Graded, ...]:
    """Every item with its verdict, by the benchmark's own `score`."""
    module: ModuleType = registry.module_of(config)
    return tuple(
        Graded(item=item, output=output.text, finished=output.finished, verdict=module.score(item, output.text))
        for item, output in zip(items, outputs, strict=True)
    )


def report_on(name: str, graded: Sequence[Graded]) -> Report:
    """Headline, nulls, levels, subjects and examples of one benchmark."""
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
    evaluation = Evaluation(headline=accuracy(f"{name} accuracy", graded), baselines=nulls(items), others=others)
    tables: list[Table] = [_share_table(f"{name}: accuracy by level", levels)] if levels else []
    tables.append(_share_table(f"{name}: accuracy by subject", _by(graded, lambda each: each.item.subject)))
    tables.append(_share_table(f"{name}: answers without a model", evaluation.baselines))
    tables += [_rule_table(name, graded), _example_table(name, graded)]
    plots: tuple[Plot, ...] = (_level_plot(name, levels),) if levels else ()
    return Report(evaluation, tuple(tables), plots)


def write_outputs(path: Path, graded: Sequence[Graded]) -> None:
    """Every output, one JSON object a line."""
    rows = [
        {
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
        for each in graded
    ]
    store.write_jsonl(path, rows)


def outputs_file(folder: Path, config: EvalConfig) -> Path:
    """Where a benchmark's outputs stand."""
    return folder / f"outputs-{registry.module_of(config).NAME}.jsonl"


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
