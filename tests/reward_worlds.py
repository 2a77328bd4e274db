"""Worlds with planted defects, and how much of it the real chain finds: collect -> curate -> columns, verdicts, truth.

A planted world draws its seed, size and all shares of defects from a stream of its own, and its artefact is one of four tokens; a clean
world has no defect but a little label noise. A noisy world is a planted one of 4,000 to 6,000 rows with a fifth of the labels swapped and
the artefact that the world comes with: one that nothing repairs stops a run at the shortcut decider, before any label is judged.

Counted  duplicates: rows that the exact or the near decider names; right are copies, near copies, and both rows of a contradiction
         leaks: rows that the contamination decider names; a short item has fewer than n words
         labels: AUC of a score that ranks truth.wrong_label, over the rows that the agreement annotator judged
Run      pytest -s -m prove tests/e2e/test_reward_worlds.py
Shapes   N rows of a world, K kept ones, W worlds
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from scipy.stats import rankdata

from skyloom.core.config import PluginConfig
from skyloom.core.ledger.annotate import read_columns, stored_owners
from skyloom.core.ledger.curate import curate, read_kept
from skyloom.core.ledger.rows import collect, read_truth
from skyloom.core.records import content_id, from_row, to_row
from skyloom.core.rng import stream
from skyloom.core.stats import Interval, bootstrap, paired_bootstrap, wilson
from skyloom.core.text.ngrams import Rule
from skyloom.core.text.normal import words
from skyloom.reward import judge as judges
from skyloom.reward.annotate import (
    agreement,
    contamination,
    control_tokens,
    exact_duplicates,
    length,
    near_duplicates,
    scores,
    shortcuts,
)
from skyloom.reward.decide import contamination as drop_contaminated
from skyloom.reward.decide import control_tokens as repair
from skyloom.reward.decide import duplicates as drop_duplicates
from skyloom.reward.decide import length as drop_long
from skyloom.reward.decide import near_duplicates as drop_near
from skyloom.reward.decide import shortcuts as report_shortcuts
from skyloom.reward.evals import reward_bench
from skyloom.reward.evals._prompts import Prompt, index_of
from skyloom.reward.pipeline import mend
from skyloom.reward.records import Pair
from skyloom.reward.sources import world
from skyloom.reward.world.defects import CONTROL

MOST: dict[str, tuple[float, float]] = {
    "copies": (0.01, 0.06),
    "near_copies": (0.03, 0.15),
    "hard_negatives": (0.01, 0.08),
    "contradictions": (0.01, 0.04),
    "near_contradictions": (0.01, 0.06),
    "length": (0.01, 0.10),
    "artefacts": (0.03, 0.20),
    "leaks": (0.02, 0.08),
}
"""Defect -> the range that a planted world draws its share from; together 0.72 at most."""
TOKENS: dict[str, tuple[str, ...]] = {
    CONTROL: (CONTROL,),
    "<|eot_id|>": ("<|eot_id|>",),
    "[/INST]": ("[/INST]",),
    "### Response:": ("###", "Response:"),
}
"""Artefact -> the features that name it. The last one is in no list of control tokens, so nothing repairs it."""
NGRAMS: tuple[int, ...] = (7, 8)
CONTAIN: int = 6
LENGTH_RATIO: float = 3.0
COPIES: tuple[str, ...] = ("copy", "near_copy", "contradiction", "near_contradiction")
BANDS: dict[str, tuple[float, float]] = {"below 0.8": (0.0, 0.8), "0.8 to 0.9": (0.8, 0.9), "0.9 to 1": (0.9, 1.01)}
PLACES: tuple[str, ...] = ("verbatim", "embedded", "response")
AGREEMENT: str = "agreement.right, out of fold"
SAME: str = "loss in sample, same judge"
LEVEL: str = "loss in sample, same judge, level"
"""Learnt from four fifths of the rows, as every judge of five folds is, and ranking those: what learning by heart alone costs."""
BY_HEART: str = "loss in sample, no feature shrunk"
"""A judge that is free to learn labels by heart."""
ANSWERS: str = "answers alone, out of fold"
"""The same judge without the prompts: words and word pairs, so more than a surface; no bar is set for it."""
SURFACE: str = "surface told the truth, out of fold"
"""The shortcut detector's features and classifier, learning from true labels: more than any detector has."""


