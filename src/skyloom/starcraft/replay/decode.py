"""Decode a .SC2Replay file: header, game events and tracker events, or one named reason why not.

Source  sc2reader's stream readers (MIT), which know every version from 1.0 on; s2protocol 5.0.17 has no tables for the
        builds 32284 to 51701 (2015, 2016) and fails on 2.0.8. Only the readers are used: no engine, no plug-ins (its
        selection plug-in never deselects OneIndices).
Flow    file -> [decode] -> commands.py, tracker.py, header.py
Run     skyloom starcraft replay GAME.SC2Replay --out DIR
"""

import importlib
import io
import logging
import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from skyloom.core.errors import BadInput, MissingExtra

MAX_BYTES: int = 50_000_000
"""Largest replay file that is opened; ours: the largest of 448 real ones has 0.6 MB."""

_RESUMED_BUILD: int = 26490
"""Up to this base build the tracker stream of a resumed game belongs to the game before it was resumed."""

DAMAGE: tuple[type[Exception], ...] = (
    ValueError, LookupError, TypeError, AttributeError, EOFError, OSError, ArithmeticError, MemoryError, RecursionError,
    AssertionError, NotImplementedError, struct.error, zlib.error,
)  # fmt: skip
"""What the third-party readers raise on bytes that are no replay: they check nothing themselves."""


class ReplayError(BadInput):
    """A replay that cannot be used; `reason` is one word for the counts, the message one line for people."""

    def __init__(self, file: str, reason: str, detail: str) -> None:
        super().__init__(f"{file}: {reason}: {detail}")
        self.file = file
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type["ReplayError"], tuple[str, str, str]]:
        """Whole across processes: exceptions pickle by their message alone."""
        return ReplayError, (self.file, self.reason, self.detail)


class Decoded(NamedTuple):
    """An opened replay: sc2reader's object with its lists `game_events` and `tracker_events` filled."""

    file: str
    replay: Any  # Any: sc2reader has no types
    size: int


def decode(path: Path) -> Decoded:
    """Open one replay; raises ReplayError (a BadInput) naming file and reason, MissingExtra without sc2reader."""
    resources, damage = _reader()
    data = _read(path)
    try:
        replay = resources.Replay(io.BytesIO(data), str(path), load_level=4, engine=None, debug=False)
    except damage as error:
        raise ReplayError(str(path), "unreadable", _first_line(error)) from error
    if not replay.players:
        raise ReplayError(str(path), "no_players", "the file names no players")
    resumed = any(event.name == "HijackReplayGameEvent" for event in replay.game_events)
    if resumed and replay.base_build <= _RESUMED_BUILD and replay.tracker_events:
        raise ReplayError(str(path), "resumed_game", "the tracker stream belongs to the game before it was resumed")
    if not replay.game_events:
        raise ReplayError(str(path), "no_game_events", "the game stream is missing or empty")
    return Decoded(file=str(path), replay=replay, size=len(data))


def _reader() -> tuple[Any, tuple[type[Exception], ...]]:  # Any: a module without types
    try:
        resources = importlib.import_module("sc2reader.resources")
        exceptions = importlib.import_module("sc2reader.exceptions")
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "reading .SC2Replay files needs the extra [replays]: pip install 'skyloom[replays]'"
        ) from error
    # Its warnings on odd team results would reach the terminal of a library user who asked for none.
    logging.getLogger("sc2reader").setLevel(logging.CRITICAL)
    return resources, (exceptions.SC2ReaderError, *DAMAGE)


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ReplayError(str(path), "too_large", f"{size} bytes, the limit is {MAX_BYTES}")
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from error
    if data[:4] not in (b"MPQ\x1a", b"MPQ\x1b"):
        raise ReplayError(str(path), "not_a_replay", "the file does not start like an MPQ archive")
    return data


def _first_line(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}".strip().splitlines()[0]
    return text[:200]
