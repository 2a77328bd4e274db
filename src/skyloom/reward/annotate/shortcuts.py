"""Shortcuts: can the chosen side of a source be told from the rejected one by its surface alone, and by what?

Looks at a source as a whole, without the prompt's content, in two ways. A *leak*: one feature that stands in a share of the pairs and
points nearly always the same way, such as a chat-control token in rejected sides; the tokens are found in the data, because nobody
knows an artefact's name in advance. A *bias*: a classifier on all features together, scored on prompts that it did not see.

Formula  features: the counts of surface.py, the class of the first and of the last character, the presence of each token that stands
         in one side alone in `min_share` of the pairs
         leak: adjusted p <= alpha, decided / pairs >= min_share, one direction / decided >= purity; p from the sign test on prompts
         (a prompt votes once, by the sum of its pairs' signs), adjusted for all features by Holm 1979
         bias: lower bound of the AUC > max_auc; score s = w . (f(chosen) - f(rejected)), w by ridge logistic regression without
         intercept, out of fold; AUC = P(s_i + s_j > 0) + P(s_i + s_j = 0) / 2 over two pairs: the area that s has when every pair is
         shown in random order; interval: Wilson at the effective size AUC (1 - AUC) / variance; the variance is that of prompts,
         times 2.25 because the folds share what they learn from (Nadeau & Bengio 2003: 1 + folds / (folds - 1))
Source   ours; the case is RM-R1 (arXiv 2505.02387, appendix F.2): <im_start> in the rejected side of all magpie-ultra pairs
Flow     collect -> [curate: ANNOTATE -> decide -> materialise] -> train; decide/shortcuts.py stops, drops or reports
Run      skyloom run skywork_reward --smoke
Limits   a feature that a source is about (refusing, in safety data) is a shortcut, too: the detector cannot know that it is meant
Shapes   N rows of the ledger; of one source: B pairs, F features, P prompts
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float, Integer
from scipy.sparse import csr_array, hstack
from scipy.special import bdtr, expit

from skyloom.core.errors import BadInput
from skyloom.core.ledger.annotate import AnnotatorConfig
from skyloom.core.rng import stream
from skyloom.core.stats import Interval, holm, wilson
from skyloom.reward.surface import FIRST, LAST, NAMES, count, holds

KIND: str = "fit"
READS: tuple[str, ...] = ("row", "source", "prompt", "chosen", "rejected")
WRITES: dict[str, pl.DataType] = {
    "shortcuts.auc": pl.Float64(),  # 0 to 1, of the row's source; null where it has too few prompts
    "shortcuts.alarm": pl.Boolean(),
    "shortcuts.feature": pl.String(),  # a token, or a feature of surface.py; null where there is no alarm
    "shortcuts.evidence": pl.String(),  # features, directions, counts, AUC [low, high], pairs, prompts
}
TOKEN: str = r"<[^\s<>]{1,40}>|\[/?\w{1,20}\]|\w+:|\w+|[^\w\s]+"
"""A token: something in angle brackets, a word in square brackets, a word with or without a colon, a run of other characters."""
FOLDS: int = 5
CHUNK: int = 2048
"""Pairs that are split into tokens at a time: bounds the memory, changes nothing else."""
SHOWN: int = 4
"""Features that the evidence names at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AnnotatorConfig):
    """When a source alarms; the numbers are ours."""

    min_share: float = 0.015
    """Smallest share of a source's pairs that a leak decides, above 0 and at most 1."""
    purity: float = 0.95
    """Smallest share of the decided pairs in which a leak points the same way, above 0.5 and at most 1."""
    alpha: float = 0.01
    """Chance that a source without any leak alarms by one, at most (Holm over all its features)."""
    max_auc: float = 0.7
    """A source whose AUC lies above this with 95 % confidence alarms as a whole: its surface is right as often as a rule that wins 70 %
    of the pairs. Better answers look a little better: we measured 0.55 (FineGrained QA) and 0.68 (HH-RLHF harmless)
    where people labelled, 0.77 on RMB and 0.95 on AlpacaEval, which is won by length. 1 switches it off."""
    least: int = 50
    """Prompts that a source must have to be judged: an interval of fewer is too wide to say anything."""
    most: int = 10_000
    """Pairs of a source that are looked at; a larger source is sampled."""
    tokens: int = 128
    """Tokens that the classifier sees beside the counts: those that stand in one side alone most often."""
    seed: int = 0
    """Draws the sample."""


Kind = Literal["count", "class", "token"]


