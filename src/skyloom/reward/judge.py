"""Judge: a reward model for curation that a laptop fits in seconds, linear in hashed features of prompt and response.

Formula  r(x, y) = w . f(x, y); w minimises  sum over pairs of -log sigmoid(r(x, chosen) - r(x, rejected)) + l2/2 |w/s|²
         f counts, for the response's words v, word pairs and looks (capitals, bullets, questions, length, ...): each alone, and
         words and looks with each word u of the prompt; which words the prompt has before and after one that the response
         repeats; and how many of the prompt's rare words it repeats, with each u. So "in capitals" can ask for capitals.
         s = max(0, 1 - evidence²/z²) shrinks each feature by what it alone says of the labels: z = sum d / sqrt(sum d²) of its
         differences d = f(chosen) - f(rejected) over the rows learnt from, about N(0, 1) for a feature without a meaning
Source   Bradley & Terry 1952; hashed features: Weinberger et al. 2009; s: the nonnegative garrote (Breiman 1995) in the form of
         James & Stein 1961; solved by Newton steps, each by conjugate gradients (Lin, Weng & Keerthi 2008)
Flow     collect -> [curate: annotate/agreement.py asks it] -> train
Run      learn(pairs, LinearConfig()).score(prompts, responses)
Cost     bounded for long texts: a side of 500 words takes about a millisecond to read, a pair of them 15 kB; a fit on a
         thousand such pairs a third of a second (80K pairs, 5 folds: some 5 minutes on one core and 3 GB)
Limits   It reads words, not meaning: arithmetic and facts are beyond it. `trained` puts the real reward model in its place.
Shapes   N pairs, W words of a text, U different words of a prompt, V of a response, F features, C features with evidence
"""

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack
from scipy.special import expit, log_expit

from skyloom.core.config import Config
from skyloom.core.errors import BadInput
from skyloom.core.records import to_row
from skyloom.core.rng import U64, mix
from skyloom.core.text.rolling import Batch
from skyloom.reward.records import Pair
from skyloom.reward.settings import TrainConfig

Float = NDArray[np.float64]
Rows = NDArray[np.int64]
Judge = Callable[[Rows, Rows], Float]
"""(rows to learn from, rows to judge) -> margin r(chosen) - r(rejected) of each row to judge; NaN where it cannot read a pair."""

BITS: int = 22
"""Features fall into 2**22 places: with a million different ones, one in five shares its place (ours)."""
BLOCK: int = 4096
"""Pairs whose features stand in memory unsummed."""
MARKS: tuple[re.Pattern[str], ...] = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (r"^\s*[-*•] ", r"^\s*\d+[.)] ", r"^#{1,6} ", r"\*\*", r"```", r"\?", r"!", r'"', r"\d", r"\n")
)
"""Looks of a text, each present or not: bullets, numbered lines, headings, bold, code, question and exclamation marks, quotes,
digits, several lines. Capitals and length are counted apart."""
ALONE, NEXT, CROSS, LOOK, LOOK_CROSS, BEFORE, AFTER, REPEATS = (np.uint64(k) for k in range(1, 9))
NEWTON_STEPS, CG_STEPS, TOLERANCE = 30, 200, 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearConfig(Config):
    """How much is read of a text, and how much a feature must say."""

    evidence: float = 2.0
    """|z| from which a feature counts, 0 or more; 2 lets one meaningless feature in twenty through (ours)."""
    l2: float = 3.0
    """Pull of the weights towards 0, above 0 (ours)."""
    least: int = 3
    """Texts in which a word must stand to be crossed, and pairs that a feature must tell apart, at least 1 (ours)."""
    most_prompt_words: int = 24
    """Different words of a prompt that are crossed, the rarest first; bounds the cost of long texts (ours)."""
    most_response_words: int = 64
    """Likewise of a response."""
    rare: float = 0.05
    """A word in at most this share of the prompts is rare: its repetition is counted (ours)."""


