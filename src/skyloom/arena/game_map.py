"""Maps: TOML files of our own design, checked when they are read.

A map is drawn once as text and must lie on itself when turned by half a turn; start, expansions and resources are given for
player 1's half. Checks: symmetry; everything on its own buildable ground; start locations and expansions reachable from one
another; town halls far enough from resources.

Flow    maps/x.toml -> [GAME_MAP] -> match; `names()` lists the files, a path to a file of your own works too
Shapes  H height, W width in cells; ground_HW [y, x]: bit 0 pathable, bit 1 buildable, from bit 8 the terrain height
"""

import functools
import hashlib
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from skyloom.arena.engine.layout import LARGEST_MAP, NEUTRAL
from skyloom.arena.engine.rules import ONE, E, Rules, T
from skyloom.arena.spec import RULES
from skyloom.core.errors import BadInput

FOLDER: Path = Path(__file__).parent / "maps"
SMALLEST: int = 32
_GROUND: dict[str, int] = {
    "#": 200 << 8,
    ".": 120 << 8 | 3,
    "+": 160 << 8 | 3,
    ",": 120 << 8 | 1,
    "/": 140 << 8 | 1,
}
"""Terrain letters: height, buildable, pathable."""
_KEYS: set[str] = {"title", "size", "terrain", "start", "expansions", "resources"}


class Place(NamedTuple):
    """Something that stands on the map at the start, or a place for a town hall; x, y in 1/4096 cell."""

    kind: int
    x: int
    y: int


@dataclass(frozen=True, kw_only=True, slots=True)
class GameMap:
    """A checked map; both halves are filled in."""

    name: str
    """File name without suffix, and the first 8 hex digits of its content's hash."""
    title: str
    ground_HW: NDArray[np.int64]
    starts: tuple[Place, Place]
    """Town halls of the two start locations."""
    expansions: tuple[Place, ...]
    resources: tuple[Place, ...]

    def placements(self, *, swapped: bool) -> NDArray[np.int64]:
        """(D, 4) type, owner, x, y for engine setup: both town halls first; `swapped` gives player 1 the second start."""
        owners = (2, 1) if swapped else (1, 2)
        rows = [(place.kind, owner, place.x, place.y) for place, owner in zip(self.starts, owners, strict=True)]
        rows.sort(key=lambda row: row[1])
        return np.array([*rows, *((r.kind, NEUTRAL, r.x, r.y) for r in self.resources)], dtype=np.int64)


