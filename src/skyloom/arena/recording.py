"""Recordings: seed and commands; the same engine makes the same game of them again.

Format  magic "SKYR", version (1 byte), blake2b-16 of the rest, zlib stream of: length of the header (uint32), header (JSON),
        decisions (D, 8) and their units' tags as little-endian int32
Flow    match -> [RECORDING] -> starcraft.sources; `replay` visits each decision with the view that the player had
Shapes  D decisions, V selected units of all decisions in a row
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from skyloom.arena import spec, view
from skyloom.arena.command import Command, decode
from skyloom.arena.engine.layout import STATE_VERSION
from skyloom.arena.engine.state import Engine
from skyloom.arena.game_map import GameMap, load_map
from skyloom.core.errors import BadInput
from skyloom.core.rng import derive

MAGIC: bytes = b"SKYR"
VERSION: int = 1
LARGEST: int = 64 << 20
"""Bytes that a recording may unpack to; a game of an hour needs under 4 MB."""
COLUMNS: tuple[str, ...] = ("loop", "player", "ability", "x", "y", "target", "queued_skip", "n_units")
"""Of a decision; queued_skip = skip * 2 + queued."""
_HEAD: int = len(MAGIC) + 1 + 16
_TEXTS: tuple[str, ...] = ("map", "ruleset", "final_hash")
_NUMBERS: tuple[str, ...] = ("seed", "max_loops", "loops", "winner", "state_version")


class BadRecording(BadInput, ValueError):
    """The bytes are no recording, or the game does not come out as recorded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """One game."""

    map: str
    """Name of the map as in GameMap.name, with the hash of its file."""
    ruleset: str
    seed: int
    players: tuple[str, str]
    max_loops: int
    decisions_D8: NDArray[np.int32]
    """See COLUMNS; in the order in which the engine took them."""
    units_V: NDArray[np.int32]
    """Tags, decision by decision."""
    loops: int
    winner: int
    """1 or 2, 0 for a draw."""
    final_hash: str

    def commands(self) -> Iterator[tuple[int, int, Command]]:
        """(loop, player, command) of every decision, those that did nothing included."""
        first = 0
        for loop, player, ability, x, y, target, queued_skip, n in self.decisions_D8.tolist():
            units = tuple(self.units_V[first : first + n].tolist())
            first += n
            yield loop, player, Command(ability, x, y, target, queued_skip & 1, queued_skip >> 1, units)

    def to_bytes(self) -> bytes:
        """The file's content: equal for equal games."""
        header = {
            **{name: getattr(self, name) for name in (*_TEXTS, *_NUMBERS[:-1])},
            "state_version": STATE_VERSION,
            "players": list(self.players),
            "decisions": len(self.decisions_D8),
            "units": len(self.units_V),
        }
        text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
        body = b"".join(array.astype("<i4").tobytes() for array in (self.decisions_D8, self.units_V))
        packed = zlib.compress(struct.pack("<I", len(text)) + text + body, 6)
        return MAGIC + bytes([VERSION]) + hashlib.blake2b(packed, digest_size=16).digest() + packed


