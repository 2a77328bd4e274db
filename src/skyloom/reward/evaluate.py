"""A benchmark run: items scored, the benchmark's own rule and what else the scores tell, files for others.

Formula  an item is touched where its last user turn shares words in a row with a prompt, a chosen or a rejected side of the training
         data (core/text/ngrams.py: `n` of them; a shorter prompt is looked for whole)
Layout   OUT/results.json tables.json plots.json     the evaluation, which reports show
         OUT/scores.jsonl protocol.json rewardbench/ reward/results.py
Flow     a scorer and evals/x.py -> [evaluate] -> files, report
Run      skyloom reward eval MODEL --bench FILE.jsonl --out results
Shapes   N items, R responses of one, D hidden width
"""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import polars as pl

from skyloom.core import registry, stats
from skyloom.core.config import JSON
from skyloom.core.errors import BadInput, BadRow
from skyloom.core.metrics import Cell, Table, write_evaluation
from skyloom.core.records import Raw
from skyloom.core.rng import stream
from skyloom.core.store import find_files, read_json_rows
from skyloom.core.text.ngrams import NgramIndex, Rule
from skyloom.reward import results
from skyloom.reward.evals import _report, reward_bench
from skyloom.reward.evals._items import Item, Scores
from skyloom.reward.evals._prompts import format_name
from skyloom.reward.evals._report import Comparison, Report
from skyloom.reward.evals.reward_bench import PRIOR_SETS, PUBLISHED
from skyloom.reward.settings import EvalConfig, EvalFileConfig

if TYPE_CHECKING:
    from skyloom.reward.encoding import Encoded
    from skyloom.reward.score import Scorer

FORMATS: dict[str, str] = {
    "RewardBench": "reward_bench",
    "RewardBench 2": "reward_bench_2",
    "RM-Bench": "rm_bench",
    "JudgeBench": "judge_bench",
    "RMB": "rmb",
    "PPE": "ppe",
    "LLMBar": "llm_bar",
}
"""Format of evals/_prompts.py -> benchmark plug-in; any other file is read as plain pairs."""
PAIRS: str = "pairs"


class Scoring(NamedTuple):
    """Items with their scores."""

    scores: Scores
    std: Scores | None
    """Standard deviation of each response's score against the mean of its item's, where the model has a posterior and some item more
    than two responses."""
    truncated: int
    """Items of which a prompt was cut at the left."""
    reasons: dict[str, int]
    """Why responses have no score -> how many."""


def evaluate(
    scorer: "Scorer", config: EvalConfig, out: Path | None, *, seed: int = 0, touched: Sequence[str] | None = None
) -> Report:
    """Score one benchmark, write the files of the layout where `out` is given, and return the report.

    Raises BadInput where the benchmark's file is not whole or no response can be scored.
    """
    module = registry.module_of(config)
    items: tuple[Item, ...] = module.items(config)
    scoring = score_items(scorer, items, f"scoring {registry.plugin_of(config).name}")
    temperature = scorer.calibration.temperature if scorer.calibration is not None else 1.0
    report = _report.report(
        module,
        items,
        scoring.scores,
        stream(seed, "evaluate"),
        touched=touched,
        temperature=temperature,
        std=scoring.std,
    )
    if out is not None:
        write_evaluation(out, *report)
        told: dict[str, JSON] = {"truncated_items": scoring.truncated, "unscored": dict(scoring.reasons)}
        left_out = getattr(module, "left_out", None)
        if left_out is not None:
            told["left_out"] = left_out(config)
        protocol = results.manifest(
            registry.plugin_of(config).name, items, scoring.scores, _inputs(config), {**scorer.protocol, **told}
        )
        credits_N = module.credits(items, scoring.scores)
        results.write(out, scorer.name, items, scoring.scores, credits_N, protocol)
    return report


def score_items(scorer: "Scorer", items: Sequence[Item], label: str = "") -> Scoring:
    """Scores of every response of every item; NaN for one that is too long or holds a special token, which costs its item's other
    responses nothing. Raises BadInput where none can be scored."""
    groups: list[Encoded] = []
    at: list[tuple[int, list[int]]] = []
    reasons: Counter[str] = Counter()
    truncated = 0
    for k, item in enumerate(items):
        encoded, known = _encoded(scorer, item, reasons)
        if encoded is not None:
            groups.append(encoded)
            at.append((k, known))
            truncated += encoded.cut > 0
    if not groups:
        why = reasons.most_common(1)[0][0] if reasons else "there is none"
        raise BadInput(f"evaluation: no response could be scored ({why}); raise max_length, or look at the file")
    scores = [np.full(len(item.responses), np.nan) for item in items]
    spread = [np.full(len(item.responses), np.nan) for item in items]
    posterior = scorer.laplace if any(len(item.responses) > 2 for item in items) else None
    if posterior is None:
        found = scorer.score(groups, label)
    else:
        features = scorer.features(groups, label)
        found = [scorer.head(feature_RD) for feature_RD in features]
        for (k, known), feature_RD in zip(at, features, strict=True):
            spread[k][known] = posterior.gap_std(feature_RD - feature_RD.mean(axis=0))
    for (k, known), score_R in zip(at, found, strict=True):
        scores[k][known] = score_R
    return Scoring(scores, spread if posterior is not None else None, truncated, dict(sorted(reasons.items())))


