"""The table of commands: who ordered what, when, at which target, with which units selected.

Source  Game events since patch 3.0: a click while a key is held down is no new command but `CommandManagerState` (the
        last command again) or `CmdUpdateTarget*` (the last command at another target); each is a row here, with the
        ability of the command that it repeats, because the game executes each.
Flow    decode -> [commands] -> commands.parquet
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import polars as pl

from skyloom.arena.spec import LOOPS_PER_SECOND
from skyloom.starcraft.replay.decode import Decoded
from skyloom.starcraft.replay.selection import Picked, Removal, Selections

SCHEMA: dict[str, pl.DataType] = {
    "loop": pl.Int64(),
    "seconds": pl.Float64(),
    "player": pl.Int64(),
    "kind": pl.String(),  # command | update | repeat
    "ability_link": pl.Int64(),
    "ability_index": pl.Int64(),
    "ability": pl.String(),  # the name in this version of the game, where sc2reader's tables know it
    "target": pl.String(),  # none | point | unit | data
    "x": pl.Float64(),  # world coordinates, map cells from the lower left corner
    "y": pl.Float64(),
    "target_tag": pl.Int64(),
    "target_link": pl.Int64(),
    "target_type": pl.String(),
    "queued": pl.Boolean(),
    "minimap": pl.Boolean(),
    "right_click": pl.Boolean(),
    "selected_tags": pl.List(pl.Int64()),
    "selected_types": pl.List(pl.String()),
}

_TARGETS: Mapping[str, str] = {"None": "none", "TargetPoint": "point", "TargetUnit": "unit", "Data": "data"}


class Commands(NamedTuple):
    """The table and how well its selections could be rebuilt."""

    table: pl.DataFrame
    selection_errors: int
    """Removals beyond the rebuilt selection: 0 in a clean game."""


@dataclass(frozen=True, slots=True)
class Names:
    """Type names: of units by tag, as the tracker told them so far; of links and abilities by the game's tables."""

    datapack: Any  # Any: sc2reader has no types
    by_tag: dict[int, str] = field(default_factory=dict[int, str])

    def unit(self, tag: int, link: int | None) -> str:
        """The type of a unit; `link:N` where neither source knows it."""
        if tag in self.by_tag:
            return self.by_tag[tag]
        known = self.datapack.units.get(link) if self.datapack is not None else None
        return str(known.name) if known is not None else f"link:{link}"

    def ability(self, ability_id: int) -> str | None:
        """The name of an ability, or None."""
        known = self.datapack.abilities.get(ability_id) if self.datapack is not None else None
        return str(known.name) if known is not None else None


def commands(decoded: Decoded) -> Commands:
    """All commands of one game in the order of the stream."""
    replay = decoded.replay
    names = Names(replay.datapack)
    feed = _TypeFeed(replay.tracker_events, names.by_tag)
    players = player_ids(replay)
    sides: dict[int, _Side] = {}
    rows: list[dict[str, object]] = []
    for event in replay.game_events:
        feed.until(event.frame)
        side = sides.setdefault(event.pid, _Side())
        if not _select(side.selections, event):
            rows.extend(side.command(event, names, players.get(event.pid)))
    table = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    return Commands(table=table, selection_errors=sum(side.selections.errors for side in sides.values()))


def player_ids(replay: Any) -> dict[int, int]:  # Any: sc2reader has no types
    """Player number by the number that game events carry: the player's own before patch 2.0, the user's since."""
    old = replay.versions[1] == 1 or (replay.versions[1] == 2 and replay.build < 24247)
    return {int(p.pid if old else p.uid): int(p.pid) for p in replay.players if old or p.is_human}


