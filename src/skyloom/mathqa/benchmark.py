"""Benchmarks: the items, what counts as right, the null baselines, and the index that keeps the items out of training.

Formula  accuracy = right / items, with Wilson's interval; a null baseline answers without reading what is asked
Source   nulls are ours; greedy zero-shot answers graded by THE grader (Skywork-Math, arXiv 2407.08348, section 4)
Flow     evals/x.py: `items(config)`, `recognises(row, file)`, optional `inputs(config)`, `SOURCE` (whose test split it is) and
         `EVALUATION_ONLY` (why no source may train on it); [evaluate] and the contamination index call them
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import polars as pl

from skyloom.core import registry
from skyloom.core.config import PluginConfig
from skyloom.core.errors import BadInput
from skyloom.core.metrics import Cell, Estimate, Table
from skyloom.core.stats import wilson
from skyloom.core.text.embed import HASHED
from skyloom.core.text.items import LAYERS, ItemIndex, ItemRule
from skyloom.mathqa.verify.grading import Verdict, grade

NUMBER: re.Pattern[str] = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?")
PLAIN: re.Pattern[str] = re.compile(r"(?:\\[dt]?frac|\\!|\\%|[\d\s$,./{}%+-])*")
"""A gold answer that is a plain number, in digits or LaTeX: the only kind that a null can hit but by the constant."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalConfig(PluginConfig):
    """Base config of a benchmark (`mathqa/evals/x.py`)."""

    limit: int = 0
    """Only the first so many items; 0: all. A cut benchmark says so in its name."""

    def __post_init__(self) -> None:
        """Raise ValueError for a limit that would cut from the end."""
        if self.limit < 0:
            raise ValueError(f"limit={self.limit} must be 0 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One benchmark question."""

    id: str
    question: str
    answer: str
    level: int | None
    subject: str
    solution: str = ""
    """The reference solution in the training format, its last line `The answer is X`; empty where the benchmark has none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Graded:
    """An item with a model's output and the verdict on it."""

    item: Item
    output: str
    finished: bool
    """False where the output was cut at its longest length."""
    verdict: Verdict
    failed: str = ""
    """Why the model was not asked, or gave nothing; empty: it answered. Such an item counts as not right, and is named."""
    nll: float | None = None
    """Nats per token of the reference solution; None: it has none, or nobody could score it."""


def items_of(config: EvalConfig) -> tuple[Item, ...]:
    """A benchmark's items. Raises BadInput where there is none, or two share an id."""
    found: tuple[Item, ...] = registry.module_of(config).items(config)
    if not found:
        raise BadInput(f"{name_of(config)}: an empty benchmark; check its file and --limit")
    twice = [name for name, count in Counter(item.id for item in found).items() if count > 1]
    if twice:
        raise BadInput(f"{name_of(config)}: {len(twice)} ids stand twice, first {twice[0]!r}; give every item its own")
    return found


def plain_name(config: EvalConfig) -> str:
    """What a benchmark and its files are called: its plug-in's name, or the one that the config gives."""
    return str(getattr(config, "name", "") or registry.module_of(config).NAME)


def name_of(config: EvalConfig) -> str:
    """The name in reports; says so where only the first items are used."""
    name: str = plain_name(config)
    return f"{name} (first {config.limit})" if config.limit else name


def limited(items: Sequence[Item], limit: int) -> tuple[Item, ...]:
    """The first `limit` items; all where it is 0."""
    return tuple(items[:limit] if limit else items)


def accuracy(name: str, graded: Sequence[Graded]) -> Estimate:
    """Share of items answered right."""
    return Estimate.of(name, wilson(sum(each.verdict.equal for each in graded), len(graded)))


def index_of(items: Sequence[Item], n: int, model: str = HASHED) -> ItemIndex:
    """What keeps the questions out of training: hashed n-grams, whole short items, the same without numbers, and points of `model`.

    Raises BadInput where there is no item, or one stands twice."""
    if not items:
        raise BadInput("evaluate.benchmarks: no item to keep out of training; name a benchmark that has some")
    twice: str = next((name for name, count in Counter(item.id for item in items).items() if count > 1), "")
    if twice:
        raise BadInput(f"evaluate.benchmarks: item {twice} stands twice; name each benchmark once")
    return ItemIndex.build([item.question for item in items], [item.id for item in items], ItemRule(n=n, model=model))


def leaks_by_level(items: Sequence[Item], hits_N: pl.DataFrame, kept_N: pl.Series) -> Table:
    """Items of each level that rows show, by layer: before curation, and in the rows that it kept.

    `hits_N`: the columns contamination.<layer>, lists of item ids; `kept_N`: bool, which rows curation kept.
    """
    hit: dict[str, set[str]] = {layer: _items_in(hits_N, layer) for layer in LAYERS}
    left: dict[str, set[str]] = {layer: _items_in(hits_N.filter(kept_N), layer) for layer in LAYERS}
    groups: dict[int | None, set[str]] = {}
    for item in items:
        groups.setdefault(item.level, set()).add(item.id)
    rows: list[tuple[Cell, ...]] = []
    for level, ids in sorted(groups.items(), key=lambda group: (group[0] is None, group[0] or 0)):
        shown = set[str]().union(*hit.values()) & ids
        still = set[str]().union(*left.values()) & ids
        counts: list[Cell] = [len(hit[layer] & ids) for layer in LAYERS]
        name = "none" if level is None else f"level {level}"
        rows.append((name, len(ids), *counts, wilson(len(shown), len(ids)), wilson(len(still), len(ids))))
    return Table(
        title="Benchmark items that training rows show",
        note="items hit by at least one row made, by layer and by any; by rows kept: what the layers that do not drop have left",
        columns=("level", "items", *LAYERS, "any layer", "by rows kept"),
        rows=tuple(rows),
    )


def _items_in(hits_N: pl.DataFrame, layer: str) -> set[str]:
    return set(hits_N[f"contamination.{layer}"].explode().drop_nulls().to_list())


def nulls(items: Sequence[Item]) -> tuple[Estimate, ...]:
    """Accuracy of answers that need no understanding, best first; the constant knows the gold answers and is an upper bound."""
    constant: str = Counter(item.answer for item in items).most_common(1)[0][0]
    rules: dict[str, Callable[[Sequence[Fraction]], str]] = {
        "last number": lambda numbers: str(numbers[-1]),
        "first number": lambda numbers: str(numbers[0]),
        "largest number": lambda numbers: str(max(numbers)),
        "smallest number": lambda numbers: str(min(numbers)),
        "sum of all numbers": lambda numbers: str(sum(numbers)),
    }
    told: Mapping[str, list[str]] = {
        name: [rule(numbers) if (numbers := numbers_in(item.question)) else "" for item in items]
        for name, rule in rules.items()
    }
    answers: dict[str, list[str]] = {f"always {_short(constant)}": [constant] * len(items), **told}
    found: list[Estimate] = [
        Estimate.of(name, wilson(sum(_equal(i.answer, a) for i, a in zip(items, given, strict=True)), len(items)))
        for name, given in answers.items()
    ]
    return tuple(sorted(found, key=lambda estimate: (-estimate.value, estimate.name)))


def numbers_in(question: str) -> list[Fraction]:
    """Numbers written in digits, in order; a sign or a slash before one does not count as part of it."""
    return [Fraction(text.replace(",", "")) for text in NUMBER.findall(question)]


def _equal(gold: str, answer: str) -> bool:
    """THE grader's verdict; a gold with letters or roots in it is not asked about, since no number of a question equals it."""
    return bool(answer) and (gold == answer or (PLAIN.fullmatch(gold) is not None and grade(gold, answer).equal))


def _short(text: str) -> str:
    return text if len(text) <= 20 else f"{text[:17]}..."
