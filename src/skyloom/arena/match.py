"""Matches: bot against bot, or many games at once for an agent.

Flow    maps + players -> [MATCH] -> recordings
Run     python -c "from skyloom.arena import match; print(match.play('basin', [match.bot('marine_push'), match.bot('slow_push')], seed=1))"
Shapes  N games, K decisions that are due
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from skyloom.arena import spec
from skyloom.arena.command import Command, encode
from skyloom.arena.engine.layout import H_LOOP
from skyloom.arena.engine.state import Engine
from skyloom.arena.game_map import GameMap, load_map
from skyloom.arena.recording import Recording, is_swapped
from skyloom.arena.view import View, Window
from skyloom.core import registry
from skyloom.core.config import PluginConfig
from skyloom.core.errors import BadInput
from skyloom.core.rng import derive

MAX_LOOPS: int = 20_000
"""About 15 minutes; a longer game is a draw."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """What a player knows of the map before the game, as StarCraft II's game info tells it. Places in 1/4096 cell."""

    map_name: str
    width: int
    height: int
    own: tuple[int, int]
    """Own town hall."""
    enemy: tuple[int, int]
    """The enemy's start location."""
    expansions: tuple[tuple[int, int], ...]
    """Places for further town halls, nearest to the own start first."""


class Player(Protocol):
    """Anything that plays: a scripted bot, a network, a person."""

    def reset(self, seed: int, player_id: int, start: Start) -> None:
        """A new game begins; `player_id` is 1 or 2."""
        ...

    def act(self, view: View) -> spec.Action:
        """One decision; the action says after how many loops the next one is due. The view is valid until this returns."""
        ...


