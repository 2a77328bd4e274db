"""Which copies of benchmark problems does each contamination filter find, and how many harmless rows does it flag?

Question  Copies of MATH test problems are planted: exact, in another LaTeX style, short ones (under 30 words) alone and inside other
          text, with other numbers, reworded. Recall by kind and false alarms of our layers, of a 30-gram filter (Skywork-Math), and of
          one that takes any 8 words in a row (open-r1)
Rows      `per_kind` problems a kind, drawn anew for each; a kind draws from the problems that it changes (numbers need a number, rewording
          must change a word). Rewording is by rule: synonyms, other openings, other names, the last sentence first
Harmless  GSM8K train, which shares no problem with MATH. MATH train is shown beside it: rows that differ from a test problem in their
          numbers alone are there by nature, and whether these count as leaks is for the reader
Formula   recall = planted rows flagged / planted; Wilson's interval
Limits    Rewordings by rule are easier for words in a row, and harder for meaning, than a teacher's: read the row as a lower end
Command   python experiments/mathqa_decontamination.py --data DIR [--per-kind 500] [--seed 0] [--out FILE.json]
Layout    DIR/MATH/{train,test}.jsonl, DIR/gsm8k/train.jsonl
"""

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from skyloom.core import store
from skyloom.core.metrics import Estimate
from skyloom.core.records import Reject
from skyloom.core.rng import stream
from skyloom.core.stats import wilson
from skyloom.core.text.items import ItemIndex, ItemRule
from skyloom.core.text.ngrams import NgramIndex, Rule
from skyloom.core.text.normal import words
from skyloom.mathqa.annotate import contamination

SHORT: int = 30
NEAR: tuple[float, ...] = (0.6, 0.65, 0.7, 0.8)
SYNONYMS: dict[str, str] = {
    "find": "determine", "compute": "work out", "evaluate": "give the value of", "what is": "determine", "how many": "what number of",
    "let": "suppose that", "suppose": "assume", "given that": "if it is known that", "such that": "for which", "satisfies": "fulfils",
    "positive": "greater than zero", "integers": "whole numbers", "integer": "whole number", "the value of": "what equals",
    "greatest": "largest", "smallest": "least", "contains": "holds", "each": "every", "total": "overall", "equation": "relation",
    "solutions": "roots", "real": "real-valued", "express": "write", "simplest form": "lowest terms", "has": "possesses",
    "expand": "multiply out", "simplify": "bring to the simplest form", "factor": "split into factors", "sum": "total",
}  # fmt: skip
NAMES: tuple[str, ...] = ("Irena", "Tomas", "Wanda", "Kofi", "Lucia", "Yusuf", "Mirjam", "Pavel")
NUMBER: re.Pattern[str] = re.compile(r"(?<![A-Za-z])\d+")
NAME: re.Pattern[str] = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{2,}\b")
SENTENCE: re.Pattern[str] = re.compile(r"(?<=[.?!])\s+(?=[A-Z])")
SWAP: re.Pattern[str] = re.compile(
    rf"\b(?:{'|'.join(sorted(map(re.escape, SYNONYMS), key=len, reverse=True))})\b", re.I
)
Change = Callable[[str, np.random.Generator], str]
Filter = Callable[[Sequence[str]], set[int]]
"""Positions of the texts that it flags."""


class Found(NamedTuple):
    """One cell: a filter on one kind of rows."""

    filter: str
    kind: str
    share: Estimate


def same(text: str, rng: np.random.Generator) -> str:
    """An exact copy."""
    del rng
    return text


def restyled(text: str, rng: np.random.Generator) -> str:
    """The same problem as another author would type it."""
    del rng
    text = re.sub(r"\\frac(?![A-Za-z])", r"\\dfrac", text)
    for typed, other in ((r"\left", ""), (r"\right", ""), (r"\cdot", r"\times"), (r"\leq", r"\le"), (r"\geq", r"\ge")):
        text = re.sub(rf"{re.escape(typed)}(?![A-Za-z])", lambda _, other=other: other, text)
    return re.sub(r"\$([^$]+)\$", r"\\( \1 \\)", text).replace(" ", "  ")


def inside(text: str, rng: np.random.Generator) -> str:
    """The problem with words around it."""
    del rng
    return f"Here is a problem from my homework. {text} Please show every step of your work."


def renumbered(text: str, rng: np.random.Generator) -> str:
    """Every number becomes another with as many digits."""

    def other(found: re.Match[str]) -> str:
        low = 10 ** (len(found[0]) - 1) if len(found[0]) > 1 else 1
        span = 9 * 10 ** (len(found[0]) - 1)
        return str(low + (int(found[0]) - low + 1 + int(rng.integers(0, max(span - 1, 1)))) % span)

    return NUMBER.sub(lambda found: other(found) if len(found[0]) < 16 else found[0][::-1], text)


