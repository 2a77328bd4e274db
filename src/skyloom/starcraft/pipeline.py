"""The starcraft loop: games in, an agent that wins out.

Flow  collect -> curate -> train -> evaluate -> report, each a step of one run directory
Run   skyloom run scc:smoke --out DIR
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from skyloom.core import registry
from skyloom.core.ledger.curate import curate, read_kept
from skyloom.core.ledger.query import retractions
from skyloom.core.ledger.rows import collect, source_inputs
from skyloom.core.metrics import Evaluation, read_evaluation
from skyloom.core.plan import Plan
from skyloom.core.run import Run
from skyloom.starcraft import planning
from skyloom.starcraft.records import Game
from skyloom.starcraft.settings import ScConfig

Config = ScConfig

DEFECTS: Mapping[str, Sequence[str]] = {
    "idle_side": ("idle_side",),
    "truncated": ("damaged",),
    "altered": ("differs",),
    "false_winner": ("winner",),
    "duplicate": ("duplicate",),
}
"""Planted defect of the world -> reasons of the deciders that count as having found it."""


def run(config: ScConfig, run: Run) -> Evaluation:
    """All steps, each skipped where it is done; returns the evaluation that stands in evaluate/results.json."""
    trained = learn(config, run)
    run.step(
        "evaluate",
        lambda out: _evaluate(config, trained, out),
        config=config.evaluate,
        inputs=(trained,),
    )
    return read_evaluation(run.path / "evaluate")


def learn(config: ScConfig, run: Run) -> Path:
    """Collect, curate and train; returns the train step's folder."""
    collected = run.step(
        "collect",
        lambda out: _ignore(collect(config.collect, Game, out, config.execute)),
        config=config.collect,
        inputs=source_inputs(config.collect),
    )
    curated = run.step(
        "curate",
        lambda out: _curate(config, collected, out, run),
        config=config.curate,
        inputs=(collected, *retractions(run.path)),
    )
    return run.step(
        "train",
        lambda out: _train(config, curated, out),
        config=config.train,
        inputs=(curated,),
    )


def plan(config: ScConfig) -> Plan:
    """What the run will cost, before anything is spent."""
    return planning.plan(config)


def _ignore(value: object) -> None:
    del value


def _curate(config: ScConfig, collected: Path, out: Path, run: Run) -> None:
    listed = retractions(run.path)
    curate(
        [collected],
        config.curate,
        out,
        run.cache,
        execute=config.execute,
        retractions=listed[0] if listed else None,
        defects=DEFECTS if _is_world(config) else None,
    )


def _is_world(config: ScConfig) -> bool:
    return any(hasattr(registry.module_of(each), "truth") for each in config.collect)


def _train(config: ScConfig, curated: Path, out: Path) -> None:
    from skyloom.starcraft.imitate import train  # torch loads here and not with the recipe

    train(read_kept(curated, ("row", "recording", "winner")), config.train, config.seed, out, config.execute)


def _evaluate(config: ScConfig, trained: Path, out: Path) -> None:
    import torch

    from skyloom.starcraft.agent.files import load_agent
    from skyloom.starcraft.agent.policy import NetworkPolicy
    from skyloom.starcraft.evals.win_rate import evaluate

    if (
        config.train.optim.threads
    ):  # rounding, and so a game, may depend on it: a resumed run must play like a whole one
        torch.set_num_threads(config.train.optim.threads)
    policy = NetworkPolicy(load_agent(trained), config.evaluate.policy)
    evaluate(policy, config.evaluate, config.seed, out, trained)
