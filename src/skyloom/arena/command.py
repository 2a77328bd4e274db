"""Commands: what the engine and recordings know of an action, and the way there and back.

An action speaks of rows and minimap cells of one view; a command of tags, StarCraft II's ability ids and positions.

Flow    Action -> [encode] -> Command -> engine, recording -> [decode, with the same view] -> Action (the imitation label)
Shapes  see spec
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skyloom.arena import spec
from skyloom.arena.engine.rules import Target
from skyloom.arena.view import View
from skyloom.core.errors import BadInput

_HALF: int = spec.CELL // 2


class Command(NamedTuple):
    """A decision as the engine takes it."""

    ability: int
    """StarCraft II's ability id; 0 = nothing to do."""
    x: int
    """1/4096 cell; -1 = no position."""
    y: int
    target: int
    """Tag; 0 = none."""
    queued: int
    skip: int
    """Loops until the player's next decision."""
    units: tuple[int, ...]
    """Tags of the selected units."""

    def row(self) -> NDArray[np.int32]:
        """The engine's form: ability, x, y, target, queued, tags."""
        return np.array((self.ability, self.x, self.y, self.target, self.queued, *self.units), dtype=np.int32)


def encode(view: View, action: spec.Action) -> Command:
    """The command of an action on a single view; raises BadInput if it names rows or cells that the view does not have."""
    if not 0 <= action.kind < spec.N_ACTIONS:
        raise BadInput(f"action: kind {action.kind} is not in 0..{spec.N_ACTIONS - 1}")
    if not spec.MIN_SKIP <= action.skip <= spec.MAX_SKIP:
        raise BadInput(f"action: skip {action.skip} is not in {spec.MIN_SKIP}..{spec.MAX_SKIP}")
    kind = spec.ACTIONS[action.kind]
    if not kind.selects:
        return Command(0, -1, -1, 0, 0, action.skip, ())
    x, y = _position(action) if kind.target == Target.POSITION else (-1, -1)
    target = _tag(view, action.target) if kind.target == Target.UNIT else 0
    units = _selected(view, action, kind.name)
    return Command(kind.ability_id, x, y, target, int(action.queued), action.skip, units)


def decode(view: View, command: Command) -> spec.Action:
    """The action that `encode` turned into this command on the same view; raises BadInput if it does not fit the view."""
    if command.ability == 0:
        return spec.Action(skip=command.skip)
    aim = Target.UNIT if command.target else Target.POSITION if command.x >= 0 else Target.NONE
    kinds = [kind.index for kind in spec.ACTIONS if kind.ability_id == command.ability and kind.target == aim]
    if not kinds:
        raise BadInput(f"command: no action has ability {command.ability} with target {aim.name.lower()}")
    rows = {int(tag): row for row, tag in enumerate(view.my[: view.counts[0], spec.C_["tag"]])}
    if not rows.keys() >= set(command.units):
        raise BadInput("command: selects a unit that the player does not have")
    return spec.Action(
        kind=kinds[0],
        units=tuple(rows[tag] for tag in command.units),
        position=(command.y // spec.CELL) * spec.MINIMAP + command.x // spec.CELL if aim == Target.POSITION else -1,
        target=_row(view, command.target) if command.target else -1,
        queued=bool(command.queued),
        skip=command.skip,
    )


def _position(action: spec.Action) -> tuple[int, int]:
    if not 0 <= action.position < spec.POSITIONS:
        raise BadInput(f"action: position {action.position} is not in 0..{spec.POSITIONS - 1}")
    y, x = divmod(action.position, spec.MINIMAP)
    return x * spec.CELL + _HALF, y * spec.CELL + _HALF


def _sets(view: View) -> tuple[tuple[int, NDArray[np.int32]], ...]:
    """First target row and used rows of each set."""
    starts = (0, spec.ENEMY_START, spec.NEUTRAL_START)
    rows = (view.my, view.enemy, view.neutral)
    return tuple((start, row[:n]) for start, row, n in zip(starts, rows, view.counts.tolist(), strict=True))


def _tag(view: View, row: int) -> int:
    for start, rows in _sets(view):
        if start <= row < start + len(rows):
            return int(rows[row - start, spec.C_["tag"]])
    raise BadInput(f"action: target row {row} holds no unit")


def _row(view: View, tag: int) -> int:
    for start, rows in _sets(view):
        found = np.flatnonzero(rows[:, spec.C_["tag"]] == tag)
        if len(found):
            return start + int(found[0])
    raise BadInput("command: aims at a unit that the player does not know")


def _selected(view: View, action: spec.Action, name: str) -> tuple[int, ...]:
    count = int(view.counts[0])
    if not 0 < len(action.units) <= spec.MAX_SELECTED:
        raise BadInput(f"action: {name} needs 1 to {spec.MAX_SELECTED} units, got {len(action.units)}")
    if len(set(action.units)) < len(action.units) or not all(0 <= row < count for row in action.units):
        raise BadInput(f"action: units must be distinct rows below {count}")
    tags = view.my[: view.counts[0], spec.C_["tag"]]
    return tuple(int(tags[row]) for row in action.units)
