"""Benchmark items that must stay out of training: four looks at a text, from n words in a row to a paraphrase.

Formula  after one spelling of LaTeX (core/text/latex.py), a text hits an item by the layer
           ngram    n words in a row of the item, for items of at least n words
           whole    all words of a shorter item in a row; for an item under CONTAIN words the text must hold nothing else
           masked   either of the two once every number is the same word: copies with other numbers. Only items that keep `least` words
                    besides numbers and signs: "What is # + #?" is a stock phrase, and so is every n-gram of numbers
           near     the same numbers in digits, as often, and a cosine of embeddings at or above a threshold, for the same items: a
                    rewording keeps its numbers, and without this rule every problem of a kind is near to every other
Source   Llemma's 30-gram filter (arXiv 2310.10631) is the first layer; more than half of MATH test is shorter than 30 words, so the others
         (ours). Paraphrases pass n-grams: Yang et al. 2023 (2311.04850)
Flow     evals export the index -> [curate: annotate/contamination queries it] -> decide
Run      ItemIndex.build(questions, names, ItemRule(n=30)).query(texts)
Limits   The file holds hashes and, for `near`, one vector an item, no text; vectors may tell what an item is about. Hashed vectors see
         words, not meaning
Shapes   I items, T texts, D dimensions
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from skyloom.core.errors import BadInput
from skyloom.core.text.embed import HASHED, EmbedConfig, embed
from skyloom.core.text.latex import plain
from skyloom.core.text.ngrams import SIGNS, Columns, NgramIndex, Rule, load_columns, save_columns
from skyloom.core.text.normal import MASK, words

Layer = Literal["ngram", "whole", "masked", "near"]
LAYERS: tuple[Layer, ...] = get_args(Layer)
"""From the surest to the least sure."""
VERSION: int = 1
CONTAIN: int = 6
"""Shortest item, in words, that is looked for inside a longer text (ours)."""
GRID: int = 1 << 11
"""Steps of a unit: products of points of length 1 add up to less than 2^24, so 32-bit floats hold them exactly in any order."""
TILE: int = 1024
SHOWN: int = 240
"""Longest evidence, in characters."""
SILENT: frozenset[str] = frozenset([*SIGNS.split(), MASK])
HITS: dict[str, pl.DataType] = {
    "query": pl.UInt32(),  # position of the text
    "item": pl.String(),
    "layer": pl.String(),
    "evidence": pl.String(),  # what the text says there, in the spelling of core/text/latex.py
}
NUMBER: re.Pattern[str] = re.compile(r"\d+(?:\.\d+)?")
I16 = NDArray[np.int16]


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemRule:
    """What counts as a hit."""

    n: int = 30
    """Words in a row of layer `ngram`."""
    least: int = 8
    """Words besides numbers and signs that an item needs for `masked` and `near` (ours)."""
    model: str = HASHED
    """Embedding of `near`; see EmbedConfig."""

    def __post_init__(self) -> None:
        """Raise BadInput for lengths that find everything."""
        if self.n < 1 or self.least < 1:
            raise BadInput(f"item index: n and least must be at least 1, got {self.n} and {self.least}")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, repr=False)
class ItemIndex:
    """The items of some benchmarks, without their text."""

    rule: ItemRule
    literal: NgramIndex
    masked: NgramIndex
    point_ID: I16 = field(metadata={"unit": "1 / GRID"})
    """Zero for items that `near` leaves out."""
    numbers_I: NDArray[np.uint64]
    """Hash of the item's numbers."""

    @classmethod
    def build(cls, texts: Sequence[str], names: Sequence[str], rule: ItemRule) -> Self:
        """Index the items under their names. Raises BadInput where there is none, or none with a word: it would find every row clean."""
        said = [plain(text) for text in texts]
        if not any(map(words, said)):
            raise BadInput(f"item index: none of {len(said)} items has a word; a filter without items finds nothing")
        full = [text if spoken(text) >= rule.least else "" for text in said]
        return cls(
            rule=rule,
            literal=NgramIndex.build(said, Rule(n=rule.n, contain=CONTAIN), names),
            masked=NgramIndex.build(full, Rule(n=rule.n, contain=CONTAIN, masked=True), names),
            point_ID=_points(full, rule),
            numbers_I=_numbers(full),
        )

    def query(self, texts: Sequence[str], *, masked: bool = True, near: float | None = None) -> pl.DataFrame:
        """All hits with columns HITS, surest layer first; `near`: least cosine of that layer, above 0; None leaves it out."""
        said = [plain(text) for text in texts]
        found = [_told(self.literal.query(said), said, None)]
        if masked:
            found.append(_told(self.masked.query(said), said, "masked"))
        if near is not None:
            found.append(pl.DataFrame(list(self._near(said, near)), schema=HITS, orient="row"))
        return pl.concat(found)

    def save(self, path: Path) -> None:
        """Write an .npz without pickle."""
        save_columns(path, self._columns())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; raises BadInput for a missing, damaged or other file."""
        return load_columns(path, cls._from_columns, f"an item index of version {VERSION}")

    def _near(self, said: list[str], least: float) -> Iterator[tuple[int, str, str, str]]:
        if not 0 < least <= 1:
            raise BadInput(f"item index: near={least} must be above 0 and at most 1")
        number_T = _numbers(said)
        asked_T = np.flatnonzero(np.isin(number_T, self.numbers_I))  # no item holds the numbers of the others
        for start in range(0, len(asked_T), TILE):
            at_T = asked_T[start : start + TILE]
            point_TD = _points([said[t] for t in at_T.tolist()], self.rule).astype(np.float32)
            if point_TD.shape[1] != self.point_ID.shape[1]:
                raise BadInput(f"item index: made with another model than {self.rule.model}; build it again")
            found: list[tuple[int, float, int]] = []
            for number in np.unique(number_T[at_T]):
                same_T, same_I = np.flatnonzero(number_T[at_T] == number), np.flatnonzero(self.numbers_I == number)
                cosine_TI = point_TD[same_T] @ self.point_ID[same_I].T.astype(np.float32) / GRID**2
                for t, i in np.argwhere(cosine_TI >= least).tolist():
                    found.append((int(at_T[same_T[t]]), -min(float(cosine_TI[t, i]), 1.0), int(same_I[i])))
            for text, minus, item in sorted(found):  # the nearest item first
                yield text, self.literal.names_I[item], "near", f"{-minus:.3f}: {said[text][:SHOWN]}"

    def _columns(self) -> Columns:
        head = json.dumps({"version": VERSION, **asdict(self.rule)}, sort_keys=True)
        parts = {"literal": self.literal, "masked": self.masked}
        grams = {f"{name}.{key}": column for name, part in parts.items() for key, column in part.columns().items()}
        return {
            "items": np.frombuffer(head.encode(), np.uint8),
            "point": self.point_ID.astype("<i2"),
            "numbers": self.numbers_I.astype("<u8"),
            **grams,
        }

    @classmethod
    def _from_columns(cls, columns: Columns) -> Self:
        head: dict[str, Any] = json.loads(columns["items"].tobytes())  # Any: JSON
        if head.pop("version") != VERSION:
            raise ValueError("another version")
        literal, masked = (NgramIndex.from_columns(_part(columns, name)) for name in ("literal", "masked"))
        point_ID, numbers_I = columns["point"], columns["numbers"]
        if point_ID.dtype != np.int16 or point_ID.ndim != 2 or numbers_I.dtype != np.uint64:
            raise ValueError("points are no table of whole numbers")
        if literal.names_I != masked.names_I or {len(point_ID), numbers_I.size} != {len(literal.names_I)}:
            raise ValueError("its parts are about different items")
        return cls(rule=ItemRule(**head), literal=literal, masked=masked, point_ID=point_ID, numbers_I=numbers_I)


def spoken(text: str) -> int:
    """Words besides numbers and signs."""
    return sum(word not in SILENT for word in words(text, masked=True))


def _points(said: Sequence[str], rule: ItemRule) -> I16:
    """Zero for empty texts, of which a model would make a point like any other."""
    held: list[int] = [k for k, text in enumerate(said) if text]
    point_HD = np.rint(embed([said[k] for k in held], EmbedConfig(model=rule.model)) * GRID).astype(np.int16)
    point_TD = np.zeros((len(said), point_HD.shape[1]), np.int16)
    point_TD[held] = point_HD
    return point_TD


def _numbers(said: Sequence[str]) -> NDArray[np.uint64]:
    """Hash of each text's numbers in digits, whatever their order; spelled ones come and go in rewording."""
    held = (" ".join(sorted(NUMBER.findall(text.replace(",", "")))) for text in said)
    digests = [hashlib.blake2b(each.encode(), digest_size=8).digest() for each in held]
    return np.frombuffer(b"".join(digests), "<u8")


def _told(found: pl.DataFrame, said: Sequence[str], layer: Layer | None) -> pl.DataFrame:
    """Hits of an n-gram index with their words; without a layer, that of the rule that found them."""
    shown = [
        said[query][start : min(stop, start + SHOWN)]
        for query, start, stop in found.select("query", "start", "stop").iter_rows()
    ]
    by_rule = pl.when(pl.col("rule") == "ngram").then(pl.lit("ngram")).otherwise(pl.lit("whole"))
    told = found.with_columns(
        pl.Series("evidence", shown, dtype=pl.String), (pl.lit(layer) if layer else by_rule).alias("layer")
    )
    return told.select(*HITS)


def _part(columns: Columns, name: str) -> Columns:
    return {key.removeprefix(f"{name}."): column for key, column in columns.items() if key.startswith(f"{name}.")}