class Counts(NamedTuple):
    """In how many texts each word stands."""

    hash_V: U64
    """Sorted."""
    count_V: NDArray[np.int64]
    texts: int

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """Count over some texts."""
        hashes, counts = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
        for start in range(0, len(texts), BLOCK):
            found = np.concatenate([np.unique(hash_W) for hash_W in _words(texts[start : start + BLOCK])])
            hash_V, count_V = np.unique(found, return_counts=True)
            hashes.append(hash_V)
            counts.append(count_V)
        hash_V, place = np.unique(np.concatenate(hashes), return_inverse=True)
        total_V = np.bincount(place, np.concatenate(counts), len(hash_V)).astype(np.int64)
        return cls(hash_V, total_V, len(texts))

    def __call__(self, hash_W: U64) -> NDArray[np.int64]:
        """The count of each word; 0 for an unknown one."""
        if not len(self.hash_V):
            return np.zeros(len(hash_W), np.int64)
        at_W = np.minimum(np.searchsorted(self.hash_V, hash_W), len(self.hash_V) - 1)
        return np.where(self.hash_V[at_W] == hash_W, self.count_V[at_W], 0)


class Reader:
    """Makes features of texts; knows how common each word is, and no label."""

    def __init__(self, prompts: Sequence[str], responses: Sequence[str], config: LinearConfig) -> None:
        checks = (config.evidence >= 0, config.l2 > 0, config.least >= 1, 0 <= config.rare <= 1)
        if not all(checks) or min(config.most_prompt_words, config.most_response_words) < 1:
            raise BadInput("judge: evidence >= 0, l2 > 0, least >= 1, 0 <= rare <= 1 and most_*_words >= 1 must hold")
        self._config = config
        self._prompts, self._responses = Counts.of(prompts), Counts.of(responses)

    def differences(self, prompts: Sequence[str], chosen: Sequence[str], rejected: Sequence[str]) -> csr_array:
        """f(chosen) - f(rejected) of each pair, int8 (N, 2**BITS)."""
        return self._read(prompts, (chosen, rejected))

    def sides(self, prompts: Sequence[str], responses: Sequence[str]) -> csr_array:
        """f of each side, int8 (N, 2**BITS)."""
        return self._read(prompts, (responses,))

    def _read(self, prompts: Sequence[str], sides: Sequence[Sequence[str]]) -> csr_array:
        blocks = [
            self._block(prompts[at : at + BLOCK], [side[at : at + BLOCK] for side in sides])
            for at in range(0, len(prompts), BLOCK)
        ]
        return csr_array(vstack(blocks, format="csr")) if blocks else csr_array((0, 1 << BITS), dtype=np.int8)

    def _block(self, prompts: Sequence[str], sides: Sequence[Sequence[str]]) -> csr_array:
        columns: list[NDArray[np.int32]] = []
        signs: list[NDArray[np.int8]] = []
        ends = [0]
        read = [list(zip(_words(side), side, strict=True)) for side in sides]
        for k, prompt_W in enumerate(_words(prompts)):
            asked_U = self._crossed(np.unique(prompt_W), self._prompts, self._config.most_prompt_words)
            rare_W = self._prompts(prompt_W) <= self._config.rare * self._prompts.texts
            for sign, side in zip((1, -1), read, strict=False):
                hash_F = self._features(prompt_W, asked_U, rare_W, *side[k])
                columns.append((hash_F >> np.uint64(64 - BITS)).astype(np.int32))
                signs.append(np.full(len(hash_F), sign, np.int8))
            ends.append(ends[-1] + sum(len(part) for part in columns[-len(sides) :]))
        made = csr_array(
            (np.concatenate(signs), np.concatenate(columns), np.asarray(ends)), shape=(len(prompts), 1 << BITS)
        )
        made.sum_duplicates()
        made.eliminate_zeros()
        return made

    def _features(self, prompt_W: U64, asked_U: U64, rare_W: NDArray[np.bool_], response_W: U64, response: str) -> U64:
        """Hashes of all features of one side."""
        said_V = np.unique(response_W)
        told_V = self._crossed(said_V, self._responses, self._config.most_response_words)
        look_L = _looks(response, len(response_W))
        start = np.zeros(1, np.uint64)
        line_W = np.concatenate([start, response_W])
        repeated_W = np.isin(prompt_W, said_V)
        before_W, after_W = np.concatenate([start, prompt_W[:-1]]), np.concatenate([prompt_W[1:], start])
        # A count from 0 to 3: a feature of its own for each, so that "none" and "one" can be told apart.
        repeats = np.full(1, min(3, len(np.unique(prompt_W[repeated_W & rare_W]))), np.uint64)
        return np.concatenate(
            [
                mix(said_V, ALONE),
                np.unique(mix(mix(line_W[:-1], line_W[1:]), NEXT)),
                mix(mix(asked_U[:, None], told_V[None, :]).ravel(), CROSS),
                mix(look_L, LOOK),
                mix(mix(asked_U[:, None], look_L[None, :]).ravel(), LOOK_CROSS),
                np.unique(mix(before_W[: len(prompt_W)][repeated_W], BEFORE)),
                np.unique(mix(after_W[: len(prompt_W)][repeated_W], AFTER)),
                mix(mix(asked_U, repeats), REPEATS),
            ]
        )

    def _crossed(self, hash_U: U64, counts: Counts, most: int) -> U64:
        """The words that are crossed: those of a few texts at least, the rarest first where there are too many."""
        count_U = counts(hash_U)
        hash_U, count_U = hash_U[count_U >= self._config.least], count_U[count_U >= self._config.least]
        return hash_U if len(hash_U) <= most else hash_U[np.lexsort((hash_U, count_U))[:most]]


