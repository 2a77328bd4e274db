"""Games as arrays: start, command, advance, observe, clone, hash. The host side of the engine.

Flow    rules + ground -> [STATE] -> match, recording, the API server; `states_NS[i].copy()` is a saved game
Shapes  N games, S state row, K decisions; see layout
"""

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from skyloom.arena.engine import kernels, layout
from skyloom.arena.engine.geometry import Row, Table
from skyloom.arena.engine.rules import Rules


class Engine:
    """N games on one map under one ruleset. Player ids are 1 and 2."""

    def __init__(
        self, rules: Rules, ground_HW: Table, games: int, progress: Callable[[str], None] | None = None
    ) -> None:
        height, width = ground_HW.shape
        self._kernels = kernels.load(progress)
        self._tables = (rules.units_TC.copy(), rules.abilities_AC.copy(), rules.economy_E.copy())
        self._ground = np.array(ground_HW, dtype=np.int64)
        self.states_NS: Row = np.zeros((games, layout.state_size(width, height)), dtype=np.int32)
        """All that a game is; copy a row to save or clone the game, write it back to load it."""
        self._scratch: Row = np.zeros((games, layout.scratch_size(width, height)), dtype=np.int32)
        self._next = [layout.PLAYER0 + p * layout.P_SIZE + layout.P_NEXT for p in range(2)]

    def start(self, game: int, placements_D4: Table, seed: int, max_loops: int) -> None:
        """Begin a game; both players' first decision is due at loop 0."""
        units, abilities, economy = self._tables
        setup = self._kernels.setup
        setup(self.states_NS[game], units, abilities, economy, self._ground, placements_D4, seed, max_loops)

    def command(self, game: int, player: int, command: Row) -> int:
        """Carry out (ability id, x, y, target tag, queued, tags...); x = -1 for none. StarCraft II's ActionResult, 1 = done."""
        units, abilities, economy = self._tables
        state = self.states_NS[game]
        return int(self._kernels.command(state, units, abilities, economy, self._ground, player - 1, command))

    def wait(self, game: int, player: int, loops: int) -> None:
        """Set a player's next decision, `loops` from now."""
        self.states_NS[game, self._next[player - 1]] = self.states_NS[game, layout.H_LOOP] + loops

    def advance(self) -> None:
        """Run every game to its next decision or its end."""
        self._kernels.advance(self.states_NS, self._scratch, *self._tables, self._ground)

    def waiting(self) -> NDArray[np.int32]:
        """(K, 2) game and player id of every decision that is due, games in order, player 1 first."""
        running_N1 = self.states_NS[:, layout.H_RESULT, None] == 0
        due_N2 = self.states_NS[:, self._next] <= self.states_NS[:, layout.H_LOOP, None]
        return (np.argwhere(due_N2 & running_N1) + np.array([0, 1])).astype(np.int32)

    def observe(
        self,
        who_K2: NDArray[np.int32],
        scalars_KS: Row,
        planes_KPYX: NDArray[np.uint8],
        rows_KRC: Row,
        counts_K3: Row,
    ) -> None:
        """Fill K views; who = game and player id."""
        who = np.ascontiguousarray(who_K2 - np.array([0, 1], dtype=np.int32))
        observe = self._kernels.observe
        observe(self.states_NS, self._tables[0], self._ground, who, scalars_KS, planes_KPYX, rows_KRC, counts_K3)

    def loops(self) -> NDArray[np.int64]:
        """(N,) game loops played."""
        return self.states_NS[:, layout.H_LOOP].astype(np.int64)

    def winners(self) -> NDArray[np.int64]:
        """(N,) 1 or 2, 0 for a draw, -1 while a game runs."""
        return np.array([-1, 1, 2, 0])[self.states_NS[:, layout.H_RESULT]]

    def hash(self, game: int) -> str:
        """32 hex digits over the whole state: equal on every machine for equal games."""
        return hashlib.blake2b(self.states_NS[game].astype("<i4").tobytes(), digest_size=16).hexdigest()
