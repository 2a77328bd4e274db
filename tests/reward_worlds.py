"""Worlds with planted defects, and how much of them the real chain finds: collect -> curate -> columns, verdicts, truth.

A planted world draws its seed, size and all shares of defects from a stream of its own, and its artefact is one of four tokens; a clean
world has no defect but a little label noise. A noisy world is a planted one of 4,000 to 6,000 rows with a fifth of the labels swapped.

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
    """How well a score ranks the wrong labels; `detector`: the shortcut detector's own AUC of chosen against rejected."""
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
    told = _columns(out, ["shortcuts.auc", "shortcuts.alarm", "shortcuts.feature", "shortcuts.evidence"]).row(0)
    auc, rows = _labels(collected, out) if judged else ({}, 0)
    return Found(
        config=config,
        token=token,
        shares=shares,
        alarm=told[1],
        feature=told[2],
        evidence=told[3],
        auc=auc | ({"detector": told[0]} if judged else {}),
        rows=rows,
    )


def _search(index: Path) -> tuple[PluginConfig, ...]:
    return contamination.Config(index=index), drop_contaminated.Config()


def _chain(index: Path, judged: bool) -> tuple[PluginConfig, ...]:
    """Shortcuts before the repair, which would hide them; the judge last, on what is left."""
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
    short = leak & _leaks_short(collected, truth, prompts, n)
    shares = {f"leaks, n={n}, {place}: recall": _share(found, truth[f"truth.leak_{place}"]) for place in PLACES}
    return shares | {
        f"leaks, n={n}: recall": _share(found, leak),
        f"leaks, n={n}, short items: recall": _share(found, short),
        f"leaks, n={n}: precision": _share(leak, found),
        f"leaks, n={n}, short items: precision": _share(leak, by_short),
    }


def _leaks_short(collected: Path, truth: pl.DataFrame, prompts: Sequence[str], n: int) -> pl.Series:
    """Whether the benchmark prompt that a row holds has fewer than n words; of several that it holds, the longest is the leaked one."""
    rows = pl.concat(pl.read_parquet(part) for part in sorted((collected / "rows").glob("*.parquet")))
    whole = rows.filter(pl.Series(truth["row"].is_in(rows["row"]))).select("row", "prompt", "chosen", "rejected")
    whole = truth.select("row", "truth.leak").join(whole, on="row", how="left", maintain_order="left")
    longest = sorted(prompts, key=len, reverse=True)
    short: list[bool] = []
    for _, leak, prompt, *sides in whole.iter_rows():
        text = "\n".join([prompt[-1]["content"], *sides]) if leak else ""
        short.append(leak and len(words(next(each for each in longest if each in text))) < n)
    return pl.Series(short, dtype=pl.Boolean)


def auc(score_K: np.ndarray, wrong_K: np.ndarray) -> float:
    """P(a wrong label scores higher than a right one), a tie as half."""
    rank_K, count = rankdata(score_K), int(wrong_K.sum())
    return float((rank_K[wrong_K].sum() - count * (count + 1) / 2) / (count * (len(score_K) - count)))


def _labels(collected: Path, out: Path) -> tuple[dict[str, float], int]:
    """AUC for the wrong labels of each way to rank them, on the kept rows, which are those that the annotator saw."""
    kept = read_kept(out)
    told = _columns(out, ["row", "agreement.right", "agreement.fold"]).with_columns(_truth(collected, out)["truth.wrong_label"])
    told = kept.select("row").join(told, on="row", how="left", maintain_order="left")
    wrong_K, right_K = told["truth.wrong_label"].to_numpy(), told["agreement.right"]
    assert right_K.null_count() == 0, "the judge is no better than a coin"
    fold_K = told["agreement.fold"].to_numpy()
    pairs = [from_row(Pair, row) for row in kept.iter_rows(named=True)]
    every = np.arange(len(pairs))
    config = agreement.Config().linear
    same, plain = (judges.linear(pairs, each) for each in (config, replace(config, evidence=0.0)))
    blind = judges.linear([replace(pair, prompt=()) for pair in pairs], config)
    return {
        "agreement, out of fold": auc(-right_K.to_numpy(), wrong_K),
        "in-sample loss": auc(-same(every, every), wrong_K),
        "in-sample loss, no feature shrunk": auc(-plain(every, every), wrong_K),
        "answers alone, out of fold": auc(-_out_of_fold(blind, fold_K), wrong_K),
        "surface told the truth, out of fold": auc(-_surface(kept, fold_K, wrong_K), wrong_K),
    }, len(pairs)


def _out_of_fold(judge: judges.Judge, fold_K: np.ndarray) -> np.ndarray:
    margin_K = np.zeros(len(fold_K))
    for fold in np.unique(fold_K):
        margin_K[fold_K == fold] = judge(np.flatnonzero(fold_K != fold), np.flatnonzero(fold_K == fold))
    return margin_K


def _surface(kept: pl.DataFrame, fold_K: np.ndarray, wrong_K: np.ndarray) -> np.ndarray:
    """The shortcut detector's features and classifier, learning which side is truly right: the most that any surface can know."""
    detector = shortcuts.Config()
    _, sign_KF = shortcuts._token_signs(kept, detector.min_share)
    gap_KF = shortcuts._inputs(shortcuts._count_gaps(kept), sign_KF, detector.tokens)
    truly_KF = np.where(wrong_K[:, None], -gap_KF, gap_KF)
    score_K = np.zeros(len(gap_KF))
    for fold in np.unique(fold_K):
        held_K = fold_K == fold
        score_K[held_K] = gap_KF[held_K] @ shortcuts._logistic(truly_KF[~held_K])
    return score_K