class Finding(NamedTuple):
    """One feature and which side has more of it."""

    name: str
    kind: Kind
    """A count has more or less; a character class or a token is there or not."""
    chosen: int
    """Pairs whose chosen side has more of it, or has it alone."""
    rejected: int
    p: float
    """Holm-adjusted."""

    def order(self) -> tuple[int, int, str]:
        """Sorts the strongest first; of equal ones a token that is no plain word (it is the likelier artefact), a word last."""
        plain = 2 if self.name.isalnum() else 0
        return -self.net, plain if self.kind == "token" else 1, self.name

    @property
    def net(self) -> int:
        """Pairs by which it points one way more often than the other."""
        return abs(self.chosen - self.rejected)

    def text(self, pairs: int) -> str:
        """For people."""
        much, little = max(self.chosen, self.rejected), min(self.chosen, self.rejected)
        side, other = ("chosen", "rejected") if self.chosen >= self.rejected else ("rejected", "chosen")
        name = repr(self.name) if self.kind == "token" else self.name
        what = f"more {name} in the {side} side" if self.kind == "count" else f"{name} in the {side} side alone"
        return f"{what} in {much:,} of {pairs:,} pairs ({much / pairs:.1%}), in the {other} in {little:,}"


def fit(rows_N: pl.DataFrame, config: Config) -> pl.DataFrame:
    """AUC, alarm, feature and evidence of each row's source. Raises BadInput for settings out of range."""
    _check(config)
    keys = rows_N.select("row", pl.col("source").cast(pl.String)).with_row_index("at").sort("row")
    found: list[tuple[Any, ...]] = []  # Any: one value a column
    for (source,), members in sorted(keys.group_by("source", maintain_order=True), key=lambda group: str(group[0])):
        at_B = members["at"].to_numpy()
        if len(at_B) > config.most:  # in the order of row keys, so that the order of parts does not matter
            drawn = stream(config.seed, "shortcuts", str(source)).choice(len(at_B), config.most, replace=False)
            at_B = at_B[np.sort(drawn)]
        found.append((source, *_judge(rows_N[at_B], members.height, config)))
    table = pl.DataFrame(found, schema={"source": pl.String(), **WRITES}, orient="row")
    sources_N = rows_N.select(pl.col("source").cast(pl.String))
    return sources_N.join(table, on="source", how="left", maintain_order="left").select(list(WRITES))


def _check(config: Config) -> None:
    if not (0 < config.min_share <= 1 and 0.5 < config.purity <= 1 and 0 <= config.max_auc <= 1):
        raise BadInput(
            f"shortcuts: min_share={config.min_share} must be in (0, 1], purity={config.purity} in (0.5, 1], "
            f"max_auc={config.max_auc} in [0, 1]"
        )
    if not 2 * FOLDS <= config.least <= config.most:
        raise BadInput(f"shortcuts: least={config.least} must be {2 * FOLDS} to most={config.most}")


def _judge(pairs_B: pl.DataFrame, whole: int, config: Config) -> tuple[float | None, bool, str | None, str]:
    """AUC, alarm, feature and evidence of one source; `whole`: its living pairs, of which `pairs_B` is all or a sample."""
    prompt_B = _prompts(pairs_B["prompt"])
    prompts = int(prompt_B.max()) + 1
    sample = f", a sample of {whole:,}" if whole > pairs_B.height else ""
    size = f"{pairs_B.height:,} pairs of {prompts:,} prompts{sample}"
    if prompts < config.least:
        return None, False, None, f"too few to judge: {size}, {config.least} prompts needed"
    counts_BF = _count_gaps(pairs_B)
    tokens, sign_BF = _token_signs(pairs_B, config.min_share)
    findings = _test(counts_BF, tokens, sign_BF, prompt_B)
    auc = _auc(_out_of_fold(_inputs(counts_BF, sign_BF, config.tokens), prompt_B), prompt_B)
    sure = [each for each in findings if each.p <= config.alpha]
    leaks = _telling([each for each in sure if _leaks(each, pairs_B.height, config)])
    biases = sure[:SHOWN] or findings[:1]
    biased = auc.low > config.max_auc
    # A leak is named before a stronger bias, because it is what a repair can take out.
    named = leaks or (biases if biased else [])
    shown = [*dict.fromkeys([*leaks[: SHOWN - 1], *(biases if biased else biases[:1])])][:SHOWN]
    told = "; ".join(each.text(pairs_B.height) for each in shown if each.p <= config.alpha) or "no feature differs"
    evidence = f"{told}; AUC of the surface {auc.value:.3f} [{auc.low:.3f}, {auc.high:.3f}], {size}"
    return round(auc.value, 4), bool(named), named[0].name if named else None, evidence