class Games:
    """N games on one map that run from decision to decision; `waiting` says whose decisions are due.

    `progress` gets one line if the engine must be compiled first.
    """

    def __init__(
        self,
        map_name: str,
        seeds: Sequence[int],
        *,
        max_loops: int = MAX_LOOPS,
        players: Sequence[tuple[str, str]] | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        if max_loops < 1 or not seeds:
            raise BadInput("games: at least one seed and one loop are needed")
        self.map: GameMap = load_map(map_name)
        self._engine = Engine(spec.RULES, self.map.ground_HW, len(seeds), progress)
        self._max_loops = max_loops
        self._names = list(players or [("player 1", "player 2")] * len(seeds))
        self._window = Window(2 * len(seeds))
        self._views: View | None = None
        self._seeds = [0] * len(seeds)
        self._decisions: list[list[tuple[int, ...]]] = [[] for _ in seeds]
        self._units: list[list[int]] = [[] for _ in seeds]
        for game, seed in enumerate(seeds):
            self.restart(game, seed)

    def __len__(self) -> int:
        return len(self._seeds)

    @property
    def waiting(self) -> NDArray[np.int32]:
        """(K, 2) game index and player id (1 or 2) of every decision that is due; empty when all games are over."""
        return self._waiting

    @property
    def winners(self) -> NDArray[np.int64]:
        """(N,) 1 or 2, 0 for a draw, -1 while a game runs."""
        return self._engine.winners()

    @property
    def loops(self) -> NDArray[np.int64]:
        """(N,) game loops played."""
        return self._engine.loops()

    def start(self, game: int, player: int) -> Start:
        """What a player knows of the map before the game."""
        first, second = self.map.starts
        own, enemy = (first, second) if (player == 1) != is_swapped(self._seeds[game]) else (second, first)
        places = [(place.x, place.y) for place in self.map.expansions]
        places.sort(key=lambda place: (place[0] - own.x) ** 2 + (place[1] - own.y) ** 2)
        height, width = self.map.ground_HW.shape
        return Start(
            map_name=self.map.name,
            width=width,
            height=height,
            own=(own.x, own.y),
            enemy=(enemy.x, enemy.y),
            expansions=tuple(places),
        )

    def restart(self, game: int, seed: int) -> None:
        """Begin a game anew in a place; its recording so far is dropped."""
        self._seeds[game] = seed
        self._decisions[game], self._units[game] = [], []
        placements = self.map.placements(swapped=is_swapped(seed))
        self._engine.start(game, placements, derive(seed, "game"), self._max_loops)
        self._waiting = self._engine.waiting()
        self._views = None

    def observe(self) -> View:
        """K views in the order of `waiting`; valid until the next call of `observe` (else copy)."""
        if self._views is None:
            self._views = self._window.observe(self._engine, self._waiting)
        return self._views

    def act(self, actions: Sequence[spec.Action]) -> NDArray[np.int64]:
        """One action for every decision that is due, then on to the next ones; (K,) ActionResult codes, 1 = done.

        A command that the game refuses (too dear by now, no room) does nothing. Raises BadInput for an action that does not
        fit its view; no command of this call has then been carried out.
        """
        views = self.observe()
        if len(actions) != len(views):
            raise BadInput(f"games: {len(views)} decisions are due, got {len(actions)} actions")
        commands = [encode(views[k], action) for k, action in enumerate(actions)]
        results = np.ones(len(commands), dtype=np.int64)
        for k, ((game, player), command) in enumerate(zip(self._waiting.tolist(), commands, strict=True)):
            if command.ability:
                results[k] = self._engine.command(game, player, command.row())
            self._record(game, player, command)
            self._engine.wait(game, player, command.skip)
        self._engine.advance()
        self._waiting = self._engine.waiting()
        self._views = None
        return results

    def recording(self, game: int) -> Recording:
        """A finished game's recording; raises BadInput while it runs."""
        winner = int(self.winners[game])
        if winner < 0:
            raise BadInput(f"game {game} is not over yet")
        return Recording(
            map=self.map.name,
            ruleset=spec.RULES.ruleset,
            seed=self._seeds[game],
            players=self._names[game],
            max_loops=self._max_loops,
            decisions_D8=np.array(self._decisions[game], dtype=np.int32).reshape(-1, 8),
            units_V=np.array(self._units[game], dtype=np.int32),
            loops=int(self.loops[game]),
            winner=winner,
            final_hash=self._engine.hash(game),
        )

    def save(self, game: int) -> NDArray[np.int32]:
        """A copy of a game's whole state."""
        return self._engine.states_NS[game].copy()

    def hash(self, game: int) -> str:
        """32 hex digits over a game's state."""
        return self._engine.hash(game)

    def _record(self, game: int, player: int, command: Command) -> None:
        loop = int(self._engine.states_NS[game, H_LOOP])
        queued_skip = command.skip * 2 + command.queued
        row = (loop, player, command.ability, command.x, command.y, command.target, queued_skip, len(command.units))
        self._decisions[game].append(row)
        self._units[game].extend(command.units)


def bot(name: str, config: PluginConfig | None = None) -> Player:
    """A scripted player by its file's name in arena/bots (or a plug-in directory); default settings without a config."""
    module = registry.load("arena.bots", name)
    build = cast(Callable[[PluginConfig], Player], module.build)
    return build(config if config is not None else cast(PluginConfig, module.Config()))


def play(
    map_name: str,
    players: Sequence[Player],
    seed: int,
    max_loops: int = MAX_LOOPS,
    names: tuple[str, str] | None = None,
) -> Recording:
    """One game between two players, the first as player 1. The seed decides start locations and all chance."""
    if len(players) != 2:
        raise BadInput(f"a match takes two players, got {len(players)}")
    labels = names or (_label(players[0]), _label(players[1]))
    games = Games(map_name, (seed,), max_loops=max_loops, players=[labels])
    for player_id, player in enumerate(players, start=1):
        player.reset(derive(seed, "player", player_id), player_id, games.start(0, player_id))
    while len(games.waiting):
        views = games.observe()
        games.act([players[player_id - 1].act(views[k]) for k, (_, player_id) in enumerate(games.waiting.tolist())])
    return games.recording(0)


def _label(player: Player) -> str:
    return str(getattr(player, "name", type(player).__name__))
