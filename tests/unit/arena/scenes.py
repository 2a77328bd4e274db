"""Scenes for tests of the arena: one game with hand-placed units, read and changed through the layout's offsets."""

import numpy as np

from skyloom.arena import spec
from skyloom.arena.engine import layout as L
from skyloom.arena.engine.state import Engine
from skyloom.arena.game_map import load_map
from skyloom.arena.view import View, Window

ONE = spec.CELL


class Scene:
    """A game on the basin map; both players wait for `step`."""

    def __init__(self, seed: int = 1, max_loops: int = 100_000) -> None:
        self.map = load_map("basin")
        self.engine = Engine(spec.RULES, self.map.ground_HW, 1)
        self.engine.start(0, self.map.placements(swapped=False), seed, max_loops)
        self._window = Window(2)

    @property
    def s(self) -> np.ndarray:
        return self.engine.states_NS[0]

    def step(self, loops: int) -> None:
        self.engine.wait(0, 1, loops)
        self.engine.wait(0, 2, loops)
        self.engine.advance()

    def view(self, player: int) -> View:
        return self._window.observe(self.engine, np.array([[0, player]], dtype=np.int32))[0].copy()

    def units(self, kind: str, owner: int) -> list[int]:
        """Offsets of an owner's units of a kind."""
        index = spec.type_index(kind)
        offsets = [L.unit(slot) for slot in range(int(self.s[L.H_SLOTS]))]
        return [u for u in offsets if self.s[u] == index and self.s[u + L.U_OWNER] == owner]

    def add(self, kind: str, owner: int, x: float, y: float) -> int:
        """A finished unit in a new slot; structures only count for the end of the game, their cells stay free."""
        slot = int(self.s[L.H_SLOTS])
        self.s[L.H_SLOTS] = slot + 1
        u = L.unit(slot)
        index = spec.type_index(kind)
        row = spec.RULES.units_TC[index]
        self.s[u] = index
        self.s[u + L.U_OWNER] = owner
        self.s[u + L.U_GENERATION] = 1
        self.s[u + L.U_X] = int(x * ONE)
        self.s[u + L.U_Y] = int(y * ONE)
        self.s[u + L.U_HP] = row[7]
        self.s[u + L.U_BUILT] = row[6]
        self.s[u + L.U_HIT] = -1000
        if spec.TYPES[index].size:
            self.s[self.player(owner) + L.P_STRUCTURES] += 1
        else:
            self.s[self.player(owner) + L.P_FOOD_USED] += row[4]
        return u

    def clear(self, kind: str, owner: int) -> None:
        """Take all units of a kind away."""
        for u in self.units(kind, owner):
            self.s[u] = 0

    def tag(self, u: int) -> int:
        return ((u - L.UNIT0) // L.U_SIZE << L.TAG_SHIFT) + int(self.s[u + L.U_GENERATION])

    def player(self, player: int) -> int:
        return L.PLAYER0 + (player - 1) * L.P_SIZE

    def get(self, player: int, field: int) -> int:
        return int(self.s[self.player(player) + field])

    def give(self, player: int, minerals: int) -> None:
        self.s[self.player(player) + L.P_MINERALS] += minerals

    def command(
        self,
        player: int,
        ability: str,
        units: list[int],
        at: tuple[float, float] | None = None,
        target: int = 0,
        queued: int = 0,
    ) -> int:
        """Give a command to units by offset; the ActionResult."""
        kind = spec.ACTIONS[spec.action_index(ability)]
        x, y = (int(at[0] * ONE), int(at[1] * ONE)) if at else (-1, -1)
        tag = self.tag(target) if target else 0
        row = (kind.ability_id, x, y, tag, queued, *(self.tag(u) for u in units))
        return self.engine.command(0, player, np.array(row, dtype=np.int32))

    def place(self, u: int) -> tuple[float, float]:
        return int(self.s[u + L.U_X]) / ONE, int(self.s[u + L.U_Y]) / ONE