@dataclass(frozen=True, slots=True, eq=False)
class LinearJudge:
    """A fitted judge."""

    reader: Reader
    column_C: NDArray[np.int64]
    weight_C: Float

    def margins(self, difference_NF: csr_array) -> Float:
        """r(chosen) - r(rejected) of each row of `Reader.differences`."""
        return difference_NF[:, self.column_C].astype(np.float64) @ self.weight_C

    def score(self, prompts: Sequence[str], responses: Sequence[str]) -> Float:
        """r of each side; only gaps of one prompt mean something."""
        return self.margins(self.reader.sides(prompts, responses))


def learn(reader: Reader, difference_NF: csr_array, config: LinearConfig) -> LinearJudge:
    """Fit on the differences of some pairs; a set without evidence gives a judge that scores everything 0."""
    sum_F = np.bincount(difference_NF.indices, difference_NF.data, 1 << BITS)
    square_F = np.bincount(difference_NF.indices, np.square(difference_NF.data, dtype=np.int32), len(sum_F))
    count_F = np.bincount(difference_NF.indices, minlength=len(sum_F))
    # evidence² / z², written so that a feature without a sum is no division by zero
    shrunk_F = np.maximum(0.0, sum_F**2 - config.evidence**2 * square_F)
    column_C = np.flatnonzero((shrunk_F > 0) & (count_F >= config.least))
    scale_C = shrunk_F[column_C] / sum_F[column_C] ** 2
    scaled = difference_NF[:, column_C].astype(np.float64)
    scaled.data *= scale_C[scaled.indices]
    return LinearJudge(reader, column_C, scale_C * _logistic(scaled, np.zeros_like(scale_C), config.l2))


def linear(pairs: Sequence[Pair], config: LinearConfig) -> Judge:
    """The linear judge over a set of pairs, whose texts are read once."""
    prompts = ["\n".join(turn.content for turn in pair.prompt) for pair in pairs]
    chosen, rejected = [pair.chosen for pair in pairs], [pair.rejected for pair in pairs]
    reader = Reader(prompts, [*chosen, *rejected], config)
    difference_NF = reader.differences(prompts, chosen, rejected)

    def judge(learnt: Rows, judged: Rows) -> Float:
        return learn(reader, difference_NF[learnt], config).margins(difference_NF[judged])

    return judge