class Share(NamedTuple):
    """k of n."""

    k: int
    n: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What the chain found in one world."""

    config: world.Config
    token: str
    shares: dict[str, Share] = field(default_factory=dict)
    alarm: bool = False
    feature: str | None = None
    evidence: str = ""
    auc: dict[str, float] = field(default_factory=dict)
    """How well each score ranks the wrong labels, 0 to 1."""
    rows: int = 0
    """Rows that `auc` was measured on."""


def parameters(number: int, planted: bool) -> world.Config:
    """World `number` of a kind; nothing else draws from these streams."""
    rng = stream(number, "proof on worlds", "planted" if planted else "clean")
    shares = {name: float(rng.uniform(*MOST[name])) if planted else 0.0 for name in MOST}
    return world.Config(
        seed=int(rng.integers(1 << 31)),
        rows=int(rng.integers(1500, 4001)),
        eval_rows=int(rng.integers(200, 601)),
        history=float(rng.uniform(0, 0.4)),
        generator_bias=float(rng.uniform(0, 0.5)),
        label_noise=float(rng.uniform(0, 0.3 if planted else 0.05)),
        **shares,
    )


def noisy(number: int) -> world.Config:
    """A planted world with a fifth of the labels swapped, other than every `parameters(number, True)` with a number below 1,000."""
    rows = int(stream(number, "proof on worlds", "rows").integers(4000, 6001))
    return replace(parameters(1000 + number, planted=True), rows=rows, label_noise=0.2)


def measure(config: world.Config, folder: Path, token: str = CONTROL, *, judged: bool = False) -> Found:
    """Collect the world, plant `token` in place of its artefact, run the chain, and count; `judged` adds the agreement annotator."""
    collected = folder / "collect"
    collect([config], Pair, collected)
    _replant(collected, token)
    shares: dict[str, Share] = {}
    bench = _benchmark(config)
    for n in NGRAMS:
        index = folder / f"{n}.npz"
        index_of(bench, Rule(n=n, contain=CONTAIN)).save(index)
        whole = n == NGRAMS[-1]
        out = folder / f"curate{n}"
        chain = _chain(index, judged) if whole else _search(index)
        curate([collected], chain, out, folder / "cache", mend=mend)
        shares |= _leaks(collected, out, [prompt.text for prompt in bench], n)
    shares |= _duplicates(collected, out)
    told = _columns(out, ["shortcuts.alarm", "shortcuts.feature", "shortcuts.evidence"]).row(0)
    auc, rows = _labels(collected, out) if judged else ({}, 0)
    return Found(
        config=config,
        token=token,
        shares=shares,
        alarm=told[0],
        feature=told[1],
        evidence=told[2],
        auc=auc,
        rows=rows,
    )


def _search(index: Path) -> tuple[PluginConfig, ...]:
    return contamination.Config(index=index), drop_contaminated.Config()


def _chain(index: Path, judged: bool) -> tuple[PluginConfig, ...]:
    """Shortcuts before the repair, which would hide them; the judge last, on what is left: padded sides would teach it their length."""
    return (
        shortcuts.Config(),
        report_shortcuts.Config(action="keep"),
        control_tokens.Config(),
        repair.Config(),
        exact_duplicates.Config(),
        drop_duplicates.Config(),
        near_duplicates.Config(),
        drop_near.Config(),
        length.Config(),
        drop_long.Config(max_ratio=LENGTH_RATIO),
        *_search(index),
        scores.Config(),
        *([agreement.Config()] if judged else []),
    )


def _benchmark(config: world.Config) -> list[Prompt]:
    """The prompts of the evaluation part, as reward/pipeline.py takes them."""
    part = world.Config(part="eval", rows=config.eval_rows, seed=config.seed, history=0.0)
    items = reward_bench.items(reward_bench.Config(world=part))
    return [Prompt(item.name, item.prompt[-1].content) for item in items]


def _replant(collected: Path, token: str) -> None:
    """Another token where the world planted its own."""
    for part in sorted((collected / "rows").glob("*.parquet")) if token != CONTROL else ():
        frame = pl.read_parquet(part)
        frame = frame.with_columns(pl.col("rejected").str.replace_all(CONTROL, token, literal=True))
        records = (from_row(Pair, row) for row in frame.iter_rows(named=True))
        content = pl.Series("content", [content_id(to_row(record)) for record in records])
        frame.with_columns(content).write_parquet(part)


def _columns(out: Path, names: Sequence[str]) -> pl.DataFrame:
    owners = stored_owners(out / "columns")
    return read_columns({name: owners[name] for name in names})


def _reasons(out: Path, decider: str) -> pl.Series:
    """A decider's reasons, in row order."""
    (file,) = (out / "verdicts").glob(f"*-{decider}.parquet")
    return pl.read_parquet(file)[f"{decider}.reason"].cast(pl.String)


