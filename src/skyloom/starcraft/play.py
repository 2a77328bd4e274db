"""Many games at once between policies and scripted bots: one forward pass for every policy and look, whatever the game.

Flow    pairings -> arena.match.Games -> outcomes; evals, record and the app play through it. Torch-free.
Limits  Each game draws from its own streams, so its result does not depend on which games ran beside it; only the
        rounding of a batched forward pass can differ with the batch.
Shapes  K decisions that are due, R random numbers each
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skyloom.arena import match, spec
from skyloom.arena.view import View
from skyloom.core import rng
from skyloom.core.progress import Bar, bar
from skyloom.starcraft.policies import DRAWS, Policy

Seat = str | Policy
"""Who sits at one side: a scripted bot by name, or a policy."""


class Pairing(NamedTuple):
    """One game to play."""

    seed: int
    first: Seat
    second: Seat


class Outcome(NamedTuple):
    """How it ended."""

    winner: int
    """1, 2, or 0 for a draw (the loop limit, or both lost at once)."""
    loops: int
    actions: tuple[int, int]
    """Decisions other than no_op of both sides."""
    built: tuple[dict[str, int], dict[str, int]]
    """Most finished units of each type that each side had at a decision of its own."""
    recording: match.Recording


@dataclass(slots=True)
class _Table:
    """One running game's players and counts."""

    pairing: Pairing
    players: tuple[match.Player | None, match.Player | None]
    """Scripted players; None where a policy sits."""
    draws: tuple[np.random.Generator, np.random.Generator]
    actions: list[int] = field(default_factory=lambda: [0, 0])
    built_2T: NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, spec.N_TYPES), dtype=np.int64))


def play_games(map_name: str, pairings: Sequence[Pairing], max_loops: int, *, width: int = 32) -> Iterator[Outcome]:
    """Play all pairings, `width` at a time; outcomes come in the order of the pairings."""
    with bar("playing", len(pairings)) as shown:
        for start in range(0, len(pairings), width):
            yield from _play_chunk(map_name, pairings[start : start + width], max_loops, shown)


def _play_chunk(map_name: str, pairings: Sequence[Pairing], max_loops: int, shown: Bar) -> list[Outcome]:
    names = [(_name(each.first), _name(each.second)) for each in pairings]
    games = match.Games(map_name, tuple(each.seed for each in pairings), max_loops=max_loops, players=names)
    tables = [_seat(games, index, each) for index, each in enumerate(pairings)]
    over = 0
    while len(games.waiting):
        games.act(_decide(tables, games.waiting, games.observe()))
        finished = int(np.count_nonzero(games.winners >= 0))
        shown.advance(finished - over)
        over = finished
    return [
        Outcome(
            winner=int(games.winners[index]),
            loops=int(games.loops[index]),
            actions=(table.actions[0], table.actions[1]),
            built=(_named(table.built_2T[0]), _named(table.built_2T[1])),
            recording=games.recording(index),
        )
        for index, table in enumerate(tables)
    ]


def _seat(games: match.Games, index: int, pairing: Pairing) -> _Table:
    players: list[match.Player | None] = []
    for player_id, seat in enumerate((pairing.first, pairing.second), 1):
        if isinstance(seat, str):
            player = match.bot(seat)
            player.reset(rng.derive(pairing.seed, "player", player_id), player_id, games.start(index, player_id))
            players.append(player)
        else:
            players.append(None)
    draws = (rng.stream(pairing.seed, "policy", 1), rng.stream(pairing.seed, "policy", 2))
    return _Table(pairing, (players[0], players[1]), draws)


def _decide(tables: Sequence[_Table], waiting: NDArray[np.int32], views: View) -> list[spec.Action]:
    """One action a waiting row: bots answer one by one, each policy all its rows together."""
    actions: list[spec.Action] = [spec.Action()] * len(waiting)
    batches: dict[int, list[int]] = {}
    policies: dict[int, Policy] = {}
    for row, (game, side) in enumerate(waiting):
        table = tables[int(game)]
        seat = table.pairing[int(side)]  # fields 1 and 2 of a pairing are its seats
        player = table.players[int(side) - 1]
        if player is not None:
            actions[row] = player.act(views[row])
        elif not isinstance(seat, str | int):
            policies[id(seat)] = seat
            batches.setdefault(id(seat), []).append(row)
    for key, rows in batches.items():
        draws_KR = np.stack(
            [tables[int(waiting[row][0])].draws[int(waiting[row][1]) - 1].random(DRAWS) for row in rows]
        )
        for row, action in zip(rows, policies[key].act(_take(views, rows), draws_KR), strict=True):
            actions[row] = action
    for row, (game, side) in enumerate(waiting.tolist()):
        table = tables[game]
        table.actions[side - 1] += actions[row].kind != spec.NO_OP
        np.maximum(table.built_2T[side - 1], _finished(views.my[row]), out=table.built_2T[side - 1])
    return actions


def _finished(rows_UC: NDArray[np.int32]) -> NDArray[np.int64]:
    types_U = rows_UC[rows_UC[:, spec.C_["built"]] >= spec.CELL, spec.C_["type"]]
    return np.bincount(types_U, minlength=spec.N_TYPES)


def _named(counts_T: NDArray[np.int64]) -> dict[str, int]:
    return {kind.name: int(count) for kind, count in zip(spec.TYPES, counts_T, strict=True) if count and kind.index}


def _name(seat: Seat) -> str:
    return seat if isinstance(seat, str) else type(seat).__name__


def _take(views: View, rows: Sequence[int]) -> View:
    return View(
        scalars=views.scalars[rows],
        minimap=views.minimap[rows],
        my=views.my[rows],
        enemy=views.enemy[rows],
        neutral=views.neutral[rows],
        counts=views.counts[rows],
    )


def play_pair(
    map_name: str, bot_a: str, bot_b: str, games: int, seed: int, max_loops: int
) -> list[tuple[Pairing, Outcome]]:
    """Two scripted players against each other, the first as player 1 in every even game."""
    seeds = [rng.derive(seed, "play", k) % 2**31 for k in range(games)]
    pairings = [Pairing(each, *((bot_b, bot_a) if k % 2 else (bot_a, bot_b))) for k, each in enumerate(seeds)]
    return list(zip(pairings, play_games(map_name, pairings, max_loops), strict=True))
