"""Rulesets: the game's numbers as integer tables, read from TOML.

Formula  lengths in 1/4096 of a map cell; times in game loops (22.4 a second); hit points and cooldowns in 1/256;
         speed a loop = speed a normal second / 16 (facts in the TOML's header)
Flow     rulesets/x.toml -> [RULES] -> kernels get the arrays as arguments; arena.spec takes names and ids from here
Shapes   T unit types (row 0 is "none"), A abilities = actions of the action head
"""

import functools
import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

ONE: int = 4096
"""One map cell in fixed point."""
FINE: int = 256
"""One hit point, or one game loop of a weapon's cooldown, in fixed point."""
FOLDER: Path = Path(__file__).parent / "rulesets"


class T(IntEnum):
    """Columns of the unit table."""

    ID = 0  # StarCraft II's unit type id
    ROLE = 1
    MINERALS = 2
    VESPENE = 3
    FOOD = 4
    PROVIDES = 5
    BUILD = 6  # loops
    HP = 7  # 1/256
    ARMOUR = 8  # 1/256
    SIGHT = 9  # cells
    RADIUS = 10  # 1/4096
    SPEED = 11  # 1/4096 a loop
    ACCEL = 12  # 1/4096 a loop and loop
    DAMAGE = 13  # 1/256
    RANGE = 14  # 1/4096
    PERIOD = 15  # 1/256 loop
    ACQUIRE = 16  # 1/4096
    PRIORITY = 17
    WIDTH = 18  # cells of the footprint
    HEIGHT = 19
    TOWN_HALL = 20
    NEEDS = 21  # type index that must stand first
    BUILDER = 22  # type index of who builds it
    CONTENTS = 23  # minerals or gas in it at the start of a game


class Role(IntEnum):
    """What kind of thing a unit type is."""

    NONE = 0
    WORKER = 1
    ARMY = 2
    STRUCTURE = 3
    MINERALS = 4
    GEYSER = 5


class A(IntEnum):
    """Columns of the ability table."""

    ID = 0  # StarCraft II's ability id
    OP = 1
    TARGET = 2
    MAKES = 3  # type index
    BY = 4  # who can do it: By, or 100 + type index of the producer


class Op(IntEnum):
    """What an ability does."""

    NONE = 0
    STOP = 1
    MOVE = 2
    ATTACK = 3
    HARVEST = 4
    RETURN = 5
    BUILD = 6
    RESUME = 7
    TRAIN = 8
    RALLY = 9


class Target(IntEnum):
    """What an ability is aimed at."""

    NONE = 0
    POSITION = 1
    UNIT = 2


class By(IntEnum):
    """Who can do it, where that is a class of unit types."""

    NOBODY = 0
    MOBILE = 1
    WORKER = 2
    PRODUCER = 3
    TYPE = 100


class E(IntEnum):
    """Entries of the economy vector."""

    START_MINERALS = 0
    START_WORKERS = 1
    FOOD_MAX = 2
    TRIP = 3
    HARVEST = 4
    UNLOAD = 5
    REBUILD_HP = 6
    TOWN_HALL_GAP = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """One ruleset: three integer tables and the names of their rows."""

    ruleset: str
    """Name and the first 8 hex digits of the tables' hash: what a recording must match."""
    unit_names: tuple[str, ...]
    ability_names: tuple[str, ...]
    units_TC: NDArray[np.int64]
    abilities_AC: NDArray[np.int64]
    economy_E: NDArray[np.int64]

    def unit(self, name: str) -> int:
        """Type index of a unit; raises KeyError with the known names."""
        return _index(self.unit_names, name, "unit type")

    def ability(self, name: str) -> int:
        """Row of an ability; raises KeyError with the known names."""
        return _index(self.ability_names, name, "ability")


@functools.cache
def load_rules(name: str = "terran_opening") -> Rules:
    """Read one ruleset; raises KeyError for an unknown one (naming the known) and ValueError for a bad table."""
    known = tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))
    _index(known, name, "ruleset")
    raw = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"), parse_float=Decimal)
    units = [{"name": "none"}, *cast(list[dict[str, object]], raw["unit"])]
    abilities = cast(list[dict[str, object]], raw["ability"])
    unit_names = tuple(str(unit["name"]) for unit in units)
    ability_names = tuple(str(ability["name"]) for ability in abilities)
    units_TC = np.array([_unit_row(unit, unit_names) for unit in units], dtype=np.int64)
    abilities_AC = np.array([_ability_row(ability, unit_names) for ability in abilities], dtype=np.int64)
    economy = cast(dict[str, int], raw["economy"])
    economy_E = np.array([economy[entry.name.lower()] for entry in E], dtype=np.int64)
    tables = (units_TC, abilities_AC, economy_E)
    digest = hashlib.blake2b(b"".join(table.astype("<i8").tobytes() for table in tables), digest_size=4).hexdigest()
    for table in tables:
        table.flags.writeable = False
    return Rules(
        ruleset=f"{name}-{digest}",
        unit_names=unit_names,
        ability_names=ability_names,
        units_TC=units_TC,
        abilities_AC=abilities_AC,
        economy_E=economy_E,
    )


def _index(known: tuple[str, ...], name: str, what: str) -> int:
    if name not in known:
        raise KeyError(f"unknown {what} {name!r}; known: {', '.join(known)}")
    return known.index(name)


def _scaled(raw: Mapping[str, object], key: str, scale: int, divisor: int = 1) -> int:
    """Exact decimal arithmetic, rounded to the nearest integer: the same on every machine."""
    return round(Decimal(str(raw.get(key, 0))) * scale / divisor)


def _unit_row(raw: Mapping[str, object], names: tuple[str, ...]) -> list[int]:
    row = [0] * len(T)
    row[T.ROLE] = Role[str(raw.get("role", "none")).upper()]
    footprint = cast(list[int], raw.get("footprint", [0, 0]))
    row[T.WIDTH], row[T.HEIGHT] = footprint
    for column, key in ((T.NEEDS, "needs"), (T.BUILDER, "builder")):
        row[column] = names.index(str(raw.get(key, "none")))
    row[T.TOWN_HALL] = int(bool(raw.get("town_hall", False)))
    for column in (T.ID, T.MINERALS, T.VESPENE, T.FOOD, T.PROVIDES, T.BUILD, T.SIGHT, T.PRIORITY, T.CONTENTS):
        row[column] = _scaled(raw, column.name.lower(), 1)
    for column in (T.HP, T.ARMOUR, T.DAMAGE):
        row[column] = _scaled(raw, column.name.lower(), FINE)
    for column in (T.RADIUS, T.RANGE, T.ACQUIRE):
        row[column] = _scaled(raw, column.name.lower(), ONE)
    row[T.SPEED] = _scaled(raw, "speed", ONE, 16)
    row[T.ACCEL] = _scaled(raw, "accel", ONE, 256)
    row[T.PERIOD] = _scaled(raw, "period", FINE * 16)
    return row


def _ability_row(raw: Mapping[str, object], names: tuple[str, ...]) -> list[int]:
    row = [0] * len(A)
    row[A.ID] = _scaled(raw, "id", 1)
    row[A.OP] = Op[str(raw["op"]).upper()]
    row[A.TARGET] = Target[str(raw.get("target", "none")).upper()]
    row[A.MAKES] = names.index(str(raw.get("makes", "none")))
    by = str(raw.get("by", "nobody"))
    row[A.BY] = By.TYPE + names.index(by) if by in names else By[by.upper()]
    return row