def names() -> tuple[str, ...]:
    """The shipped maps."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load_map(name: str) -> GameMap:
    """Read a shipped map by name, or any map by the path of its .toml file; raises BadInput with what is wrong where."""
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file():
        raise BadInput(f"unknown map {name!r}; known: {', '.join(names())}, or the path of a .toml file")
    return _load(path, path.read_bytes())


@functools.lru_cache(maxsize=32)
def _load(path: Path, data: bytes) -> GameMap:
    try:
        raw = tomllib.loads(data.decode("utf-8"), parse_float=Decimal)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not a TOML file: {error}") from error
    found = _build(path, raw, RULES, hashlib.blake2b(data.replace(b"\r\n", b"\n"), digest_size=4).hexdigest())
    _check(path, found, RULES)
    found.ground_HW.flags.writeable = False
    return found


def _build(path: Path, raw: dict[str, object], rules: Rules, digest: str) -> GameMap:
    if set(raw) != _KEYS:
        wrong = sorted(set(raw) ^ _KEYS)
        raise BadInput(f"{path}: a map has the keys {', '.join(sorted(_KEYS))}; missing or unknown: {', '.join(wrong)}")
    ground_HW = _ground(path, raw)
    height, width = ground_HW.shape
    hall = int(np.flatnonzero(rules.units_TC[:, T.TOWN_HALL])[0])
    start = _place(path, "start", hall, raw["start"])
    expansions = [_place(path, "expansions", hall, pair) for pair in _list(path, "expansions", raw["expansions"])]
    resources = [_resource(path, item, rules) for item in _list(path, "resources", raw["resources"])]
    return GameMap(
        name=f"{path.stem}-{digest}",
        title=str(raw["title"]),
        ground_HW=ground_HW,
        starts=(start, _turn(start, width, height)),
        expansions=tuple(_both(expansions, width, height)),
        resources=tuple(_both(resources, width, height)),
    )


def _ground(path: Path, raw: dict[str, object]) -> NDArray[np.int64]:
    lines = str(raw["terrain"]).split()
    size = raw["size"]
    if size != [len(lines[0]) if lines else 0, len(lines)] or len({len(line) for line in lines}) != 1:
        raise BadInput(f"{path}: terrain: its rows do not form the rectangle that size = {size} promises")
    width, height = len(lines[0]), len(lines)
    if not (SMALLEST <= width <= LARGEST_MAP and SMALLEST <= height <= LARGEST_MAP) or width * height % 8:
        raise BadInput(f"{path}: size: sides from {SMALLEST} to {LARGEST_MAP}, their product a multiple of 8")
    unknown = sorted(set("".join(lines)) - set(_GROUND))
    if unknown:
        raise BadInput(f"{path}: terrain: unknown letters {' '.join(unknown)}; known: {' '.join(_GROUND)}")
    return np.array([[_GROUND[letter] for letter in line] for line in reversed(lines)], dtype=np.int64)


def _list(path: Path, key: str, value: object) -> list[object]:
    if not isinstance(value, list):
        raise BadInput(f"{path}: {key}: must be a list")
    return cast(list[object], value)


def _place(path: Path, key: str, kind: int, pair: object) -> Place:
    """A place in half cells; anything else would not lie on the grid."""
    numbers = cast(list[object], pair) if isinstance(pair, list) else []
    if len(numbers) != 2 or not all(_is_half_cell(n) for n in numbers):
        raise BadInput(f"{path}: {key}: {pair!r} is not a pair of half cells such as [12.5, 12.5]")
    x, y = (int(Decimal(str(n)) * ONE) for n in numbers)
    return Place(kind, x, y)


def _is_half_cell(number: object) -> bool:
    if not isinstance(number, int | Decimal):
        return False
    exact = Decimal(number)
    return exact.is_finite() and abs(exact) < LARGEST_MAP and exact * 2 % 1 == 0


def _resource(path: Path, item: object, rules: Rules) -> Place:
    entry = cast(dict[str, object], item) if isinstance(item, dict) else {}
    known = [name for name, row in zip(rules.unit_names, rules.units_TC, strict=True) if row[T.CONTENTS]]
    if set(entry) != {"type", "x", "y"} or entry["type"] not in known:
        raise BadInput(f"{path}: resources: {item!r} needs type (one of {', '.join(known)}), x and y")
    return _place(path, "resources", rules.unit(str(entry["type"])), [entry["x"], entry["y"]])


def _turn(place: Place, width: int, height: int) -> Place:
    return Place(place.kind, width * ONE - place.x, height * ONE - place.y)


def _both(places: Iterable[Place], width: int, height: int) -> Iterable[Place]:
    for place in places:
        yield place
        yield _turn(place, width, height)


def _check(path: Path, found: GameMap, rules: Rules) -> None:
    """Raise BadInput with the first thing that makes the map unfit to play on."""
    ground_HW = found.ground_HW
    turned = np.argwhere(ground_HW != ground_HW[::-1, ::-1])
    if len(turned):
        y, x = turned[0]
        raise BadInput(f"{path}: terrain: cell ({x}, {y}) differs from its counterpart under half a turn")
    taken_HW = np.zeros(ground_HW.shape, dtype=np.bool_)
    for place in found.resources:
        _claim(path, "resource", place, ground_HW, taken_HW, rules)
    open_HW = ((ground_HW & 1) > 0) & ~taken_HW
    for place in (*found.starts, *found.expansions):
        _claim(path, "town hall", place, ground_HW, taken_HW.copy(), rules)
        _check_distance(path, place, found.resources, rules)
    reached_HW = _reach(open_HW, found.starts[0])
    for place in (*found.starts, *found.expansions):
        if not reached_HW[place.y // ONE, place.x // ONE]:
            raise BadInput(f"{path}: the town hall at {_show(place)} cannot be reached from {_show(found.starts[0])}")


def _claim(
    path: Path,
    what: str,
    place: Place,
    ground_HW: NDArray[np.int64],
    taken_HW: NDArray[np.bool_],
    rules: Rules,
) -> None:
    """Take the cells of a footprint; they must be buildable and free."""
    width, height = int(rules.units_TC[place.kind, T.WIDTH]), int(rules.units_TC[place.kind, T.HEIGHT])
    left, low = place.x - width * ONE // 2, place.y - height * ONE // 2
    if left % ONE or low % ONE:
        raise BadInput(
            f"{path}: {what} at {_show(place)} does not lie on the grid: its {width}x{height} cells need whole edges"
        )
    cells = (slice(low // ONE, low // ONE + height), slice(left // ONE, left // ONE + width))
    inside = left >= 0 and low >= 0 and ground_HW[cells].shape == (height, width)
    if not inside or not (ground_HW[cells] & 2).all() or taken_HW[cells].any():
        raise BadInput(f"{path}: {what} at {_show(place)} does not stand on free buildable ground")
    taken_HW[cells] = True


def _check_distance(path: Path, hall: Place, resources: tuple[Place, ...], rules: Rules) -> None:
    heights = rules.units_TC[:, T.HEIGHT]
    for place in resources:
        reach = int(rules.economy_E[E.TOWN_HALL_GAP]) * ONE + int(heights[hall.kind] + heights[place.kind]) * ONE // 2
        if (hall.x - place.x) ** 2 + (hall.y - place.y) ** 2 < reach**2:
            raise BadInput(f"{path}: resource at {_show(place)} is too near the town hall at {_show(hall)}")


def _reach(open_HW: NDArray[np.bool_], start: Place) -> NDArray[np.bool_]:
    """Cells that can be walked to from a start, by growing its cell until nothing changes."""
    reached_HW = np.zeros(open_HW.shape, dtype=np.bool_)
    reached_HW[start.y // ONE, start.x // ONE] = True
    while True:
        grown_HW = reached_HW.copy()
        grown_HW[1:] |= reached_HW[:-1]
        grown_HW[:-1] |= reached_HW[1:]
        grown_HW[:, 1:] |= reached_HW[:, :-1]
        grown_HW[:, :-1] |= reached_HW[:, 1:]
        grown_HW &= open_HW
        if (grown_HW == reached_HW).all():
            return reached_HW
        reached_HW = grown_HW


def _show(place: Place) -> str:
    return f"({place.x / ONE:g}, {place.y / ONE:g})"