def reworded(text: str, rng: np.random.Generator) -> str:
    """Synonyms, other names, the last sentence first."""
    names: dict[str, str] = {}
    start = int(rng.integers(0, len(NAMES)))

    def named(found: re.Match[str]) -> str:
        return names.setdefault(found[0], NAMES[(start + len(names)) % len(NAMES)])

    def swapped(found: re.Match[str]) -> str:
        other = SYNONYMS[found[0].lower()]
        return other[0].upper() + other[1:] if found[0][0].isupper() else other

    parts = SENTENCE.split(SWAP.sub(swapped, NAME.sub(named, text)))
    return " ".join([parts[-1], *parts[:-1]])


def is_short(text: str) -> bool:
    """Whether a 30-gram can never match."""
    return len(words(text)) < SHORT


KINDS: dict[str, tuple[Change, Callable[[str], bool]]] = {
    "exact": (same, lambda _: True),
    "LaTeX style": (restyled, lambda _: True),
    "short, exact": (same, is_short),
    "short, inside text": (inside, is_short),
    "other numbers": (renumbered, lambda text: NUMBER.search(text) is not None),
    "short, other numbers": (renumbered, lambda text: NUMBER.search(text) is not None and is_short(text)),
    "reworded": (reworded, lambda text: SWAP.search(text) is not None),
    "short, reworded": (reworded, lambda text: SWAP.search(text) is not None and is_short(text)),
}


def filters(items: Sequence[str]) -> dict[str, Filter]:
    """Ours, layer upon layer, and the two of others."""
    index = ItemIndex.build(items, [str(k) for k in range(len(items))], ItemRule())

    def ours(masked: bool, near: float | None = None) -> Filter:
        return lambda texts: set(index.query(texts, masked=masked, near=near)["query"].to_list())

    return {
        "30-gram (paper)": any_gram(items, 30),
        "8-gram (any hit)": any_gram(items, 8),
        "ours: 30-gram + whole": ours(False),
        "ours: + numbers masked": ours(True),
        **{
            f"ours: + near {least}{' (default)' if least == contamination.Config().near else ''}": ours(True, least)
            for least in NEAR
        },
    }


def any_gram(items: Sequence[str], n: int) -> Filter:
    """Any n words in a row of an item; an item of fewer words is never hit."""
    index = NgramIndex.build([text if len(words(text)) >= n else "" for text in items], Rule(n=n, contain=n))
    return lambda texts: set(index.query(texts)["query"].to_list())


def measure(data: Path, per_kind: int, seed: int) -> list[Found]:
    """Every filter on every kind of planted row and on the pools."""
    items = _texts(data / "MATH" / "test.jsonl", "problem")
    planted: dict[str, list[str]] = {}
    for kind, (change, fits) in KINDS.items():
        rng = stream(seed, "decontamination", kind)
        pool = [text for text in items if fits(text)]
        drawn = rng.choice(len(pool), min(per_kind, len(pool)), replace=False).tolist()
        planted[kind] = [change(pool[k], rng) for k in drawn]
    pools = {
        "GSM8K train": _texts(data / "gsm8k" / "train.jsonl", "question"),
        "MATH train": _texts(data / "MATH" / "train.jsonl", "problem"),
    }
    return [
        Found(name, kind, Estimate.of(kind, wilson(len(flags(texts)), len(texts))))
        for name, flags in filters(items).items()
        for kind, texts in {**planted, **pools}.items()
    ]


def show(found: Sequence[Found]) -> str:
    """A Markdown table: a line a filter, per cent with the interval."""
    kinds = list(dict.fromkeys(each.kind for each in found))
    lines = [f"| filter | {' | '.join(kinds)} |", f"|---|{'---|' * len(kinds)}"]
    for name in dict.fromkeys(each.filter for each in found):
        cells = [each.share for each in found if each.filter == name]
        told = [f"{100 * cell.value:.1f} ({100 * cell.low:.1f} to {100 * cell.high:.1f})" for cell in cells]
        lines.append(f"| {name} | {' | '.join(told)} |")
    sizes = ", ".join(f"{kind} {each.share.n:,}" for kind in kinds for each in found[: len(kinds)] if each.kind == kind)
    return "\n".join([*lines, "", f"n: {sizes}"])


def _texts(path: Path, field: str) -> list[str]:
    return [store.text_field(raw.data, field) for raw in store.read_json_rows(path) if not isinstance(raw, Reject)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--per-kind", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    found = measure(told.data, told.per_kind, told.seed)
    print(show(found))  # noqa: T201 - what the command is for
    if told.out is not None:
        rows = [{"filter": each.filter, "kind": each.kind, **each.share.to_json()} for each in found]
        store.write_json(told.out, rows)


if __name__ == "__main__":
    main()