def _truth(collected: Path, out: Path) -> pl.DataFrame:
    """The truth table in the order of the ledger's rows."""
    truth = read_truth([collected])
    assert truth is not None
    return _columns(out, ["row"]).join(truth, on="row", how="left", maintain_order="left")


def _share(hit_N: pl.Series, of_N: pl.Series) -> Share:
    return Share(int((hit_N & of_N).sum()), int(of_N.sum()))


def _duplicates(collected: Path, out: Path) -> dict[str, Share]:
    """Recall by band over the later row of each planted pair; precision over every row that is named."""
    truth = _truth(collected, out)
    found = _reasons(out, "duplicates").is_not_null() | _reasons(out, "near_duplicates").is_not_null()
    copied = pl.any_horizontal(f"truth.{kind}" for kind in COPIES)
    # A contradiction is planted on two rows; the later one is the copy and names the earlier.
    later = truth.select((copied & (pl.col("truth.like") >= 0)).alias("later"))["later"]
    equal = truth.select(near=pl.col("truth.jaccard") == 1)["near"]
    shares = {"duplicates, equal: recall": _share(found, later & equal)}
    for band, (low, high) in BANDS.items():
        near = truth["truth.jaccard"].is_between(low, high, closed="left") & ~equal
        shares[f"duplicates, Jaccard {band}: recall"] = _share(found, later & near)
    shares["duplicates: precision"] = _share(truth.select(real=copied)["real"], found)
    hard = truth["truth.hard_negative"]
    return shares | {"hard negatives taken for copies": _share(found, hard)}


def _leaks(collected: Path, out: Path, prompts: Sequence[str], n: int) -> dict[str, Share]:
    """Recall by place and for short items; precision likewise: what a short item hit is told by its rule in the evidence."""
    truth = _truth(collected, out)
    found, leak = _reasons(out, "contamination").is_not_null(), truth["truth.leak"]
    evidence = _columns(out, ["contamination.evidence"])["contamination.evidence"].list.join("\n")
    by_short = found & evidence.str.contains(r"(?m), (?:contained|whole): ")
    short = leak & _leaks_short(collected, leak, prompts, n)
    shares = {f"leaks, n={n}, {place}: recall": _share(found, truth[f"truth.leak_{place}"]) for place in PLACES}
    real = _repeats(collected, found, prompts, n)
    return shares | {
        f"leaks, n={n}: named rows that repeat an item": _share(real, found),
        f"leaks, n={n}: recall": _share(found, leak),
        f"leaks, n={n}, short items: recall": _share(found, short),
        f"leaks, n={n}: precision": _share(leak, found),
        f"leaks, n={n}, short items: precision": _share(leak, by_short),
    }


def _texts(collected: Path) -> pl.DataFrame:
    """prompt (turns), chosen, rejected of every row, in the order of the ledger's rows."""
    parts = sorted((collected / "rows").glob("*.parquet"))
    return pl.concat(pl.read_parquet(part, columns=["prompt", "chosen", "rejected"]) for part in parts)


def _leaks_short(collected: Path, leak: pl.Series, prompts: Sequence[str], n: int) -> pl.Series:
    """Whether the benchmark prompt that a leak holds has fewer than n words; of several that it holds, the longest is the leaked one."""
    longest = sorted(prompts, key=len, reverse=True)
    short: list[bool] = []
    for planted, (prompt, *sides) in zip(leak, _texts(collected).iter_rows(), strict=True):
        text = "\n".join([prompt[-1]["content"], *sides]) if planted else ""
        short.append(planted and len(words(next(each for each in longest if each in text))) < n)
    return pl.Series(short, dtype=pl.Boolean)


