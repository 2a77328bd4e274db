"""Win rate: the agent against a scripted player, beside a player that never acts and one that acts at random.

Formula  wins / games with Wilson's interval; a draw is no win and is reported apart
Source   SCC (arXiv 2012.13169, tables 1 and 2) reports wins of 100 games against each built-in player
Flow     collect -> curate -> train -> [evaluate] -> report
Run      skyloom starcraft eval --agent RUN/train --opponent slow_push --games 100
Limits   Fresh seeds, sides alternate: game k has the agent as player 1 where k is even. Scripted players have chance
         of their own, so games of one pairing are taken as independent.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from skyloom.arena.spec import LOOPS_PER_SECOND
from skyloom.core import rng, store
from skyloom.core.config import PluginConfig
from skyloom.core.metrics import Estimate, Evaluation, Plot, Series, Table, write_evaluation
from skyloom.core.records import Reject
from skyloom.core.stats import wilson
from skyloom.starcraft.agent.config import PolicyConfig
from skyloom.starcraft.play import Outcome, Pairing, play_games
from skyloom.starcraft.policies import IdlePolicy, Policy, RandomPolicy


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(PluginConfig):
    """How the agent is examined."""

    map: str = "basin"
    opponents: tuple[str, ...] = ("slow_push",)
    """Scripted players; the first gives the headline and the baselines."""
    games: int = 100
    """Games of the agent against each opponent."""
    null_games: int = 100
    """Games of each null player against the first opponent."""
    max_loops: int = 20_000
    """A longer game is a draw."""
    width: int = 32
    """Games that run side by side."""
    policy: PolicyConfig = field(default_factory=PolicyConfig)

    def __post_init__(self) -> None:
        """Raise ValueError for values that give no interval."""
        if not self.opponents or self.games < 1 or self.null_games < 1 or self.width < 1 or self.max_loops < 1:
            raise ValueError("opponents, games, null_games, width and max_loops must hold at least one")


class Item(NamedTuple):
    """One game to play: the opponent, the agent's side and the seed."""

    opponent: str
    side: int
    seed: int


class Tally(NamedTuple):
    """Wins, draws and losses of one player against one opponent."""

    player: str
    opponent: str
    outcomes: tuple[tuple[Item, Outcome], ...]

    def count(self, result: str) -> int:
        """Games with a result: win, draw or loss."""
        return sum(result_of(item, outcome) == result for item, outcome in self.outcomes)

    @property
    def estimate(self) -> Estimate:
        """Win rate; draws count as not won."""
        interval = wilson(self.count("win"), len(self.outcomes))
        return Estimate.of(f"win rate of {self.player} against {self.opponent}", interval)


def items(seed: int, opponent: str, games: int) -> Iterator[Item]:
    """The games to play: sides alternate, seeds are derived and never those of the training games."""
    for k in range(games):
        yield Item(opponent, 1 + k % 2, rng.derive(seed, "win_rate", opponent, k) % 2**31)


def result_of(item: Item, outcome: Outcome) -> str:
    """win, draw or loss, from the agent's side."""
    if outcome.winner == 0:
        return "draw"
    return "win" if outcome.winner == item.side else "loss"


def score(item: Item, outcome: Outcome) -> float:
    """1 for a win, else 0."""
    return float(result_of(item, outcome) == "win")


def measure(player: str, policy: Policy, opponent: str, games: int, config: Config, seed: int) -> Tally:
    """Play one policy against one scripted player."""
    chosen = list(items(seed, opponent, games))
    pairings = [
        Pairing(item.seed, policy, opponent) if item.side == 1 else Pairing(item.seed, opponent, policy)
        for item in chosen
    ]
    outcomes = play_games(config.map, pairings, config.max_loops, width=config.width)
    return Tally(player, opponent, tuple(zip(chosen, outcomes, strict=True)))


def evaluate(policy: Policy, config: Config, seed: int, folder: Path, train: Path | None = None) -> Evaluation:
    """Play all games and write results, tables and plots; `train` adds the heads' validation to the tables."""
    tallies = [measure("agent", policy, each, config.games, config, seed) for each in config.opponents]
    nulls = [
        measure(name, null, config.opponents[0], config.null_games, config, seed)
        for name, null in (("random", RandomPolicy()), ("idle", IdlePolicy()))
    ]
    evaluation = Evaluation(
        headline=tallies[0].estimate,
        baselines=tuple(tally.estimate for tally in nulls),
        others=tuple(tally.estimate for tally in tallies[1:]) + tuple(_draws(tally) for tally in tallies),
    )
    tables = [_win_table([*tallies, *nulls]), *([_head_table(train)] if train is not None else [])]
    write_evaluation(folder, evaluation, tables, [_length_plot(tallies[0])])
    return evaluation


def _draws(tally: Tally) -> Estimate:
    interval = wilson(tally.count("draw"), len(tally.outcomes))
    return Estimate.of(f"draws of {tally.player} against {tally.opponent}", interval)


def _win_table(tallies: Sequence[Tally]) -> Table:
    rows = [
        (
            tally.player,
            tally.opponent,
            tally.estimate.interval,
            tally.count("win"),
            tally.count("draw"),
            tally.count("loss"),
            round(sum(o.loops for _, o in tally.outcomes) / len(tally.outcomes) / LOOPS_PER_SECOND, 1),
            round(_apm(tally), 1),
        )
        for tally in tallies
    ]
    columns = ("player", "opponent", "win rate", "wins", "draws", "losses", "mean seconds", "actions a minute")
    note = "sides alternate, fresh seeds; a draw (loop limit) is not a win; actions are decisions other than no_op"
    return Table(title="Games", note=note, columns=columns, rows=tuple(rows))


def _apm(tally: Tally) -> float:
    actions = sum(outcome.actions[item.side - 1] for item, outcome in tally.outcomes)
    return actions * 60 * LOOPS_PER_SECOND / sum(outcome.loops for _, outcome in tally.outcomes)


def _head_table(train: Path) -> Table:
    (raw,) = store.read_json_rows(train / "validation.json")
    heads: dict[str, Any] = {} if isinstance(raw, Reject) else dict(raw.data["heads"])  # Any: JSON of our own making
    rows = tuple(
        (name, each.get("accuracy"), each.get("low"), each.get("high"), each["n"], round(each["loss"], 4))
        for name, each in heads.items()
    )
    note = "on validation games carved from train; units: the whole selection exact; n: decisions that use the head"
    return Table(
        title="Imitation, head by head", note=note, columns=("head", "accuracy", "low", "high", "n", "loss"), rows=rows
    )


def _length_plot(tally: Tally) -> Plot:
    """Game lengths of won and lost games, sorted: the share of games that were over by then."""
    series: list[Series] = []
    for result in ("win", "loss", "draw"):
        seconds = sorted(o.loops / LOOPS_PER_SECOND for i, o in tally.outcomes if result_of(i, o) == result)
        share = tuple((k + 1) / len(tally.outcomes) for k in range(len(seconds)))
        if seconds:
            series.append(Series(name=result, x=tuple(seconds), y=share))
    return Plot(
        title=f"Games of the agent against {tally.opponent}", x="seconds", y="share of all games", series=tuple(series)
    )
