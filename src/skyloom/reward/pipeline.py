"""The reward loop: pairs in, a curated set, a reward model, and how far it can be trusted.

Flow   collect -> curate -> train -> evaluate -> report, each a step of one run directory
Run    skyloom run skywork_reward --smoke
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import polars as pl

from skyloom.core import metrics, registry, store
from skyloom.core.config import Config, PluginConfig
from skyloom.core.errors import BadInput
from skyloom.core.ledger.curate import curate, read_kept
from skyloom.core.ledger.query import retractions
from skyloom.core.ledger.rows import collect, source_inputs
from skyloom.core.metrics import Evaluation, read_evaluation
from skyloom.core.records import SourceConfig
from skyloom.core.run import Run, content_of
from skyloom.core.text.ngrams import Rule
from skyloom.reward import planning, summary
from skyloom.reward.annotate import contamination
from skyloom.reward.annotate.control_tokens import cut
from skyloom.reward.evals import held_out, reward_bench
from skyloom.reward.evals._prompts import Prompt, index_of, prompts_of
from skyloom.reward.evaluate import evaluate, touched_items
from skyloom.reward.records import Pair
from skyloom.reward.settings import EvalConfig, RewardConfig, ScoreConfig, TrainConfig
from skyloom.reward.sources._files import FilesConfig

VERSION: int = 2
"""Raise it when a step's own code changes its output."""
DEFECTS: dict[str, tuple[str, ...]] = {
    "copy": ("duplicate",),
    "near_copy": ("near_duplicate",),
    "contradiction": ("contradicting_labels",),
    "near_contradiction": ("near_contradicting_labels",),
    "length": ("length_ratio",),
    "artefact": ("control_token", "control_token_inseparable"),
    "leak": ("contaminated_prompt", "contaminated_response"),
    "wrong_label": ("contradicting_labels", "near_contradicting_labels", "disagrees", "flipped"),
}
"""Defect of the preference world -> the reasons that count as having found it. A selection by score finds no fault, it ranks."""


def run(config: RewardConfig, run: Run) -> Evaluation:
    """All steps, as far as they are not done; returns the evaluation. Raises BadInput and FailedWork of the steps."""
    config = generate_step(config, run)
    _refuse_own_benchmark(config)
    collected = collect_step(config, run)
    curated = curate_step(config, run, collected)
    trained = train_step(config, run, curated)
    return read_evaluation(evaluate_step(config, run, curated, trained))


def plan(config: RewardConfig) -> planning.Plan:
    """Tokens, memory, hours and money of the training and the evaluation."""
    return planning.plan(config.train, config.evaluate, config.collect, config.planned_pairs, config.planned_tokens)


def generate_step(config: RewardConfig, run: Run) -> RewardConfig:
    """Write the generated sets, where the config asks for them; returns the config with every missing path filled in."""
    if config.generate is None:
        return config
    from skyloom.reward.world import sets

    wanted = config.generate

    def work(out: Path) -> None:
        sets.write(out, wanted.scale, wanted.seed)

    folder = run.step("generate", work, config=wanted, version=VERSION)
    files = sets.files(folder)
    collect = tuple(_located(source, files) for source in config.collect)
    evaluate = config.evaluate
    if isinstance(evaluate, reward_bench.Config) and evaluate.path is None:
        evaluate = replace(evaluate, path=files["reward_bench"])
    return replace(config, collect=collect, evaluate=evaluate)


def collect_step(config: RewardConfig, run: Run) -> Path:
    """Read all sources; a test split that is trained on purpose is noted in the manifest."""
    on_purpose = [str(registry.plugin_of(source)) for source in config.collect if _is_test(source)]
    if on_purpose:
        run.note(trained_on_test_splits=list(on_purpose))

    def work(out: Path) -> None:
        collect(config.collect, Pair, out, config.execute)

    return run.step("collect", work, config=config.collect, inputs=source_inputs(config.collect), version=VERSION)


def curate_step(config: RewardConfig, run: Run, collected: Path) -> Path:
    """Index the benchmark, run the chain, write what is kept and why, and, for worlds, what was planted against what was found."""
    lists = retractions(run.path)

    def work(out: Path) -> None:
        chain = _with_index(config, out)
        curate(
            [collected],
            chain,
            out,
            run.cache,
            execute=config.execute,
            retractions=lists[0] if lists else None,
            mend=mend,
            defects=DEFECTS,
        )
        scale = config.generate.scale if config.generate else 1.0
        tables = summary.tables(out, config.published, scale)
        if tables:
            store.write_json(out / metrics.TABLES, [table.to_json() for table in tables])

    keyed = (*config.curate, config.evaluate, _Index(ngram=config.ngram, contain=config.contain))
    inputs = [collected, *_inputs(config.evaluate), *config.benchmarks, *_chain_inputs(config.curate), *lists]
    return run.step("curate", work, config=keyed, inputs=inputs, version=VERSION)


def train_step(config: RewardConfig, run: Run, curated: Path) -> Path:
    """Train the reward model on the kept pairs."""

    def work(out: Path) -> None:
        from skyloom.reward.train import train  # torch is needed from here on

        train(read_kept(curated), config.train, out)

    return run.step("train", work, config=config.train, inputs=[curated], version=VERSION)