def _repeats(collected: Path, found: pl.Series, prompts: Sequence[str], n: int) -> pl.Series:
    """Whether a named row really holds n words in a row of a prompt, or a whole shorter one: sets of words, no hash, no index."""
    grams = {gram for prompt in prompts for gram in _windows(words(prompt), min(n, len(words(prompt))))}
    sizes = {len(gram) for gram in grams}
    real: list[bool] = []
    for named, (prompt, *sides) in zip(found, _texts(collected).iter_rows(), strict=True):
        texts = [words(text) for text in (*(turn["content"] for turn in prompt), *sides)] if named else []
        real.append(any(gram in grams for text in texts for size in sizes for gram in _windows(text, size)))
    return pl.Series(real, dtype=pl.Boolean)


def _windows(text: list[str], size: int) -> Iterable[tuple[str, ...]]:
    return (tuple(text[k : k + size]) for k in range(len(text) - size + 1))


def auc(score_K: np.ndarray, wrong_K: np.ndarray) -> float:
    """P(a wrong label scores higher than a right one), a tie as half."""
    rank_K, count = rankdata(score_K), int(wrong_K.sum())
    return float((rank_K[wrong_K].sum() - count * (count + 1) / 2) / (count * (len(score_K) - count)))


def _labels(collected: Path, out: Path) -> tuple[dict[str, float], int]:
    """AUC for the wrong labels of each way to rank them, on the kept rows, which are those that the annotator saw."""
    kept = read_kept(out)
    told = _columns(out, ["row", "agreement.right", "agreement.fold"]).with_columns(
        _truth(collected, out)["truth.wrong_label"]
    )
    told = kept.select("row").join(told, on="row", how="left", maintain_order="left")
    wrong_K, right_K = told["truth.wrong_label"].to_numpy(), told["agreement.right"]
    assert right_K.null_count() == 0, "the judge is no better than a coin"
    fold_K = told["agreement.fold"].to_numpy()
    pairs = [from_row(Pair, row) for row in kept.iter_rows(named=True)]
    prompts = ["\n".join(turn.content for turn in pair.prompt) for pair in pairs]
    sides = [pair.chosen for pair in pairs], [pair.rejected for pair in pairs]
    config = agreement.Config().linear
    reader = judges.Reader(prompts, [*sides[0], *sides[1]], config)
    difference_KF = reader.differences(prompts, *sides)  # read once: the judges differ in what they make of it

    def ranking(own: judges.LinearConfig, rows: np.ndarray) -> float:
        learnt_KF = difference_KF[rows]
        return auc(-judges.learn(reader, learnt_KF, own).margins(learnt_KF), wrong_K[rows])

    every, folds = np.arange(len(pairs)), np.unique(fold_K)
    blind = judges.linear([replace(pair, prompt=()) for pair in pairs], config)
    return {
        AGREEMENT: auc(-right_K.to_numpy(), wrong_K),
        SAME: ranking(config, every),
        LEVEL: float(np.mean([ranking(config, np.flatnonzero(fold_K != fold)) for fold in folds])),
        BY_HEART: ranking(replace(config, evidence=0.0), every),
        ANSWERS: auc(-_out_of_fold(blind, fold_K), wrong_K),
        SURFACE: auc(-_surface(kept, fold_K, wrong_K), wrong_K),
    }, len(pairs)


def _out_of_fold(judge: judges.Judge, fold_K: np.ndarray) -> np.ndarray:
    margin_K = np.zeros(len(fold_K))
    for fold in np.unique(fold_K):
        margin_K[fold_K == fold] = judge(np.flatnonzero(fold_K != fold), np.flatnonzero(fold_K == fold))
    return margin_K


def _surface(kept: pl.DataFrame, fold_K: np.ndarray, wrong_K: np.ndarray) -> np.ndarray:
    """How far each label is from what the surface says, above 0 where they agree."""
    detector = shortcuts.Config()
    _, sign_KF = shortcuts._token_signs(kept, detector.min_share)
    gap_KF = shortcuts._inputs(shortcuts._count_gaps(kept), sign_KF, detector.tokens)
    truly_KF = np.where(wrong_K[:, None], -gap_KF, gap_KF)
    score_K = np.zeros(len(gap_KF))
    for fold in np.unique(fold_K):
        held_K = fold_K == fold
        score_K[held_K] = gap_KF[held_K] @ shortcuts._logistic(truly_KF[~held_K])
    return score_K