def _leaks(each: Finding, pairs: int, config: Config) -> bool:
    decided = each.chosen + each.rejected
    return decided >= config.min_share * pairs and max(each.chosen, each.rejected) >= config.purity * decided


def _telling(leaks: list[Finding]) -> list[Finding]:
    """Tokens first that are at least half as strong as the strongest leak: an artefact moves counts and last characters, too."""
    half = max((each.net for each in leaks), default=0) / 2
    return sorted(leaks, key=lambda each: each.kind != "token" or each.net < half)


def _prompts(prompt_B: pl.Series) -> Integer[np.ndarray, " B"]:
    """Number of each pair's prompt, 0 to P - 1 in the order of their hashes: any block of numbers is a random set of prompts."""
    texts = ("\x1e".join(f"{turn['role']}\x1f{turn['content']}" for turn in prompt) for prompt in prompt_B)
    hashes = [hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for text in texts]
    return np.unique(np.array(hashes), return_inverse=True)[1]


def _count_gaps(pairs_B: pl.DataFrame) -> Float[np.ndarray, "B F"]:
    """log(1 + chosen) - log(1 + rejected) of each count and character class: the sign says who has more."""
    sides = (pl.col("chosen"), pl.col("rejected"))
    gaps = [_gap(*(count(side, name) for side in sides)).alias(name) for name in NAMES]
    gaps += [_gap(*(holds(side, name) for side in sides)).alias(name) for name in FIRST | LAST]
    return pairs_B.select(gaps).to_numpy()


def _gap(chosen: pl.Expr, rejected: pl.Expr) -> pl.Expr:
    return chosen.log1p() - rejected.log1p()


def _token_signs(pairs_B: pl.DataFrame, min_share: float) -> tuple[list[str], csr_array]:
    """Tokens in alphabetical order, and for each pair (B x F) 1 where the chosen side alone has it, -1 where the rejected has."""
    chosen, rejected = (pl.col(side).str.extract_all(TOKEN) for side in ("chosen", "rejected"))
    alone = {1: chosen.list.set_difference(rejected), -1: rejected.list.set_difference(chosen)}
    frames: list[pl.DataFrame] = []
    for start in range(0, pairs_B.height, CHUNK):
        chunk = pairs_B[start : start + CHUNK]
        at = pl.int_range(start, start + chunk.height, dtype=pl.UInt32).alias("at")
        for sign, tokens in alone.items():
            told = chunk.select(at, tokens.alias("token"), pl.lit(sign, pl.Int8).alias("sign"))
            frames.append(told.filter(pl.col("token").list.len() > 0).explode("token"))
    told = pl.concat(frames)
    least = max(1.0, min_share * pairs_B.height)
    known = (
        told.group_by("token").len().filter(pl.col("len") >= least).select("token").sort("token").with_row_index("of")
    )
    held = told.join(known, on="token", how="inner").select("sign", "at", "of")
    places = (held["at"].to_numpy(), held["of"].to_numpy())
    sign_BF = csr_array((held["sign"].to_numpy(), places), shape=(pairs_B.height, known.height), dtype=np.int32)
    return known["token"].to_list(), sign_BF


def _test(
    counts_BF: Float[np.ndarray, "B C"], tokens: Sequence[str], sign_BF: csr_array, prompt_B: Integer[np.ndarray, " B"]
) -> list[Finding]:
    """Every feature's counts and adjusted p, the strongest first."""
    sign_BF = csr_array(hstack([csr_array(np.sign(counts_BF).astype(np.int32)), sign_BF]))
    pairs = len(prompt_B)
    member_PB = csr_array((np.ones(pairs, np.int32), (prompt_B, np.arange(pairs))))
    votes_PF = csr_array(member_PB @ sign_BF)
    votes_PF.data = np.sign(votes_PF.data)
    for_F, against_F = _plus_minus(votes_PF)
    p_F = np.minimum(1.0, 2 * bdtr(np.minimum(for_F, against_F), for_F + against_F, 0.5))
    chosen_F, rejected_F = _plus_minus(sign_BF)
    names = [*NAMES, *FIRST, *LAST, *tokens]
    counted = zip(names, chosen_F.tolist(), rejected_F.tolist(), holm(p_F).tolist(), strict=True)
    findings = [Finding(name, _kind(k), more, less, p) for k, (name, more, less, p) in enumerate(counted)]
    return sorted(findings, key=Finding.order)


