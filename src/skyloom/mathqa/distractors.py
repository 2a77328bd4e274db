"""Distractors: irrelevant sentences with numbers in a question whose answer stays the same.

Formula  the sentences of evals/distractors.toml in an order drawn from (seed, item); those that hold a number of the gold answer are
         passed over; the first d go, in that order, before the question's last sentence. So d sentences contain those of fewer
Source   the robustness study of Skywork-Math (arXiv 2407.08348): GSM8K accuracy of its Mistral 83.93 -> 67.01 at 5, of GPT-4-Turbo
         90.5 -> 85.4; sentences, place and draw are ours
Flow     collect -> synthesize -> curate -> train -> [evaluate] -> report
Run      skyloom mathqa eval --data FILE --model MODEL --out DIR --set "distractors=[1,3,5]"
Limits   English. A sentence ends at . ! or ? before a blank and a capital, a digit or a formula, never inside a formula.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from skyloom.core.metrics import Cell, Estimate, Plot, Series, Table
from skyloom.core.rng import stream
from skyloom.core.stats import mcnemar, paired_bootstrap, wilson
from skyloom.mathqa.benchmark import Item, numbers_in

FILE: Path = Path(__file__).parent / "evals" / "distractors.toml"
FORMULA: re.Pattern[str] = re.compile(r"\[asy\].*?\[/asy\]|\$\$.*?\$\$|\$.*?\$|\\\[.*?\\\]|\\\(.*?\\\)", re.S)
BREAK: re.Pattern[str] = re.compile(r"(?<![A-Z])(?<!Mr)(?<!Mrs)(?<!Ms)(?<!Dr)(?<!St)[.!?][\"')]*\s+(?=[A-Z\d$\\\"'(])")


@cache
def sentences() -> tuple[str, ...]:
    """Every distractor, as the file orders them."""
    return tuple(tomllib.loads(FILE.read_text(encoding="utf-8"))["sentences"])


def chosen(item: Item, count: int, seed: int) -> list[str]:
    """The item's first `count` distractors; none holds a number of its gold answer."""
    gold = frozenset(numbers_in(item.answer))
    order = stream(seed, "mathqa.distractors", item.id).permutation(len(sentences()))
    fitting = [text for place in order.tolist() if not gold & frozenset(numbers_in(text := sentences()[place]))]
    return fitting[:count]


def distracted(item: Item, count: int, seed: int) -> str:
    """The item's question with `count` distractors before its last sentence; before all of it where it has one sentence."""
    at = last_sentence(item.question)
    return f"{item.question[:at]}{' '.join(chosen(item, count, seed))} {item.question[at:]}"


def last_sentence(question: str) -> int:
    """Where the last sentence begins; 0 where there is one."""
    spans = [hit.span() for hit in FORMULA.finditer(question)]
    places = [hit.end() for hit in BREAK.finditer(question)]
    outside = [at for at in places if not any(start < at < end for start, end in spans)]
    return outside[-1] if outside else 0


def report(
    name: str, plain_N: Sequence[bool], by_count: Mapping[int, Sequence[bool]], seed: int
) -> tuple[list[Estimate], Table, Plot]:
    """Accuracy by number of distractors, each against the plain questions, as estimates, a table and a plot.

    `plain_N`, and `by_count` by number: which items were answered right, in one order.
    """
    rows: list[tuple[Cell, ...]] = [(0, wilson(sum(plain_N), len(plain_N)), None, None)]
    base_N = np.asarray(plain_N, dtype=np.float64)
    for count, right in sorted(by_count.items()):
        right_N = np.asarray(right, dtype=np.float64)
        rng = stream(seed, "mathqa.distractors", "report", count)
        gap = paired_bootstrap(right_N, base_N, rng) if len(base_N) > 1 else None
        test = mcnemar(int((right_N > base_N).sum()), int((right_N < base_N).sum()))
        rows.append((count, wilson(float(right_N.sum()), len(right_N)), gap, test.p))
    note = (
        "irrelevant sentences with numbers before the question's last sentence; the same items, greedy; difference to none: paired "
        "bootstrap over the items; p: McNemar mid-p"
    )
    columns = ("distractors", "accuracy", "difference to none", "p")
    table = Table(title=f"{name}: accuracy with distractors", note=note, columns=columns, rows=tuple(rows))
    spans = [wilson(sum(right), len(right)) for _, right in sorted({0: plain_N, **by_count}.items())]
    x = tuple(float(count) for count in sorted({0, *by_count}))
    y, low, high = (tuple(float(each[k]) for each in spans) for k in range(3))
    series = (Series(name=name, x=x, y=y, low=low, high=high),)
    plot = Plot(title=f"{name}: accuracy with distractors", x="irrelevant sentences", y="share right", series=series)
    counts = sorted(by_count)
    shown = [
        Estimate.of(f"{name} accuracy with {k} distractor{'s' * (k > 1)}", wilson(sum(by_count[k]), len(plain_N)))
        for k in counts
    ]
    return shown, table, plot
