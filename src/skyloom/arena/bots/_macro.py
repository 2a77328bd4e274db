"""What the scripted marine players share: read the view, keep a base running, send waves. Skill is all in the settings.

A decision walks down a list of habits and takes the first that has something to do: one command a decision, at a bounded
cadence, on the fogged view alone, so that a network with one action a decision can imitate it.

Flow    match -> [act] -> Action; the settings stand in each bot's own file
Shapes  n own units in rows of the view; cells are minimap cells (x, y)
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyloom.arena import spec
from skyloom.arena.match import Start
from skyloom.arena.view import View, position_mask
from skyloom.core import registry
from skyloom.core.config import PluginConfig
from skyloom.core.rng import stream

_TAG, _TYPE, _X, _Y = (spec.C_[name] for name in ("tag", "type", "x", "y"))
_BUILT, _ORDER, _QUEUE, _CARGO = (spec.C_[name] for name in ("built", "order", "queue", "cargo"))
_ASSIGNED, _BUSY, _DISPLAY = (spec.C_[name] for name in ("assigned", "busy", "display"))
_GOAL_X, _GOAL_Y = spec.C_["goal_x"], spec.C_["goal_y"]
SCV, MARINE, HALL, DEPOT, BARRACKS = (
    spec.type_index(name) for name in ("SCV", "Marine", "CommandCenter", "SupplyDepot", "Barracks")
)
_STRUCTURES: NDArray[np.int64] = np.array([kind.index for kind in spec.TYPES if kind.size and kind.minerals])
_PATCHES: NDArray[np.int64] = np.array([spec.type_index("MineralField"), spec.type_index("MineralField750")])
BUILDS: dict[int, int] = {kind.index: kind.makes for kind in spec.ACTIONS if kind.name.startswith("build_")}
Rows = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True, slots=True)
class MacroConfig(PluginConfig):
    """How well a marine player plays."""

    cadence: int = 11
    """Loops between two decisions, 2 to 128; 11 = about two a second."""
    lapse: float = 0.0
    """Share of decisions that are slept through."""
    workers: int = 20
    """SCVs after which no more are trained."""
    barracks: int = 3
    wave: int = 12
    """Marines that the first attack waits for."""
    reinforcement: int = 6
    """Marines that gather at home before they follow the first wave."""
    queue: int = 2
    """Units queued in a structure at a time; more ties up money."""
    supply_margin: int = 4
    """Free supply at which the next depot is begun."""
    variation: float = 0.2
    """Largest share by which a game's waves and worker count differ from the plan, so that no two games are alike."""


