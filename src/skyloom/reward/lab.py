"""The curation lab: which pairs and which loss, told in seconds, because only a linear head is trained on features cached once.

Flow     pairs (sources, or a finished curation) -> [collect] -> features.py, once a side -> [lab: lab_heads.py, lab_page.py] -> report
Layout   DIR/collect (with sources)  DIR/lab/{results,tables,plots}.json, timing.json (seconds a condition)  DIR/report/index.html;
         features stand outside the run, by model and protocol, so that runs share them
Run      skyloom reward lab --data rmb=PATH --as-train --model MODEL.gguf --by category:2
         skyloom reward lab --curated runs/x --model MODEL
Limits   A proxy: frozen features see less than full fine-tuning does. `--full FILE` measures how well it ranks; without that nobody knows.
Shapes   N rows (pairs, and the mended forms of those that curation changed), D feature width
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from jaxtyping import Float

from skyloom.core import store
from skyloom.core.config import JSON, NOT_KEYED, Config, canonical
from skyloom.core.errors import BadInput
from skyloom.core.ledger import rows as ledger_rows
from skyloom.core.ledger.curate import read_decisions, read_kept
from skyloom.core.losses import LossConfig
from skyloom.core.metrics import Evaluation, read_evaluation, write_evaluation
from skyloom.core.records import SourceConfig, from_row
from skyloom.core.rng import stream
from skyloom.core.run import Run
from skyloom.reward import features
from skyloom.reward.annotate import scores
from skyloom.reward.features import Features
from skyloom.reward.losses import bradley_terry
from skyloom.reward.records import Pair, prompt_text
from skyloom.reward.settings import ScoreConfig

if TYPE_CHECKING:
    from skyloom.reward.score import Scorer

VERSION: int = 1
"""Raise it when the lab's own code changes its output."""
STEP: str = "lab"
TIMING: str = "timing.json"
RETRACTED: str = "retracted"
FACTS: dict[str, pl.DataType] = {
    "prompt": pl.String(),  # its turns, folded for case and blanks: no prompt stands in two splits
    "source": pl.String(),
    "origin": pl.String(),
    "category": pl.String(),
    "score": pl.Float64(),  # mean of the source's scores, its units; null where it has none
    "gap": pl.Float64(),  # its score of the chosen side less that of the rejected one; 0 where it has none
    "longer": pl.Float64(),  # log(1 + characters) of the chosen side less that of the rejected one
    "raw": pl.Boolean(),  # stands in the pool as its source labelled it
    "kept": pl.Boolean(),  # stands in the curated set
    "reason": pl.String(),  # why curation dropped or changed it; null where it did not, or nothing was curated
    "weight": pl.Float64(),  # as curation has it; used in the curated set alone
    "label": pl.Float64(),
}
"""Columns of `Data.facts`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabConfig(Config):
    """What is compared, and how."""

    collect: tuple[SourceConfig, ...] = ()
    """Pairs to read; or else `curated`."""
    curated: Path | None = field(default=None, metadata=NOT_KEYED)
    """A run with `collect` and `curate`: its kept set, weights, labels and repairs against all of its pairs. Its content keys the lab."""
    model: str = ""
    """The backbone; may be empty with `have`."""
    score: ScoreConfig = field(default_factory=ScoreConfig)
    """How long its inputs may be, and its dtype."""
    features: Path | None = field(default=None, metadata=NOT_KEYED)
    """Folder of cached features; None takes one in the cache that runs share."""
    have: bool = False
    """Use the cached features alone and compute none; pairs without them are counted and left out."""
    full: Path | None = field(default=None, metadata=NOT_KEYED)
    """JSON object: condition -> accuracy after full fine-tuning, 0 to 1; at least three conditions."""
    losses: tuple[LossConfig, ...] = (bradley_terry.Config(),)
    """The first is the one that subsets are compared with; the others are compared with it."""
    keep: tuple[float, ...] = (0.1, 0.25, 0.5, 0.75)
    """Shares that are kept by agreement, by score and at random, each above 0 and below 1."""
    by: str = ""
    """What is left out one group after the other: source, origin or category, `category:2` for the first two parts of a path; empty
    takes the first of these with two groups."""
    subsets: str = ""
    """What the test pairs are told apart by, likewise; empty takes category, source or origin."""
    test_share: float = 0.3
    """Share of the prompts that no head sees, above 0."""
    valid_share: float = 0.2
    """Share of the others on which the penalty is chosen, above 0."""
    seeds: int = 5
    """How often the others are divided anew, and random subsets drawn; at least 1, and 3 for an interval that deserves the name."""
    folds: int = 5
    """Parts of the cross-fitting, at least 2."""
    l2: tuple[float, ...] = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)
    """Penalties to choose from, falling; the search stops after two that do not help."""
    least_rows: int = 50
    """Pairs that a group must have to be left out, or to be a subset of its own (ours)."""
    most_groups: int = 12
    """Groups at most, the largest first (ours)."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for settings that cannot be compared."""
        rules = (
            (0 < self.test_share < 1 and 0 < self.valid_share < 1, "test_share, valid_share: above 0 and below 1"),
            (self.seeds >= 1 and self.folds >= 2, "seeds: at least 1; folds: at least 2"),
            (len(self.losses) >= 1, "losses: at least one"),
            (all(0 < share < 1 for share in self.keep), "keep: shares above 0 and below 1"),
            (bool(self.l2) and min(self.l2, default=0) > 0, "l2: one penalty at least, all above 0"),
            (list(self.l2) == sorted(self.l2, reverse=True), "l2: from the largest to the smallest"),
            (self.least_rows >= 2 and self.most_groups >= 1, "least_rows: at least 2; most_groups: at least 1"),
        )
        for holds, rule in rules:
            if not holds:
                raise ValueError(rule)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Data:
    """Pairs as the lab sees them: facts and features."""

    facts: pl.DataFrame
    """N rows of FACTS."""
    chosen_ND: Float[np.ndarray, "N D"]
    rejected_ND: Float[np.ndarray, "N D"]
    counts: dict[str, int] = field(default_factory=dict[str, int])
    """What was read and what was left out, for the page."""
    protocol: dict[str, JSON] = field(default_factory=dict[str, JSON])
    """Where the features come from."""

    @property
    def curated(self) -> bool:
        """Whether there is a curated set."""
        return bool(self.facts["kept"].any())


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen(Config):
    """Which sides had features, and under which protocol."""

    digest: str


