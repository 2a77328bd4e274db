"""Benchmarks: the items, what counts as right, the null baselines, and the index that keeps the items out of training.

Formula  accuracy = right / items, with Wilson's interval; a null baseline answers without reading what is asked
Source   nulls are ours; greedy zero-shot answers graded by THE grader (Skywork-Math, arXiv 2407.08348, section 4)
Flow     evals/x.py: `items(config)`, `score(item, output)`; [evaluate] and the contamination index call them
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from skyloom.core.config import PluginConfig
from skyloom.core.metrics import Estimate
from skyloom.core.stats import wilson
from skyloom.core.text.ngrams import NgramIndex, Rule
from skyloom.mathqa.verify.grading import Verdict, grade

NUMBER: re.Pattern[str] = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?")
PLAIN: re.Pattern[str] = re.compile(r"(?:\\[dt]?frac|\\!|\\%|[\d\s$,./{}%+-])*")
"""A gold answer that is a plain number, in digits or LaTeX: the only kind that a null can hit but by the constant."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalConfig(PluginConfig):
    """Base config of a benchmark (`mathqa/evals/x.py`)."""

    limit: int = 0
    """Only the first so many items; 0: all. A cut benchmark says so in its name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One benchmark question."""

    id: str
    question: str
    answer: str
    level: int | None
    subject: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Graded:
    """An item with a model's output and the verdict on it."""

    item: Item
    output: str
    finished: bool
    """False where the output was cut at its longest length."""
    verdict: Verdict


def score(item: Item, output: str) -> Verdict:
    """THE grader on a whole output; a plug-in's own `score` is this unless the benchmark has rules of its own."""
    return grade(item.answer, output)


def limited(items: Sequence[Item], limit: int) -> tuple[Item, ...]:
    """The first `limit` items; all where it is 0."""
    return tuple(items[:limit] if limit else items)


def accuracy(name: str, graded: Sequence[Graded]) -> Estimate:
    """Share of items answered right."""
    return Estimate.of(name, wilson(sum(each.verdict.equal for each in graded), len(graded)))


def index_of(items: Sequence[Item], n: int) -> NgramIndex:
    """Hashed n-grams of the questions; an item of fewer words is found as a whole."""
    return NgramIndex.build([item.question for item in items], Rule(n=n), [item.id for item in items])


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
