"""Near duplicates: which pairs are nearly the same pair, which of them contradict one another, and which prompts are nearly the same.

Each row names the earlier row that it resembles, and how much: what a decider drops can be looked at.

Formula  two pairs are near when J >= threshold, J the exact Jaccard index of the sets of three words in a row of prompt and both sides
         (a union, so swapped sides change nothing); when each side says the same as its partner, straight or crossed: the Jaccard index
         of their words is at least SIDE, and ALIKE with spellings forgiven (a long prompt, or one side in common, makes no copy: what
         is left to differ is often the fact that was asked for); and, with `siblings`, when their prompts ask the same: templates with
         other content (another number, name, object) are no copies. Prompts ask different things when each holds a word that the other
         lacks, spelling variants aside, or when one says "not" more often. A near pair contradicts itself when its prompts ask the
         same, the crossed sides are at most half as far apart as the straight ones (distance 1 - J of three words in a row, mean of the
         two), and crossed sides differ by no more than prompts may
Source   core/text/minhash.py finds the candidates (Broder 1997); the rules for siblings and contradictions are ours
Flow     collect -> [curate: ANNOTATE -> decide -> materialise] -> train; a fit over the rows still alive
Run      skyloom run skywork_clean --smoke
Limits   Misses 1 in 1,000 pairs at the threshold, fewer above it; paraphrases are not found. Negations are known in English only. On
         real pairs a reader called some half of the findings copies and a tenth wrong (EXPERIMENTS.md): look before you drop
Shapes   N rows of the ledger, E distinct pairs (normal form, sides in any order), T texts, M near pairs
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from skyloom.core.ledger.annotate import AnnotatorConfig
from skyloom.core.text import minhash
from skyloom.core.text.minhash import Rule, Words
from skyloom.core.text.normal import words

KIND: str = "fit"
READS: tuple[str, ...] = ("row", "prompt", "chosen", "rejected")
WRITES: dict[str, pl.DataType] = {
    "near.cluster": pl.Int64(),  # chains of near pairs; the position of the first member
    "near.like": pl.Int64(),  # row key of the earlier row that it resembles; null for none
    "near.jaccard": pl.Float64(),  # to that row, threshold to 1; null for none
    "near.contradicts": pl.Boolean(),  # near to a row with the other label, earlier or later
    "near.prompt_cluster": pl.Int64(),  # likewise over prompts alone, siblings included: folds keep them together
}
CHUNK: int = 4096
"""Rows whose words stand in memory at once."""
MOST_WORDS: int = 1 << 24
"""Words of the candidates that are verified at once: about 0.5 GB of shingles."""
TURN: int = 0x9E3779B97F4A7C15
"""Turn k of a prompt counts with the k-th power of this odd number: swapped turns are another prompt."""
VARIANT: float = 0.75
"""Smallest difflib ratio of two spellings of a word (ours)."""
SIDE: float = 0.5
"""Least resemblance of the sides of near pairs. Two models' answers to one prompt share about a quarter of their words (ours)."""
ALIKE: float = 0.75
"""The same once spellings are forgiven: what is left to differ is often the fact that is asked for, a year or a name (ours)."""
FORGIVEN: int = 8
"""Words that may be other spellings in a side of any length."""
TIE: float = 1e-12
NEGATIONS: frozenset[str] = frozenset({"no", "not", "never", "without"})
IRREGULAR: dict[str, str] = {"can't": "can", "won't": "will"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """What counts as near."""

    threshold: float = 0.8
    """Smallest Jaccard index, above 0 and at most 1."""
    shingle: int = 3
    """Words in a row that make one member of a set, at least 1."""
    siblings: bool = True
    """True keeps pairs apart whose prompts ask different things, however much text they share; False goes by Jaccard alone."""


class Near(NamedTuple):
    """Pairs of rows that are near, the earlier one first."""

    first_M: NDArray[np.int64]
    second_M: NDArray[np.int64]
    jaccard_M: NDArray[np.float64]
    order_M: NDArray[np.int8]
    """1 where chosen resembles chosen, -1 where the sides are crossed, 0 where neither is clear or the prompts ask different things."""


class _Sketches(NamedTuple):
    pair_NK: NDArray[np.uint32]
    prompt_NK: NDArray[np.uint32]
    digest_N3: NDArray[np.uint64]
    """Prompt, chosen, rejected in normal form."""
    words_N2: NDArray[np.int64]
    """Of the whole pair and of its prompt."""


def fit(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Clusters, the row that each resembles, contradictions. Raises BadInput for a threshold outside (0, 1]."""
    rule = Rule(threshold=config.threshold, shingle=config.shingle)
    if not rows_N.height:
        return pl.DataFrame(schema=WRITES)
    told = _sketches(rows_N, rule)
    first_N, both_N = _equals(told.digest_N3)
    near = _near(rows_N, told, np.unique(first_N), rule, config.siblings)
    like_N, jaccard_N = _likes(near, first_N)
    contradicts_N = both_N.copy()
    # A row that stands there in both orders contradicts whatever resembles it in one of them.
    crosses_M = (near.order_M < 0) | ((near.order_M > 0) & (both_N[near.first_M] | both_N[near.second_M]))
    contradicts_N[near.first_M[crosses_M]] = contradicts_N[near.second_M[crosses_M]] = True
    own_N2 = np.stack([first_N, np.arange(rows_N.height)], axis=1)
    return pl.DataFrame(
        {
            "near.cluster": minhash.clusters(
                np.concatenate([own_N2, np.stack([near.first_M, near.second_M], axis=1)]), rows_N.height
            ),
            "near.like": rows_N["row"].gather(pl.Series(like_N).replace(-1, None)),
            "near.jaccard": pl.Series(jaccard_N, nan_to_null=True),
            "near.contradicts": contradicts_N[first_N],
            "near.prompt_cluster": _prompt_clusters(rows_N, told, rule),
        },
        schema=WRITES,
    )


def ask_the_same(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two prompts, as words, ask for the same thing: one only adds words, or what differs are spellings."""
    left, right = _differences(_expanded(one), _expanded(other))
    negations = (sum(words[word] for word in NEGATIONS) for words in (left, right))
    return len(set(negations)) == 1 and not (left and right)


def say_the_same(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two sides, as words, are nearly one text: Jaccard index of their words, counted, at least ALIKE when spellings are
    forgiven; or one only adds words, or what differs are spellings."""
    left, right = _expanded(one), _expanded(other)
    count, more = Counter(left), Counter(right)
    lacks, adds, common = (count - more).total(), (more - count).total(), (count & more).total()
    if common >= ALIKE * (common + lacks + adds):
        return True
    if min(lacks, adds) > max(FORGIVEN, (1 - ALIKE) * min(len(left), len(right))):  # spares a long comparison
        return False
    lacking, adding = _differences(left, right)
    common = min(len(left) - lacking.total(), len(right) - adding.total())
    return common >= ALIKE * (common + lacking.total() + adding.total()) or ask_the_same(one, other)


def _differences(one: Sequence[str], other: Sequence[str]) -> tuple[Counter[str], Counter[str]]:
    """The words that only the one has and those that only the other has, without spellings of one word."""
    lacks, adds = Counter(one), Counter(other)
    lacks, adds = lacks - adds, adds - lacks
    if lacks and adds:
        for tag, i, i_stop, k, k_stop in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
            for left, right in _couples(one[i:i_stop], other[k:k_stop]) if tag == "replace" else ():
                if _variants("".join(left), "".join(right)):
                    lacks.subtract(left)
                    adds.subtract(right)
    return +lacks, +adds


def _expanded(prompt: Sequence[str]) -> list[str]:
    """Contractions with not as two words: what is left of "can" and "can't" is a negation."""
    parts: list[str] = []
    for word in prompt:
        if word == "cannot" or word.endswith("n't"):
            parts += [IRREGULAR.get(word, word[:-3]), "not"]
        else:
            parts.append(word)
    return parts


def _couples(left: Sequence[str], right: Sequence[str]) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    """Word against word where the counts agree, else all against all ("cannot" and "can not")."""
    if len(left) != len(right):
        yield left, right
        return
    yield from (([one], [other]) for one, other in zip(left, right, strict=True))


def _variants(one: str, other: str) -> bool:
    """Spellings of one word: colour and color, but neither million and billion nor 12 and 13."""
    one, other = one.replace("'", ""), other.replace("'", "")
    if one[:1] != other[:1] or any(sign.isdigit() for sign in one + other):
        return False
    return SequenceMatcher(None, one, other, autojunk=False).ratio() >= VARIANT


def _texts(rows: pl.DataFrame) -> tuple[pl.Series, NDArray[np.int64]]:
    """All texts end to end, a row's turns and then its sides; N + 1 offsets."""
    turns = pl.col("prompt").list.eval(pl.element().struct.field("content"))
    text_N = rows.select(pl.concat_list(turns, "chosen", "rejected").alias("text"))["text"]
    start_N = np.concatenate([[0], np.cumsum(text_N.list.len().to_numpy(), dtype=np.int64)])
    return text_N.explode(), start_N


def _sketches(rows_N: pl.DataFrame, rule: Rule) -> _Sketches:
    parts = [_sketched(rows_N[start : start + CHUNK], rule) for start in range(0, rows_N.height, CHUNK)]
    return _Sketches(*map(np.concatenate, zip(*parts, strict=True)))


def _sketched(rows: pl.DataFrame, rule: Rule) -> _Sketches:
    texts, start = _texts(rows)
    cut = Words.of(texts)
    signature_TK, digest_T = minhash.sketch(cut, rule)
    sides = start[1:] - 2
    place_T = np.arange(len(texts)) - np.repeat(start[:-1], np.diff(start))
    power_T = np.cumprod(np.full(place_T.max() + 2, TURN, np.uint64))[place_T]
    prompt = np.add.reduceat(digest_T * power_T, _edges(start[:-1], sides))[::2]
    return _Sketches(
        np.minimum.reduceat(signature_TK, start[:-1]),
        np.minimum.reduceat(signature_TK, _edges(start[:-1], sides))[::2],
        np.stack([prompt, digest_T[sides], digest_T[sides + 1]], axis=1),
        np.stack(
            [
                np.add.reduceat(cut.count_T, start[:-1]),
                np.add.reduceat(cut.count_T, _edges(start[:-1], sides))[::2],
            ],
            axis=1,
        ),
    )


def _edges(start: NDArray[np.int64], stop: NDArray[np.int64]) -> NDArray[np.int64]:
    """Start and stop in turns: every second piece between them is a piece [start, stop)."""
    return np.stack([start, stop], axis=1).ravel()


def _equals(digest_N3: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For each row, the first row with the same normal form, sides in any order; whether both orders stand there."""
    low_N, high_N = digest_N3[:, 1:].min(axis=1), digest_N3[:, 1:].max(axis=1)
    frame = pl.DataFrame({"prompt": digest_N3[:, 0], "low": low_N, "high": high_N})
    order = pl.Series(digest_N3[:, 1] <= digest_N3[:, 2])
    both_N = frame.with_columns(order.alias("order")).select(pl.col("order").n_unique().over(frame.columns) > 1)
    return _firsts(frame), both_N.to_series().to_numpy()


def _firsts(keys_N: pl.DataFrame) -> NDArray[np.int64]:
    """For each row, the position of the first row with the same keys."""
    at_N = keys_N.with_row_index("at").select(pl.col("at").min().over(keys_N.columns).cast(pl.Int64))
    return at_N.to_series().to_numpy()


def _near(rows_N: pl.DataFrame, told: _Sketches, row_E: NDArray[np.int64], rule: Rule, siblings: bool) -> Near:
    """Every verified pair of distinct pairs."""
    pair_M2 = row_E[minhash.candidates(told.pair_NK[row_E], rule)]
    nothing = np.empty(0, np.int64)
    found = [
        Near(nothing, nothing, nothing.astype(np.float64), nothing.astype(np.int8)),
        *(
            _verified(rows_N, told.digest_N3[:, 0], block_M2, rule, siblings)
            for block_M2 in minhash.blocks(pair_M2, told.words_N2[:, 0], MOST_WORDS)
        ),
    ]
    return Near(*map(np.concatenate, zip(*found, strict=True)))


def _verified(
    rows_N: pl.DataFrame, prompt_N: NDArray[np.uint64], pair_M2: NDArray[np.int64], rule: Rule, siblings: bool
) -> Near:
    rows, at_M = np.unique(pair_M2, return_inverse=True)
    one_M, other_M = at_M.reshape(-1, 2).T
    texts, start = _texts(rows_N[rows])
    cut = Words.of(texts)
    whole = minhash.sets(cut, start[:-1], start[1:], rule)
    jaccard_M = minhash.jaccards(whole, one_M, whole, other_M)
    keep_M = jaccard_M >= rule.threshold - TIE
    pair_M2, one_M, other_M, jaccard_M = pair_M2[keep_M], one_M[keep_M], other_M[keep_M], jaccard_M[keep_M]
    keep_M = _sides_pair(cut, start, one_M, other_M)
    pair_M2, one_M, other_M, jaccard_M = pair_M2[keep_M], one_M[keep_M], other_M[keep_M], jaccard_M[keep_M]
    asked = _Asked(texts, start)
    keep_M = np.fromiter(
        (asked.sides_pair(one, other) for one, other in zip(one_M.tolist(), other_M.tolist(), strict=True)),
        np.bool_,
        len(one_M),
    )
    pair_M2, one_M, other_M, jaccard_M = pair_M2[keep_M], one_M[keep_M], other_M[keep_M], jaccard_M[keep_M]
    same_M = np.fromiter(
        (
            digest == other_digest or ask_the_same(asked.of(one), asked.of(other))
            for digest, other_digest, one, other in zip(
                prompt_N[pair_M2[:, 0]], prompt_N[pair_M2[:, 1]], one_M.tolist(), other_M.tolist(), strict=True
            )
        ),
        np.bool_,
        len(pair_M2),
    )
    chosen, rejected = (minhash.sets(cut, start[1:] - k, start[1:] - k + 1, rule) for k in (2, 1))

    def apart(left: minhash.Sets, right: minhash.Sets) -> NDArray[np.float64]:
        return 1 - minhash.jaccards(left, one_M, right, other_M)

    straight_M = apart(chosen, chosen) + apart(rejected, rejected)
    crossed_M = apart(chosen, rejected) + apart(rejected, chosen)
    parallel_M, crosses_M = straight_M < crossed_M / 2 + TIE, crossed_M < straight_M / 2 + TIE
    for m in np.flatnonzero(crosses_M).tolist():
        crosses_M[m] = asked.sides_cross(int(one_M[m]), int(other_M[m]))
    order_M = (parallel_M.astype(np.int8) - crosses_M.astype(np.int8)) * same_M
    keep_M = same_M if siblings else np.ones_like(same_M)
    return Near(pair_M2[keep_M, 0], pair_M2[keep_M, 1], jaccard_M[keep_M], order_M[keep_M])


def _sides_pair(
    cut: Words, start: NDArray[np.int64], one_M: NDArray[np.int64], other_M: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether both sides resemble their partners, straight or crossed."""
    chosen, rejected = (minhash.sets(cut, start[1:] - k, start[1:] - k + 1, Rule(shingle=1)) for k in (2, 1))

    def alike(left: minhash.Sets, right: minhash.Sets) -> NDArray[np.bool_]:
        return minhash.jaccards(left, one_M, right, other_M) >= SIDE - TIE

    straight_M = alike(chosen, chosen) & alike(rejected, rejected)
    return straight_M | (alike(chosen, rejected) & alike(rejected, chosen))


class _Asked:
    """The words of prompts, cut when they are asked for."""

    def __init__(self, texts: pl.Series, start: NDArray[np.int64]) -> None:
        self._texts, self._start, self._words = texts, start, dict[int, list[str]]()

    def sides_pair(self, one: int, other: int) -> bool:
        """Whether each side says the same as its partner, straight or crossed."""
        (chosen, rejected), (other_chosen, other_rejected) = (self._sides(row) for row in (one, other))
        return (say_the_same(chosen, other_chosen) and say_the_same(rejected, other_rejected)) or (
            say_the_same(chosen, other_rejected) and say_the_same(rejected, other_chosen)
        )

    def sides_cross(self, one: int, other: int) -> bool:
        """Whether each side says exactly what the other's partner says: an answer with another name or number may well lose."""
        (chosen, rejected), (other_chosen, other_rejected) = (self._sides(row) for row in (one, other))
        return ask_the_same(chosen, other_rejected) and ask_the_same(rejected, other_chosen)

    def _sides(self, row: int) -> tuple[list[str], list[str]]:
        stop = int(self._start[row + 1])
        return words(self._texts[stop - 2]), words(self._texts[stop - 1])

    def of(self, row: int) -> list[str]:
        if row not in self._words:
            turns = self._texts[int(self._start[row]) : int(self._start[row + 1]) - 2]
            self._words[row] = [word for turn in turns.to_list() for word in words(turn)]
        return self._words[row]


def _likes(near: Near, first_N: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(position of the earlier row that each row resembles or -1, Jaccard or NaN): the most similar one that resembles no earlier
    row itself, so that a greedy pass keeps one of any two near rows; where all do, the most similar one."""
    like_N = np.where(first_N < np.arange(len(first_N)), first_N, -1)
    jaccard_N = np.where(like_N >= 0, 1.0, np.nan)
    follows_N = like_N >= 0  # resembles a row that a greedy pass keeps
    order = np.lexsort((near.first_M, -near.jaccard_M, near.second_M))
    for m in order.tolist():
        first, second = int(near.first_M[m]), int(near.second_M[m])
        if like_N[second] < 0 or (not follows_N[second] and not follows_N[first]):
            like_N[second], jaccard_N[second] = first, near.jaccard_M[m]
            follows_N[second] = not follows_N[first]
    return like_N, jaccard_N


def _prompt_clusters(rows_N: pl.DataFrame, told: _Sketches, rule: Rule) -> NDArray[np.int64]:
    first_N = _firsts(pl.DataFrame({"prompt": told.digest_N3[:, 0]}))
    row_E = np.unique(first_N)
    pair_M2 = row_E[minhash.candidates(told.prompt_NK[row_E], rule)]
    found = [np.stack([first_N, np.arange(len(first_N))], axis=1)]
    for block_M2 in minhash.blocks(pair_M2, told.words_N2[:, 1], MOST_WORDS):
        rows, at_M = np.unique(block_M2, return_inverse=True)
        texts, start = _texts(rows_N[rows].with_columns(pl.lit("").alias("chosen"), pl.lit("").alias("rejected")))
        prompts = minhash.sets(Words.of(texts), start[:-1], start[1:] - 2, rule)
        one_M, other_M = at_M.reshape(-1, 2).T
        near_M = minhash.jaccards(prompts, one_M, prompts, other_M) >= rule.threshold - TIE
        found.append(block_M2[near_M])
    return minhash.clusters(np.concatenate(found), rows_N.height)


def _row(row: int, prompt: str, chosen: str, rejected: str) -> dict[str, Any]:  # Any: column values
    return {"row": row, "prompt": [{"role": "user", "content": prompt}], "chosen": chosen, "rejected": rejected}


def _told(cluster: int, like: int | None, jaccard: float | None, contradicts: bool, prompt: int) -> Mapping[str, Any]:
    return dict(zip(WRITES, (cluster, like, jaccard, contradicts, prompt), strict=True))  # Any: as above


_ASK, _YES, _NO = "Tell me about the colour of the sea at night.", "It is dark blue, nearly black.", "The sea is wet."
EXAMPLE: tuple[tuple[dict[str, Any], ...], tuple[Mapping[str, Any], ...]] = (  # Any: as above
    (
        _row(10, _ASK, _YES, _NO),
        _row(11, "Name a prime number.", "Seven.", "Eight."),
        _row(12, _ASK.upper(), _NO, _YES + "!"),
        _row(13, f"Please, {_ASK}", _YES, _NO),
    ),
    (
        _told(0, None, None, True, 0),
        _told(1, None, None, False, 1),
        _told(0, 10, 1.0, True, 0),
        _told(0, 10, 14 / 15, True, 0),
    ),
)
