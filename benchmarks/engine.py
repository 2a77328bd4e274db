"""How fast the game engine runs, against the same kernels as plain Python.

A mirror match of marine_push is played to loop 5,000 and saved; both sides then run on from that very state without commands.
Also printed: a whole bot-against-bot game with its Python players, and replaying it with a view at every decision.

Run  python benchmarks/engine.py [--quick]   last line: JSON {"name", "ours", "peer", "ratio", "unit", "repeats"}
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from skyloom.arena import match, recording, spec
from skyloom.arena.engine.state import Engine
from skyloom.arena.game_map import load_map
from skyloom.arena.view import View

AT = 5000
OURS_LOOPS, PEER_LOOPS = 1000, 30


def saved_state() -> np.ndarray:
    """A game in full swing: about 90 units."""
    games = match.Games("basin", (7,), max_loops=100_000)
    players = [match.bot("marine_push"), match.bot("marine_push")]
    for player_id, player in enumerate(players, start=1):
        player.reset(player_id, player_id, games.start(0, player_id))
    while games.loops[0] < AT:
        views = games.observe()
        games.act([players[player - 1].act(views[k]) for k, (_, player) in enumerate(games.waiting.tolist())])
    return games.save(0)


def loops_per_second(state: np.ndarray, loops: int, games: int = 1) -> float:
    """Running on from a state without commands."""
    engine = Engine(spec.RULES, load_map("basin").ground_HW, games)
    engine.states_NS[:] = state
    for game in range(games):
        engine.wait(game, 1, loops)
        engine.wait(game, 2, loops)
    start = engine.loops().sum()
    begin = time.perf_counter()
    engine.advance()
    return float((engine.loops().sum() - start) / (time.perf_counter() - begin))


def plain_python(path: Path) -> float:
    """The same functions un-jitted, in a process of their own."""
    env = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, __file__, "--plain", str(path)]
    return float(subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout)


def look(player: int, view: View, action: spec.Action) -> None:
    """A visitor that only makes the replay build its views."""
    del player, view, action


def whole_games(repeats: int) -> None:
    """A game with its players, and its replay with views."""
    played, replayed, loops = [], [], 0
    for seed in range(repeats):
        begin = time.perf_counter()
        record = match.play("basin", [match.bot("marine_push"), match.bot("slow_push")], seed=seed)
        played.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        recording.replay(record, look)
        loops = record.loops
        replayed.append((time.perf_counter() - begin) / len(record.decisions_D8))
    print(f"a bot-against-bot game: {statistics.median(played):.3f} s of {loops} loops")
    print(f"replaying with a view at each decision: {1e6 * statistics.median(replayed):.0f} us a decision")


def main() -> None:
    if sys.argv[1:2] == ["--plain"]:
        print(loops_per_second(np.load(sys.argv[2]), PEER_LOOPS))
        return
    repeats = 3 if "--quick" in sys.argv else 7
    state = saved_state()
    loops_per_second(state, OURS_LOOPS)  # caches warm
    ours = statistics.median(loops_per_second(state, OURS_LOOPS) for _ in range(repeats))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.npy"
        np.save(path, state)
        peer = statistics.median(plain_python(path) for _ in range(1 if "--quick" in sys.argv else 3))
    whole_games(repeats)
    result = {"name": "engine", "ours": round(ours), "peer": round(peer, 1), "ratio": round(ours / peer, 1)}
    print(json.dumps({**result, "unit": "game loops/s", "repeats": repeats}))


if __name__ == "__main__":
    main()