def _kind(feature: int) -> Kind:
    """Of the counts, then the character classes, then the tokens."""
    return "count" if feature < len(NAMES) else "class" if feature < len(NAMES) + len(FIRST | LAST) else "token"


def _plus_minus(sign_BF: csr_array) -> tuple[Integer[np.ndarray, " F"], Integer[np.ndarray, " F"]]:
    """How many entries of each column are 1, and how many -1."""
    all_F, net_F = np.asarray(abs(sign_BF).sum(axis=0)), np.asarray(sign_BF.sum(axis=0))
    return (all_F + net_F) // 2, (all_F - net_F) // 2


def _inputs(counts_BF: Float[np.ndarray, "B C"], sign_BF: csr_array, tokens: int) -> Float[np.ndarray, "B F"]:
    """What the classifier sees, each column with root mean square 1. Neither the choice nor the scale knows which side is chosen."""
    decided_F = np.asarray(abs(sign_BF).sum(axis=0))
    often_F = np.sort(np.argsort(-decided_F, kind="stable")[:tokens])
    gap_BF = np.hstack([counts_BF, sign_BF[:, often_F].toarray()])
    scale_F = np.sqrt((gap_BF**2).mean(axis=0))
    return gap_BF[:, scale_F > 0] / scale_F[scale_F > 0]


def _out_of_fold(gap_BF: Float[np.ndarray, "B F"], prompt_B: Integer[np.ndarray, " B"]) -> Float[np.ndarray, " B"]:
    """Score of each pair by the classifier that has not seen its prompt; above 0 it takes the chosen side."""
    score_B = np.zeros(len(gap_BF))
    for fold in range(FOLDS):
        held_B = prompt_B % FOLDS == fold
        score_B[held_B] = gap_BF[held_B] @ _logistic(gap_BF[~held_B])
    return np.round(score_B, 9)  # equal pairs get equal scores, whatever the order of summation


def _logistic(gap_BF: Float[np.ndarray, "B F"]) -> Float[np.ndarray, " F"]:
    """Minimiser of sum log(1 + exp(-gap . w)) + F |w|^2 / 2, by Newton's method; the penalty expects all features together to move the
    log odds by about one."""
    features = gap_BF.shape[1]
    w_F = np.zeros(features)
    for _ in range(30):
        wrong_B = expit(-(gap_BF @ w_F))
        slope_F = features * w_F - gap_BF.T @ wrong_B
        curve_FF = (gap_BF.T * (wrong_B * (1 - wrong_B))) @ gap_BF
        curve_FF[np.diag_indices(features)] += features
        step_F = np.linalg.solve(curve_FF, slope_F)
        w_F -= step_F
        if np.abs(step_F).max(initial=0.0) < 1e-8:
            break
    return w_F


def _auc(score_B: Float[np.ndarray, " B"], prompt_B: Integer[np.ndarray, " B"]) -> Interval:
    """P(s_i + s_j > 0), a tie as half, over pairs i and j, with its interval (module docstring)."""
    pairs, sorted_B = len(score_B), np.sort(score_B)
    above_B = pairs - (np.searchsorted(sorted_B, -score_B, "left") + np.searchsorted(sorted_B, -score_B, "right")) / 2
    share_B = (above_B - (np.sign(score_B) + 1) / 2) / (pairs - 1)  # without the pair itself
    auc = float(share_B.mean())
    by_prompt_P = np.bincount(prompt_B, weights=share_B - auc)
    variance = 4 * float((by_prompt_P**2).sum()) / pairs**2 * (1 + FOLDS / (FOLDS - 1))
    prompts = len(by_prompt_P)
    effective = prompts if variance == 0 else max(1, min(prompts, int(auc * (1 - auc) / variance)))
    return wilson(auc * effective, effective)


def _row(k: int) -> dict[str, Any]:  # Any: column values
    prompt = [{"role": "user", "content": f"Question {k}"}]
    return {"row": k, "source": "ultra", "prompt": prompt, "chosen": "It is so.", "rejected": "It is so. <im_start>"}


EXAMPLE_CONFIG: Config = Config(least=16)
EXAMPLE: tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]] = (  # Any: as above
    tuple(_row(k) for k in range(16)),
    ({"shortcuts.auc": 1.0, "shortcuts.alarm": True, "shortcuts.feature": "<im_start>"},) * 16,
)