def run(config: LabConfig, run: Run) -> Evaluation:
    """All steps, as far as they are not done. Raises BadInput for settings or data that cannot be compared."""
    if bool(config.collect) == (config.curated is not None):
        raise BadInput("lab: give either --data or --curated RUN")
    folders = _collect_step(config, run)
    data = assemble(read_rows(*folders), lambda pairs: _features(config, run, pairs), _folder(config, run))
    seen = _Seen(digest=_digest(data))

    def work(out: Path) -> None:
        from skyloom.reward import lab_heads, lab_page  # torch is needed from here on

        found = lab_heads.ablate(data, config)
        full = lab_page.read_full(config.full, found.names) if config.full is not None else None
        write_evaluation(out, *lab_page.report(found, data, config, full, stream(config.seed, "lab", "page")))
        store.write_json(out / TIMING, dict(zip(found.names, found.seconds, strict=True)))

    inputs = [*folders, *([config.full] if config.full is not None else [])]
    return read_evaluation(run.step(STEP, work, config=(config, seen), inputs=inputs, version=VERSION))


def read_rows(collected: Path, curated: Path | None = None) -> pl.DataFrame:
    """Record columns, source and the columns raw, kept, reason, weight and label of FACTS.

    A row that curation flipped or repaired stands twice: as it was, and as it was kept. Retracted rows are left out.
    """
    parts = ledger_rows.row_parts([collected])
    if not parts:
        raise BadInput(f"{collected}: holds no rows")
    pool = pl.concat([pl.read_parquet(part) for part in parts], how="vertical_relaxed")
    if curated is None:
        plain = {"raw": True, "kept": False, "weight": 1.0, "label": 1.0}
        none = pl.lit(None, pl.String).alias("reason")
        return pool.with_columns(none, *(pl.lit(value).alias(name) for name, value in plain.items()))
    verdicts = read_decisions(curated).select(
        "row", "weight", "label", pl.col("kept"), pl.col("action", "reason").cast(pl.String)
    )
    changed = pl.col("kept") & pl.col("action").is_in(["flip", "repair"])
    joined = pool.join(verdicts, on="row", how="inner", maintain_order="left")
    own = joined.filter(pl.col("reason").fill_null("") != RETRACTED).with_columns(
        pl.lit(True).alias("raw"), (pl.col("kept") & ~changed).alias("kept")
    )
    mended = read_kept(curated).drop("weight", "label").join(verdicts, on="row", how="inner", maintain_order="left")
    mended = mended.filter(changed).with_columns(pl.lit(False).alias("raw"))
    return pl.concat([own, mended.select(*(name for name in own.columns if name in mended.columns))], how="diagonal")