def trained(pairs: Sequence[Pair], config: TrainConfig) -> Judge:
    """The reward model of train.py as the judge: a training from its start for every set of rows to learn from."""

    def judge(learnt: Rows, judged: Rows) -> Float:
        from skyloom.reward.evals._items import item_of
        from skyloom.reward.evaluate import score_items
        from skyloom.reward.pipeline import scoring_of
        from skyloom.reward.score import Scorer  # torch is needed from here on
        from skyloom.reward.train import MODEL, train

        one = {"weight": 1.0, "label": 1.0}
        frame = pl.DataFrame([{**to_row(pairs[int(k)]), **one} for k in learnt], infer_schema_length=None)
        with tempfile.TemporaryDirectory(prefix="skyloom-judge-") as folder:
            out = Path(folder)
            train(frame, replace(config, posterior_pairs=0), out)
            items = [item_of(pairs[int(k)], str(k)) for k in judged]
            scores = score_items(Scorer.load(out / MODEL, scoring_of(config)), items).scores
        return np.asarray([chosen - rejected for chosen, rejected in scores])

    return judge


def _logistic(x_NC: csr_array, w_C: Float, l2: float) -> Float:
    """Weights that minimise sum -log sigmoid(x w) + l2/2 |w|², from a start. Sums by numpy: BLAS would round by threads."""
    xt_CN = x_NC.T.tocsr()

    def objective(w_C: Float) -> float:
        return float(-log_expit(x_NC @ w_C).sum() + l2 / 2 * np.square(w_C).sum())

    value = objective(w_C)
    for _ in range(NEWTON_STEPS):
        wrong_N = expit(-(x_NC @ w_C))
        step_C = _solve(x_NC, xt_CN, wrong_N * (1 - wrong_N), l2, xt_CN @ wrong_N - l2 * w_C)
        size = 1.0
        while (new := objective(w_C + size * step_C)) > value and size > 1e-6:
            size /= 2
        w_C = w_C + size * step_C
        if value - new <= TOLERANCE * abs(value):
            break
        value = new
    return w_C


def _solve(x_NC: csr_array, xt_CN: csr_array, curve_N: Float, l2: float, b_C: Float) -> Float:
    """v with (x' diag(curve) x + l2) v = b, by conjugate gradients, to a hundredth of |b|: enough for a Newton step."""
    v_C, rest_C = np.zeros_like(b_C), b_C
    along_C, square = rest_C, float(np.square(b_C).sum())
    stop = 1e-4 * square
    for _ in range(CG_STEPS):
        if square <= stop:
            break
        turned_C = xt_CN @ (curve_N * (x_NC @ along_C)) + l2 * along_C
        size = square / float((along_C * turned_C).sum())
        v_C, rest_C = v_C + size * along_C, rest_C - size * turned_C
        square, last = float(np.square(rest_C).sum()), square
        along_C = rest_C + square / last * along_C
    return v_C


def _words(texts: Sequence[str]) -> Iterator[U64]:
    """Hashed words of each text."""
    batch = Batch.of(texts, masked=False)
    return iter(np.split(batch.hash_W, np.cumsum(batch.count_T)[:-1])) if len(texts) else iter(())


def _looks(text: str, words: int) -> U64:
    """Numbers of the looks that a response has; a length of 2**k words or more is a look for every k."""
    tokens = text.split()
    capitals = 2 * sum(map(str.isupper, tokens)) > len(tokens)
    found = [k for k, mark in enumerate(MARKS, 1) if mark.search(text)]
    return np.array([*found, *([30] if capitals else []), *range(40, 40 + words.bit_length())], np.uint64)