class _TypeFeed:
    """Feeds unit types into a dictionary as game time passes."""

    def __init__(self, tracker_events: list[Any], by_tag: dict[int, str]) -> None:  # Any: sc2reader has no types
        self._rest: Iterator[Any] = iter(tracker_events)
        self._next: Any = next(self._rest, None)
        self._by_tag = by_tag

    def until(self, frame: int) -> None:
        while self._next is not None and self._next.frame <= frame:
            name = getattr(self._next, "unit_type_name", None)
            if name is not None:
                self._by_tag[self._next.unit_id] = name
            self._next = next(self._rest, None)


@dataclass(slots=True)
class _Side:
    selections: Selections = field(default_factory=Selections)
    last: dict[str, object] | None = None

    def command(self, event: Any, names: Names, player: int | None) -> Iterator[dict[str, object]]:
        """The row of a command event, if it is one; also what later repeats and updates refer to."""
        kind = _KINDS.get(event.name)
        if kind is None:
            return
        if kind == "command":
            self.last = {**_ability(event, names), **_target(event, names)}
        elif kind == "update":
            self.last = {**(self.last or _NO_ABILITY), **_target(event, names)}
        picked = self.selections.active
        yield {
            **(self.last or {**_NO_ABILITY, **_NO_TARGET}),
            "loop": event.frame,
            "seconds": event.frame / LOOPS_PER_SECOND,
            "player": player,
            "kind": kind,
            "selected_tags": [unit.tag for unit in picked],
            "selected_types": [names.unit(unit.tag, unit.link) for unit in picked],
        }


_KINDS: Mapping[str, str] = {
    "BasicCommandEvent": "command",
    "TargetPointCommandEvent": "command",
    "TargetUnitCommandEvent": "command",
    "DataCommandEvent": "command",
    "UpdateTargetPointCommandEvent": "update",
    "UpdateTargetUnitCommandEvent": "update",
    "CommandManagerStateEvent": "repeat",
}

_NO_ABILITY: Mapping[str, object] = {
    "ability_link": None,
    "ability_index": None,
    "ability": None,
    "queued": False,
    "minimap": False,
    "right_click": False,
}

_NO_TARGET: Mapping[str, object] = {
    "target": "none",
    "x": None,
    "y": None,
    "target_tag": None,
    "target_link": None,
    "target_type": None,
}


def _ability(event: Any, names: Names) -> dict[str, object]:  # Any: sc2reader has no types
    return {
        "ability_link": event.ability_link if event.has_ability else None,
        "ability_index": event.command_index if event.has_ability else None,
        "ability": names.ability(event.ability_id) if event.has_ability else "RightClick",
        "queued": event.flag["queued"],
        "minimap": event.flag["minimap"],
        "right_click": not event.has_ability,
    }


def _target(event: Any, names: Names) -> dict[str, object]:  # Any: sc2reader has no types
    kind = _TARGETS[event.ability_type]
    row: dict[str, object] = {**_NO_TARGET, "target": kind}
    if kind in ("point", "unit"):
        row |= {"x": float(event.x), "y": float(event.y)}
    if kind == "unit":
        tag, link = event.target_unit_id, event.target_unit_type
        row |= {"target_tag": tag, "target_link": link, "target_type": names.unit(tag, link)}
    return row


def _select(selections: Selections, event: Any) -> bool:  # Any: sc2reader has no types
    """Apply a selection or control group event; False if it is neither."""
    match event.name:
        case "SelectionEvent":
            added = [Picked(tag=unit[0], link=unit[1]) for unit in event.new_unit_info]
            selections.delta(event.control_group, _removal(event), added)
        case "SetControlGroupEvent":
            selections.assign(event.control_group)
        case "AddToControlGroupEvent":
            selections.append(event.control_group, _removal(event))
        case "GetControlGroupEvent":
            selections.recall(event.control_group, _removal(event))
        case "DeleteControlGroupEvent":
            selections.clear(event.control_group)
        case _:
            return False
    return True


def _removal(event: Any) -> Removal:  # Any: sc2reader has no types
    return Removal(event.mask_type, event.mask_data or ())