def assemble(rows: pl.DataFrame, find: Callable[[Sequence[Pair]], Features], folder: Path) -> Data:
    """The rows with both sides' features; those without are counted and left out. Raises BadInput where none is left."""
    pairs = [from_row(Pair, row) for row in rows.iter_rows(named=True)]
    sides = find(pairs).of(pairs)
    known = sides.known_M
    if not known.any():
        raise BadInput(f"lab: none of {len(pairs):,} pairs has features in {folder}")
    if not (np.isfinite(sides.chosen_MD).all() and np.isfinite(sides.rejected_MD).all()):
        raise BadInput(f"lab: {folder} holds features that are not finite; the model or its dtype is broken")
    said = scores.annotate(rows, scores.Config())
    built = {
        "prompt": [" ".join(prompt_text(pair.prompt).casefold().split()) for pair in pairs],
        "origin": [pair.origin for pair in pairs],
        "category": [pair.category for pair in pairs],
        "score": said["scores.mean"],
        "gap": said["scores.gap"].fill_null(0.0),
        "longer": [float(np.log1p(len(pair.chosen)) - np.log1p(len(pair.rejected))) for pair in pairs],
    }
    others = {name: rows[name] for name in FACTS if name not in built}
    facts = pl.DataFrame({**built, **others}).select(*FACTS).cast(pl.Schema(FACTS))
    raw_N = rows["raw"].to_numpy()
    counts = {"pairs read": int(raw_N.sum()), "pairs without features, left out": int((raw_N & ~known).sum())}
    return Data(
        facts=facts.filter(pl.Series(known)),
        chosen_ND=sides.chosen_MD[known],
        rejected_ND=sides.rejected_MD[known],
        counts=counts,
        protocol=features.about(folder),
    )


def _collect_step(config: LabConfig, run: Run) -> list[Path]:
    """The collected folder and, with `curated`, the curated one."""
    if config.curated is not None:
        folders = [config.curated / "collect", config.curated / "curate"]
        if not all((folder / "step.json").is_file() for folder in folders):
            raise BadInput(f"{config.curated}: holds no finished collect and curate steps")
        return folders

    def work(out: Path) -> None:
        ledger_rows.collect(config.collect, Pair, out)

    inputs = ledger_rows.source_inputs(config.collect)
    folder = run.step("collect", work, config=config.collect, inputs=inputs, version=VERSION)
    on_purpose = [each.plugin for each in ledger_rows.read_sources([folder]) if each.as_train and each.split == "test"]
    if on_purpose:
        run.note(trained_on_test_splits=list(on_purpose))
    return [folder]


def _folder(config: LabConfig, run: Run) -> Path:
    if config.features is not None:
        return config.features
    told = f"{config.model}\x1f{config.score.max_length}\x1f{config.score.over_long}\x1f{config.score.dtype}"
    return run.cache / "features" / hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


def _features(config: LabConfig, run: Run, pairs: Sequence[Pair]) -> Features:
    folder = _folder(config, run)
    made = features.about(folder).get("model")
    if config.model and made is not None and made != config.model:
        raise BadInput(f"lab: {folder} holds features of {made}, not of {config.model}")
    if config.have:
        return features.read(folder)
    if not config.model:
        raise BadInput("lab: --model names the backbone whose features are used")

    def load() -> "Scorer":
        from skyloom.reward.score import Scorer

        return Scorer.frozen(config.model, config.score)

    return features.cache(pairs, folder, load)


def _digest(data: Data) -> str:
    """Features are a function of the texts, which key the step already, and of this."""
    seen = hashlib.blake2b(canonical(data.protocol), digest_size=16)
    seen.update(canonical([data.counts["pairs read"], data.counts["pairs without features, left out"]]))
    seen.update("\0".join(data.facts["prompt"]).encode("utf-8", "surrogatepass"))
    seen.update(data.facts["longer"].to_numpy().tobytes())
    return seen.hexdigest()
