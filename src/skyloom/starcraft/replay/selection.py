"""Selections: what a player had selected at each command, rebuilt from selection deltas and control groups.

Source  The game keeps a selection ordered by unit tag and sends removals as positions in that order: `Mask` (one bit a
        unit, trailing zeros cut off), `OneIndices` (positions that go) or `ZeroIndices` (positions that stay). The
        order is measured: sorted by tag, no selected unit of the games tvt-001 and tvz-071 is dead and no position is
        out of range; sorted by subgroup priority, as the screen shows it, 486 of 24,134 and 893 of 20,644 are dead.
Flow    replay events -> [selections] -> commands with their selected units
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

ACTIVE: int = 10
"""Number of the active selection; 0 to 9 are the control groups."""

MaskKind = Literal["None", "Mask", "OneIndices", "ZeroIndices"]


class Picked(NamedTuple):
    """One selected unit: its tag and the number of its type in the game's catalogue."""

    tag: int
    link: int


class Removal(NamedTuple):
    """Which units of a selection go: `Mask` has one flag a unit, the two others hold positions."""

    kind: MaskKind
    values: Sequence[int]


NOTHING: Removal = Removal("None", ())


@dataclass(slots=True)
class Selections:
    """The active selection and the ten control groups of one player, as the events change them."""

    groups: list[tuple[Picked, ...]] = field(default_factory=lambda: [() for _ in range(ACTIVE + 1)])
    errors: int = 0
    """Removals that named a position beyond the selection: the rebuilt selection was not the game's."""

    @property
    def active(self) -> tuple[Picked, ...]:
        """The units that a command given now goes to, in the order of their tags."""
        return self.groups[ACTIVE]

    def delta(self, group: int, removal: Removal, added: Sequence[Picked]) -> None:
        """A selection event: remove, then add."""
        self.groups[group] = _merge(self._without(group, removal), added)

    def assign(self, group: int) -> None:
        """Control group := active selection."""
        self.groups[group] = self.active

    def append(self, group: int, removal: Removal) -> None:
        """Control group += active selection."""
        self.groups[group] = _merge(self._without(group, removal), self.active)

    def recall(self, group: int, removal: Removal) -> None:
        """Active selection := control group, without the units that cannot be selected now."""
        self.groups[ACTIVE] = tuple(self._without(group, removal))

    def clear(self, group: int) -> None:
        """Control group := nothing."""
        self.groups[group] = ()

    def _without(self, group: int, removal: Removal) -> list[Picked]:
        units = self.groups[group]
        if removal.kind == "None":
            return list(units)
        flagged = removal.kind == "Mask"
        named = {k for k, flag in enumerate(removal.values) if flag} if flagged else set(removal.values)
        self.errors += any(k >= len(units) for k in named)
        stays = removal.kind == "ZeroIndices"
        return [unit for k, unit in enumerate(units) if (k in named) == stays]


def _merge(units: Sequence[Picked], added: Sequence[Picked]) -> tuple[Picked, ...]:
    """Both, each tag once (the newer entry knows the newer type), in the order of the tags."""
    by_tag = {unit.tag: unit for unit in (*units, *added)}
    return tuple(by_tag[tag] for tag in sorted(by_tag))