def evaluate_step(config: RewardConfig, run: Run, curated: Path, trained: Path) -> Path:
    """Score the benchmark with the trained model; items that training data touched are told apart."""
    chosen = _with_slice(config.evaluate, trained)

    def work(out: Path) -> None:
        from skyloom.reward.score import Scorer

        touched = None
        if not isinstance(chosen, held_out.Config):  # whose prompts were carved from the same pairs
            rule = Rule(n=config.ngram, contain=min(config.contain, config.ngram))
            touched = touched_items(benchmark_of(chosen).items(chosen), read_kept(curated), rule)
        scorer = Scorer.load(trained / "model", scoring_of(config.train))
        scorer.name = run.path.name
        evaluate(scorer, chosen, out, seed=config.seed, touched=touched)

    inputs = [curated, trained, *_inputs(config.evaluate)]
    keyed = (config.evaluate, config.train, _Index(ngram=config.ngram, contain=config.contain))
    return run.step("evaluate", work, config=keyed, inputs=inputs, version=VERSION)


def scoring_of(config: TrainConfig) -> ScoreConfig:
    """How a model that was trained so is asked: the same lengths, policy, attention, device, and type of the forward pass."""
    backbone = config.backbone
    half = "bfloat16" in (backbone.dtype, config.optim.dtype) or backbone.attention == "flash_attention_2"
    return ScoreConfig(
        max_length=backbone.max_length,
        over_long="drop" if config.over_long == "error" else config.over_long,
        budget=config.budget,
        dtype="bfloat16" if half else "float32",
        attention=backbone.attention,
        device=config.optim.device,
    )


def mend(kept: pl.DataFrame) -> pl.DataFrame:
    """Apply the ledger's verdicts to the text: flip swaps the sides, repair cuts them before their first control token."""
    flip, repair = (pl.col("action").cast(pl.String) == word for word in ("flip", "repair"))
    swapped = kept.with_columns(
        pl.when(flip).then(pl.col(other)).otherwise(pl.col(own)).alias(own)
        for stem in ("", "score_")
        for own, other in ((f"{stem}chosen", f"{stem}rejected"), (f"{stem}rejected", f"{stem}chosen"))
    )
    return swapped.with_columns(
        pl.when(repair).then(cut(pl.col(side))).otherwise(pl.col(side)).alias(side) for side in ("chosen", "rejected")
    )


def benchmark_of(config: EvalConfig) -> ModuleType:
    """The benchmark's module: items(config), credits(items, scores) and measure(items, scores, rng)."""
    return registry.module_of(config)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Index(Config):
    """What the index of the benchmark depends on beside the benchmark."""

    ngram: int
    contain: int


def _with_index(config: RewardConfig, out: Path) -> list[PluginConfig]:
    """The chain, with an index of the evaluated and the named benchmarks where a contamination annotator names none."""
    if not any(isinstance(each, contamination.Config) and each.index is None for each in config.curate):
        return list(config.curate)
    prompts = [prompt for path in config.benchmarks for prompt in prompts_of(path)]
    if not isinstance(config.evaluate, held_out.Config):  # held-out pairs are carved only after curation
        items = benchmark_of(config.evaluate).items(config.evaluate)
        prompts += [Prompt(item.name, item.prompt[-1].content) for item in items]
    if not prompts:
        raise BadInput("curate: contamination needs a benchmark: set benchmarks, or the annotator's index")
    file = out / "benchmark.npz"
    index_of(prompts, Rule(n=config.ngram, contain=min(config.contain, config.ngram))).save(file)
    chain = (
        replace(each, index=file) if isinstance(each, contamination.Config) and each.index is None else each
        for each in config.curate
    )
    return list(chain)


def _located(source: SourceConfig, files: Mapping[str, Path]) -> SourceConfig:
    """The source reading its generated file, where it has no path of its own."""
    name = registry.plugin_of(source).name
    if isinstance(source, FilesConfig) and source.path == Path() and name in files:
        return replace(source, path=files[name])
    return source


def _is_test(source: SourceConfig) -> bool:
    """A test split that is trained on; `collect` refuses it without as_train."""
    split: Callable[[SourceConfig], str] | None = getattr(registry.module_of(source), "split", None)
    return source.as_train and split is not None and split(source) == "test"


def _refuse_own_benchmark(config: RewardConfig) -> None:
    """A model that was trained on a benchmark's file may not be reported on that file."""
    trained = {content_of(path) for path in source_inputs([source for source in config.collect if source.as_train])}
    for path in _inputs(config.evaluate):
        if not path.exists():
            raise BadInput(f"evaluate: {path}: no such file; --set evaluate.path=FILE names the benchmark's file")
        if content_of(path) in trained:
            raise BadInput(f"{path}: is trained on (as_train), so nothing is reported on it; evaluate on other data")


def _with_slice(config: EvalConfig, trained: Path) -> EvalConfig:
    if isinstance(config, held_out.Config) and config.path is None:
        return replace(config, path=trained / "held_out.parquet")
    return config


def _inputs(config: PluginConfig) -> tuple[Path, ...]:
    read: Callable[[PluginConfig], tuple[Path, ...]] | None = getattr(registry.module_of(config), "inputs", None)
    return read(config) if read is not None else ()


def _chain_inputs(chain: Sequence[PluginConfig]) -> tuple[Path, ...]:
    return tuple(path for config in chain for path in _inputs(config))