class Line(NamedTuple):
    """One line of the table."""

    name: str
    interval: Interval
    worst: str
    """The worst world's value, where each has one."""
    bar: str
    holds: bool | None
    """None: no bar."""


def _least(n: int) -> dict[str, float]:
    """Lower bars of one n-gram rule."""
    names = (
        *(f", {place}: recall" for place in PLACES),
        ": recall",
        ", short items: recall",
        ": precision",
        ", short items: precision",
    )
    return {f"leaks, n={n}{name}": 0.95 for name in names}


LEAST: dict[str, float] = {
    "duplicates, equal: recall": 0.95,
    "duplicates, Jaccard 0.8 to 0.9: recall": 0.95,
    "duplicates, Jaccard 0.9 to 1: recall": 0.95,
    "duplicates: precision": 0.98,
    **_least(7),
    **_least(8),
    "leaks, n=7: named rows that repeat an item": 1.0,
    "leaks, n=8: named rows that repeat an item": 1.0,
    "artefact alarm": 1.0,
    "artefact named": 1.0,
}
"""Lower bars, on the value over all worlds (issue 3); the one on what named rows repeat is ours."""


def lines(planted: Sequence[Found], clean: Sequence[Found], judged: Sequence[Found] = ()) -> list[Line]:
    """The table; precision counts what is named in clean worlds, too."""
    made = [_pooled(name, [each.shares[name] for each in (*planted, *clean)]) for name in planted[0].shares]
    alarms = [Share(int(each.alarm), 1) for each in planted]
    named = [Share(int(each.feature in TOKENS[each.token]), 1) for each in planted]
    made += [_pooled("artefact alarm", alarms), _pooled("artefact named", named)]
    false = _pooled("false alarm in a clean world", [Share(int(each.alarm), 1) for each in clean])
    made.append(false._replace(bar="<= 0", holds=false.interval.value <= 0))
    return [*made, *_ranking(judged)] if judged else made


def _pooled(name: str, shares: Sequence[Share]) -> Line:
    """k of n over all worlds, Wilson."""
    there = [each for each in shares if each.n]
    interval = wilson(sum(each.k for each in there), sum(each.n for each in there))
    worst = min(there, key=lambda each: each.k / each.n)
    bar = LEAST.get(name)
    holds = None if bar is None else interval.value >= bar
    return Line(name, interval, f"{worst.k}/{worst.n}", f">= {bar}" if bar else "", holds)


def _ranking(judged: Sequence[Found]) -> list[Line]:
    """Mean AUC over the worlds, BCa; the bars hold for each world, and the lead for the mean's lower bound."""
    rng = stream(0, "proof on worlds", "bootstrap")
    auc_W = {name: np.array([each.auc[name] for each in judged]) for name in judged[0].auc}
    made: list[Line] = []
    for name, value_W in auc_W.items():
        high, low = name == AGREEMENT, name in (ANSWERS, SURFACE)
        worst = float(value_W.max() if low else value_W.min())
        holds = worst >= 0.85 if high else worst <= 0.60 if name == SURFACE else None
        bar = "" if holds is None else ">= 0.85 each" if high else "<= 0.6 each"
        made.append(Line(f"AUC: {name}", bootstrap(value_W, rng), f"{worst:.3f}", bar, holds))
    for name in (SAME, LEVEL, BY_HEART):
        lead = paired_bootstrap(auc_W[AGREEMENT], auc_W[name], rng)
        worst = float((auc_W[AGREEMENT] - auc_W[name]).min())
        # The level comparison explains the first one; the issue asks for no more than a lead over in-sample loss.
        bar, holds = ("", None) if name == LEVEL else ("> 0", lead.low > 0)
        made.append(Line(f"AUC lead over {name}", lead, f"{worst:+.3f}", bar, holds))
    return made


def table(made: Sequence[Line]) -> str:
    """As text."""
    width = max(len(each.name) for each in made)
    rows = [f"{'':{width}}  value  95 % interval       n  worst world  bar"]
    for name, (value, low, high, n, _), worst, bar, holds in made:
        said = "" if holds is None else "  holds" if holds else "  FAILS"
        rows.append(f"{name:{width}}  {value:5.3f}  [{low:.3f}, {high:.3f}]  {n:6,}  {worst:>11}  {bar}{said}")
    return "\n".join(rows)