class MacroBot:
    """A marine player; see MacroConfig."""

    def __init__(self, config: MacroConfig) -> None:
        self.name: str = registry.plugin_of(config).name
        self._config = config
        self._rng = stream(0, "unused")
        self._start: Start | None = None
        self._attacking = False
        self._wave, self._group, self._workers = config.wave, config.reinforcement, config.workers

    def reset(self, seed: int, player_id: int, start: Start) -> None:
        """Forget the last game."""
        self._rng = stream(seed, "macro", player_id)
        self._start = start
        self._attacking = False
        spread = self._config.variation
        wave, group, workers = self._rng.uniform(1 - spread, 1 + spread, size=3)
        self._wave = max(round(self._config.wave * wave), 1)
        self._group = max(round(self._config.reinforcement * group), 1)
        self._workers = max(round(self._config.workers * workers), 1)

    def act(self, view: View) -> spec.Action:
        """The first habit that has something to do."""
        # A person is never exactly on the beat; the jitter also makes the games of one pairing differ.
        skip = self._config.cadence + int(self._rng.integers(0, 1 + self._config.cadence // 4))
        skip = min(max(skip, spec.MIN_SKIP), spec.MAX_SKIP)
        if self._start is None or self._rng.random() < self._config.lapse:
            return spec.Action(skip=skip)
        scene = Scene(view, self._start)
        for habit in self._habits():
            action = next(habit(scene, skip), None)
            if action is not None:
                return action
        return spec.Action(skip=skip)

    def _habits(self) -> tuple[Callable[["Scene", int], Iterator[spec.Action]], ...]:
        return (
            self._defend,
            self._resume,
            self._rally,
            self._supply,
            self._train,
            self._expand,
            self._mine,
            self._attack,
        )

    def _mine(self, scene: "Scene", skip: int) -> Iterator[spec.Action]:
        """Idle workers go to the patch with the fewest miners near home."""
        idle = scene.rows((scene.kind == SCV) & (scene.my[:, _ORDER] == 0) & (scene.my[:, _BUSY] == 0))
        patch = scene.patch()
        if len(idle) and patch >= 0:
            yield _order("harvest", idle[:1], skip, target=patch)

    def _resume(self, scene: "Scene", skip: int) -> Iterator[spec.Action]:
        """A site whose builder died gets another."""
        going = scene.my[:, _ORDER] == spec.action_index("resume_construction")
        sites = scene.rows(
            np.isin(scene.kind, _STRUCTURES) & (scene.my[:, _BUILT] < spec.CELL) & (scene.my[:, _BUSY] == 0)
        )
        if len(sites) and not going.any():
            builder = scene.builder(*scene.place(int(sites[0])))
            if builder >= 0:
                yield _order("resume_construction", [builder], skip, target=int(sites[0]))

    def _rally(self, scene: "Scene", skip: int) -> Iterator[spec.Action]:
        """Once, at the start: new workers go straight to a patch."""
        halls = scene.rows((scene.kind == HALL) & scene.done)
        if len(halls) and scene.loop == 0 and scene.patch() >= 0:
            yield _order("rally_workers", halls, skip, target=scene.patch())

    def _supply(self, scene: "Scene", skip: int) -> Iterator[spec.Action]:
        coming = scene.count(DEPOT, done=False) + scene.planned(DEPOT)
        cap = scene.cap + 8 * coming
        barred = scene.count(DEPOT) + coming == 0 and scene.bank >= 250  # no barracks without a depot
        wanted = barred or (scene.used + self._config.supply_margin >= cap and cap < 200)
        if wanted and scene.bank >= 100:
            yield from self._build(scene, "build_supply_depot", DEPOT, skip)

    def _expand(self, scene: "Scene", skip: int) -> Iterator[spec.Action]:
        standing = scene.count(BARRACKS) + scene.planned(BARRACKS)
        if standing < self._config.barracks and scene.count(DEPOT, done=True) and scene.bank >= 150:
            yield from self._build(scene, "build_barracks", BARRACKS, skip)

    def _build(self, scene: "Scene", name: str, made: int, skip: int) -> Iterator[spec.Action]:
        cell = scene.site(spec.action_index(name), made, self._rng)
        builder = scene.builder(*cell) if cell else -1
        if cell and builder >= 0:
            yield _order(name, [builder], skip, cell=cell)

    def _train(self, scene: "Scene", skip: int) -> Iterator[spec.Action]:
        """Workers first, then marines; the emptiest structure first."""
        if scene.bank < 50 or scene.used >= scene.cap:
            return
        workers = scene.count(SCV) + int(scene.my[scene.kind == HALL, _QUEUE].sum())
        pairs = [(HALL, "train_scv")] if workers < self._workers else []
        for producer, name in (*pairs, (BARRACKS, "train_marine")):
            rows = scene.rows((scene.kind == producer) & scene.done & (scene.my[:, _QUEUE] < self._config.queue))
            if len(rows):
                row = min(rows, key=lambda row: int(scene.my[row, _QUEUE]))
                yield _order(name, [row], skip)

    def _defend(self, scene: "Scene", skip: int) -> Iterator[spec.Action]:
        """The army that stands idle goes for whoever comes near home."""
        intruder = scene.intruder()
        army = scene.rows((scene.kind == MARINE) & (scene.my[:, _ORDER] == 0))
        if intruder and len(army):
            yield _order("attack", army, skip, cell=intruder)

    def _attack(self, scene: "Scene", skip: int) -> Iterator[spec.Action]:
        """Waves: the first when it is strong enough, then every group that stands idle."""
        army = scene.rows((scene.kind == MARINE) & (scene.my[:, _ORDER] == 0))
        if not self._attacking and len(army) < self._wave:
            return
        self._attacking = True
        home = [row for row in army if scene.far(row) < 16]
        away = [row for row in army if scene.far(row) >= 16]
        group = away or (home if len(home) >= min(self._group, self._wave) else [])
        if group:
            yield _order("attack", group, skip, cell=scene.goal(group[0], self._rng))


class Scene:
    """A view, read for a marine player."""

    def __init__(self, view: View, start: Start) -> None:
        mine, theirs, others = view.counts.tolist()
        self.view = view
        self.start = start
        self.my: Rows = view.my[:mine]
        self.enemy: Rows = view.enemy[:theirs]
        self.neutral: Rows = view.neutral[:others]
        self.kind = self.my[:, _TYPE]
        self.done: NDArray[np.bool_] = self.my[:, _BUILT] >= spec.CELL
        self.loop = view.scalar("loop")
        self.cap = view.scalar("food_cap")
        self.used = view.scalar("food_used")
        unpaid = sum(spec.TYPES[made].minerals * self.planned(made) for made in BUILDS.values())
        self.bank = view.scalar("minerals") - unpaid
        """Minerals less the price of what is ordered but not begun."""

    def rows(self, mask: NDArray[np.bool_]) -> list[int]:
        """Rows of own units under a mask."""
        return np.flatnonzero(mask).tolist()

    def count(self, kind: int, *, done: bool | None = None) -> int:
        """Own units of a kind: all, only finished ones, or only unfinished ones."""
        mask = self.kind == kind
        if done is not None:
            mask = mask & (self.done == done)
        return int(mask.sum())

    def planned(self, made: int) -> int:
        """Structures of a kind that a worker is on its way to build."""
        (action,) = (index for index, kind in BUILDS.items() if kind == made)
        return int(((self.my[:, _ORDER] == action) & (self.my[:, _BUSY] == 0)).sum())

    def place(self, row: int) -> tuple[int, int]:
        """Cell of an own unit."""
        return int(self.my[row, _X]) // spec.CELL, int(self.my[row, _Y]) // spec.CELL

    def far(self, row: int) -> float:
        """Cells from home."""
        x, y = self.place(row)
        return float(np.hypot(x - self.start.own[0] / spec.CELL, y - self.start.own[1] / spec.CELL))

    def patch(self) -> int:
        """Target row of the patch near home with the fewest miners, -1 where there is none."""
        near = np.hypot(
            *(self.neutral[:, c] / spec.CELL - self.start.own[i] / spec.CELL for i, c in enumerate((_X, _Y)))
        )
        rows = np.flatnonzero(np.isin(self.neutral[:, _TYPE], _PATCHES) & (near < 10))
        if not len(rows):
            return -1
        return spec.NEUTRAL_START + int(rows[np.argmin(self.neutral[rows, _ASSIGNED] * 100 + near[rows])])

    def builder(self, x: int, y: int) -> int:
        """The nearest worker that mines and carries nothing; -1 = none."""
        free = (self.kind == SCV) & (self.my[:, _BUSY] == 0)
        free &= np.isin(self.my[:, _ORDER], (0, spec.action_index("harvest")))
        rows = np.flatnonzero(free)
        if not len(rows):
            return -1
        far = np.hypot(self.my[rows, _X] / spec.CELL - x, self.my[rows, _Y] / spec.CELL - y)
        return int(rows[np.argmin(far + 3 * (self.my[rows, _CARGO] > 0))])

    def site(self, action: int, made: int, rng: np.random.Generator) -> tuple[int, int] | None:
        """A free place near home, on a grid that leaves lanes, away from the minerals."""
        ok = position_mask(self.view, action)
        size = spec.TYPES[made].size
        y, x = np.nonzero(ok)
        lane = ((x % (size + 1)) == 0) & ((y % (size + 1)) == 0)
        x, y = x[lane], y[lane]
        home_x, home_y = self.start.own[0] / spec.CELL, self.start.own[1] / spec.CELL
        patches = self.neutral[:, [_X, _Y]] / spec.CELL
        near = patches[np.hypot(patches[:, 0] - home_x, patches[:, 1] - home_y) < 10]
        away_x, away_y = (home_x - near[:, 0].mean(), home_y - near[:, 1].mean()) if len(near) else (0.0, 0.0)
        far = np.hypot(x - home_x, y - home_y)
        side = ((x - home_x) * away_x + (y - home_y) * away_y) / (np.hypot(away_x, away_y) + 1e-9)
        fit = np.flatnonzero((far > 4 + size / 2) & (side > -2) & (far < 20))
        if not len(fit):
            return None
        best = fit[np.argmin(far[fit] + rng.random(len(fit)) * 3)]
        return int(x[best]), int(y[best])

    def intruder(self) -> tuple[int, int] | None:
        """Cell of a visible enemy near home."""
        x, y = self.enemy[:, _X] / spec.CELL, self.enemy[:, _Y] / spec.CELL
        near = np.hypot(x - self.start.own[0] / spec.CELL, y - self.start.own[1] / spec.CELL) < 16
        rows = np.flatnonzero(near & (self.enemy[:, _DISPLAY] == 1))
        return (int(x[rows[0]]), int(y[rows[0]])) if len(rows) else None

    def goal(self, row: int, rng: np.random.Generator) -> tuple[int, int]:
        """The known enemy structure nearest to a unit; else the enemy's start; else anywhere unseen."""
        x, y = self.place(row)
        rows = np.flatnonzero(np.isin(self.enemy[:, _TYPE], _STRUCTURES))
        if len(rows):
            places = self.enemy[rows][:, [_X, _Y]] / spec.CELL
            best = places[np.argmin(np.hypot(places[:, 0] - x, places[:, 1] - y))]
            return int(best[0]), int(best[1])
        seen = self.view.minimap[spec.P_["visibility_map"]]
        start_x, start_y = self.start.enemy[0] // spec.CELL, self.start.enemy[1] // spec.CELL
        if seen[start_y, start_x] == 0:
            return start_x, start_y
        dark_y, dark_x = np.nonzero((seen < 2) & (self.view.minimap[spec.P_["pathable"]] > 0))
        if not len(dark_x):
            return start_x, start_y
        pick = int(rng.integers(len(dark_x)))
        return int(dark_x[pick]), int(dark_y[pick])


def _order(
    name: str, rows: list[int], skip: int, *, cell: tuple[int, int] | None = None, target: int = -1
) -> spec.Action:
    position = cell[1] * spec.MINIMAP + cell[0] if cell else -1
    units = tuple(rows[: spec.MAX_SELECTED])
    return spec.Action(kind=spec.action_index(name), units=units, position=position, target=target, skip=skip)
