"""The golden game: played by fixed rules that use no floating point, so that every machine must come to the same state.

Run  python tests/golden/golden_arena_game.py [loops]   prints the hashes; also un-jitted with NUMBA_DISABLE_JIT=1
"""

import json
import sys

import numpy as np

from skyloom.arena import match, spec
from skyloom.arena.engine.rules import Target
from skyloom.arena.view import masks, position_mask


def choose(view, step):
    """A legal action by arithmetic on a counter."""
    found = masks(view)
    kinds = np.flatnonzero(found.kinds)
    kind = int(kinds[(step * 7919 + 13) % len(kinds)])
    place, target = -1, -1
    if spec.ACTIONS[kind].target == Target.POSITION:
        fits = np.flatnonzero(position_mask(view, kind))
        place = int(fits[(step * 104729) % len(fits)])
    if spec.ACTIONS[kind].target == Target.UNIT:
        rows = np.flatnonzero(found.targets[kind])
        target = int(rows[(step * 31) % len(rows)])
    units = tuple(np.flatnonzero(found.units[kind])[step % 2 :: 2][:6].tolist()) if kind else ()
    if kind and not units:
        return spec.Action(skip=3)
    return spec.Action(kind=kind, units=units, position=place, target=target, skip=2 + step % 13)


def play(loops):
    """Hash of the state after so many loops."""
    games = match.Games("basin", (2020,), max_loops=loops)
    step = 0
    while len(games.waiting):
        views = games.observe()
        actions = []
        for k in range(len(views)):
            actions.append(choose(views[k], step))
            step += 1
        games.act(actions)
    return games.hash(0)


def compute(marks=(30, 1500, 3000)):
    """Loops -> hash."""
    return {str(loops): play(loops) for loops in marks}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(compute([int(text) for text in sys.argv[1:]] or (30, 1500, 3000))) + "\n")