def touched_items(items: Sequence[Item], rows_N: pl.DataFrame, rule: Rule) -> list[str]:
    """Names of the items whose last user turn stands in training pairs (columns prompt, chosen, rejected)."""
    index = NgramIndex.build([item.prompt[-1].content for item in items], rule, [item.name for item in items])
    turns = rows_N["prompt"].explode().struct.field("content")
    found: set[str] = set()
    for texts in (turns, rows_N["chosen"], rows_N["rejected"]):
        found.update(index.query(texts)["item"].to_list())
    return sorted(found)


def compare(config: EvalConfig, first: Path, second: Path, *, seed: int = 0) -> Comparison:
    """Two folders of results on one benchmark, item by item; raises BadInput where one does not fit its items."""
    module = registry.module_of(config)
    items: tuple[Item, ...] = module.items(config)
    a, b = (results.align(items, results.read_scores(folder / results.SCORES)) for folder in (first, second))
    names = (first.name or "A", second.name or "B")
    if names[0] == names[1]:
        names = (str(first), str(second))
    found = _report.compare(module, items, a, b, stream(seed, "compare"), names)
    other = _differing(results.read_protocol(first), results.read_protocol(second))
    if other:
        note = f"{found.table.note}; SCORED DIFFERENTLY: {', '.join(other)}"
        found = found._replace(table=replace(found.table, note=note))
    return found


def compare_all(config: EvalConfig, folders: Sequence[Path], *, seed: int = 0) -> Table:
    """Every two of several folders of results on one benchmark; Holm's correction over the pairs of models."""
    rows: list[tuple[Cell, ...]] = []
    for first, second in itertools.combinations(folders, 2):
        found = compare(config, first, second, seed=seed)
        whole = dict(zip(found.table.columns, found.table.rows[0], strict=True))
        name = f"{first.name} - {second.name}"
        gap = next((each.interval for each in found.estimates if each.name.startswith(name)), None)
        rows.append((name, gap, whole["test"], whole["p"]))
    held = stats.holm([cast(float, row[-1]) for row in rows]).tolist()
    note = f"differences in mean credit on the same items; brackets: 95 %; Holm over the {len(rows)} pairs of models"
    columns = ("models", "difference", "test", "p", "p, Holm")
    return Table(title="Models against one another", note=note, columns=columns, rows=tuple(
        (*row, p) for row, p in zip(rows, held, strict=True)
    ))  # fmt: skip


def benchmark(text: str) -> EvalConfig:
    """The benchmark that `PATH` or `NAME=PATH` means: by its columns where no name is given, plain pairs where none is known.

    Raises BadInput for a missing file, an unknown name, or a benchmark without files.
    """
    name, _, path = text.partition("=")
    known = registry.names("reward.evals")
    if name not in known or not path:
        name, path = "", text
    place = Path(path).expanduser()
    if not place.exists():
        raise BadInput(f"--bench {text}: no such file or folder; known names: {', '.join(known)}")
    module: Any = registry.load("reward.evals", name or _guess(place))  # Any: modules have no static type
    config: EvalConfig = module.Config()
    if not isinstance(config, EvalFileConfig | reward_bench.Config):
        raise BadInput(f"--bench {text}: {name} reads no file")
    return replace(config, path=place.resolve())


def _differing(first: Mapping[str, JSON], second: Mapping[str, JSON]) -> list[str]:
    """What a score depends on besides model and text, where two manifests do not agree on it."""
    sides: list[dict[str, JSON]] = []
    for protocol in (first, second):
        scorer = protocol["scorer"]
        sides.append(scorer if isinstance(scorer, dict) else {})
    return [
        f"{name} {sides[0].get(name)} against {sides[1].get(name)}"
        for name in ("dtype", "attention", "max_length", "over_long")
        if sides[0].get(name) != sides[1].get(name)
    ]


def _guess(place: Path) -> str:
    """The benchmark whose columns the first readable row has; plain pairs with subsets that RewardBench does not know stay plain."""
    rows = (raw.data for file in find_files(place)[:1] for raw in read_json_rows(file) if isinstance(raw, Raw))
    first = next(rows, None)
    found = FORMATS.get(format_name(first) or "", PAIRS) if first is not None else PAIRS
    official = {*PUBLISHED, *PRIOR_SETS}
    if found == "reward_bench" and first is not None and str(first.get("subset")) not in official:
        return PAIRS
    return found


def _encoded(scorer: "Scorer", item: Item, reasons: Counter[str]) -> "tuple[Encoded | None, list[int]]":
    """The item's responses that can be encoded, and their places."""
    everything = list(range(len(item.responses)))
    try:
        return scorer.encode(item.prompt, item.responses), everything
    except BadRow:
        known = [k for k in everything if _fits(scorer, item, k, reasons)]
    return (scorer.encode(item.prompt, [item.responses[k] for k in known]) if known else None), known


def _fits(scorer: "Scorer", item: Item, place: int, reasons: Counter[str]) -> bool:
    try:
        scorer.encode(item.prompt, [item.responses[place]])
    except BadRow as error:
        reasons[error.reason] += 1
        return False
    return True


def _inputs(config: EvalConfig) -> tuple[Path, ...]:
    read: Any = getattr(registry.module_of(config), "inputs", None)  # Any: modules have no static type
    return read(config) if read is not None else ()