def from_bytes(data: bytes) -> Recording:
    """Read a recording; raises BadRecording (a BadInput and a ValueError) with one line for anything else."""
    if data[: len(MAGIC)] != MAGIC or len(data) <= _HEAD:
        raise BadRecording("not a game recording: it does not begin as one")
    if data[len(MAGIC)] != VERSION:
        raise BadRecording(f"recording version {data[len(MAGIC)]} is not {VERSION}, which this release reads")
    packed = data[_HEAD:]
    if hashlib.blake2b(packed, digest_size=16).digest() != data[len(MAGIC) + 1 : _HEAD]:
        raise BadRecording("damaged recording: its checksum does not fit; fetch or record it again")
    try:
        return _parse(_unpack(packed))
    except (zlib.error, struct.error, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadRecording(f"damaged recording: {error}") from error


def _unpack(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(packed, LARGEST)
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise ValueError(f"its content is cut short or above {LARGEST >> 20} MB")
    return content


def _parse(content: bytes) -> Recording:
    (size,) = struct.unpack_from("<I", content)
    header = json.loads(content[4 : 4 + size].decode())
    if not isinstance(header, dict):
        raise ValueError("header: not an object")
    fields = cast(dict[str, Any], header)  # Any: JSON, checked field by field below
    texts = {name: _typed(fields, name, str) for name in _TEXTS}
    numbers = {name: _typed(fields, name, int) for name in (*_NUMBERS, "decisions", "units")}
    players = tuple(str(name) for name in _typed(fields, "players", list))
    numbers_i4 = np.frombuffer(content[4 + size :], dtype="<i4").astype(np.int32)
    cut = numbers["decisions"] * len(COLUMNS)
    if numbers["state_version"] != STATE_VERSION:
        raise ValueError(f"state version {numbers['state_version']} is not {STATE_VERSION}")
    if (
        min(numbers["decisions"], numbers["units"]) < 0
        or len(numbers_i4) != cut + numbers["units"]
        or len(players) != 2
    ):
        raise ValueError("header: counts do not fit the content")
    decisions_D8 = numbers_i4[:cut].reshape(-1, len(COLUMNS))
    if (decisions_D8[:, 7] < 0).any() or int(decisions_D8[:, 7].sum()) != numbers["units"]:
        raise ValueError("decisions: counts of units do not fit")
    if not np.isin(decisions_D8[:, 1], (1, 2)).all() or not 0 <= numbers["winner"] <= 2:
        raise ValueError("decisions: player ids are 1 and 2")
    del numbers["state_version"], numbers["decisions"], numbers["units"]
    return Recording(
        players=(players[0], players[1]),
        decisions_D8=decisions_D8,
        units_V=numbers_i4[cut:],
        **texts,
        **numbers,
    )


def _typed(fields: dict[str, Any], name: str, kind: type) -> Any:  # Any: of the type `kind`
    value = fields.get(name)
    if type(value) is not kind:
        raise ValueError(f"header: {name} must be of type {kind.__name__}")
    return value


Visit = Callable[[int, view.View, spec.Action], None]


def replay(recording: Recording, visit: Visit | None = None) -> None:
    """Play a recorded game again and check that it ends alike; raises BadRecording if it does not.

    visit(player, view, action) is called at every decision with a view that is valid until the visit returns.
    """
    try:
        game_map = load_map(recording.map.rpartition("-")[0])
    except BadInput as error:
        raise BadRecording(f"recorded on {recording.map}: {error}") from error
    for what, recorded, here in (
        ("map", recording.map, game_map.name),
        ("ruleset", recording.ruleset, spec.RULES.ruleset),
    ):
        if recorded != here:
            raise BadRecording(f"recorded with {what} {recorded}, but here it is {here}")
    engine = start_engine(game_map, recording.seed, recording.max_loops)
    looks = view.Window(1)
    for loop, player, command in recording.commands():
        if not spec.MIN_SKIP <= command.skip <= spec.MAX_SKIP or int(engine.loops()[0]) != loop:
            raise BadRecording(f"the game does not come out as recorded: a decision at loop {loop} has no turn")
        who = np.array([[0, player]], dtype=np.int32)
        if visit is not None:
            look = looks.observe(engine, who)[0]
            visit(player, look, _decoded(look, command, loop))
        if command.ability:
            engine.command(0, player, command.row())
        engine.wait(0, player, command.skip)
        if not len(engine.waiting()):
            engine.advance()
    end = (int(engine.loops()[0]), int(engine.winners()[0]), engine.hash(0))
    if end != (recording.loops, recording.winner, recording.final_hash):
        raise BadRecording(f"the game does not come out as recorded: {end} instead of the recorded end")


def _decoded(look: view.View, command: Command, loop: int) -> spec.Action:
    try:
        return decode(look, command)
    except BadInput as error:
        raise BadRecording(f"the game does not come out as recorded: loop {loop}: {error}") from error


def is_swapped(seed: int) -> bool:
    """Whether player 1 gets the map's second start location in the game of a seed."""
    return bool(derive(seed, "start") & 1)


def start_engine(game_map: GameMap, seed: int, max_loops: int) -> Engine:
    """An engine with the game of a seed at its first decision."""
    engine = Engine(spec.RULES, game_map.ground_HW, 1)
    engine.start(0, game_map.placements(swapped=is_swapped(seed)), derive(seed, "game"), max_loops)
    return engine
