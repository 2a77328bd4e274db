"""The golden game against its hashes in git: in this process, in another one, and un-jitted for a short window.

A change that must not alter the game keeps them; one that does writes new ones: python tests/golden/arena_game.py
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from golden.arena_game import play

HERE = Path(__file__).parent
GOLDEN = json.loads((HERE / "arena_game.json").read_text())


@pytest.mark.parametrize("loops", GOLDEN)
def test_the_golden_game_comes_out_as_it_always_did(loops):
    assert play(int(loops)) == GOLDEN[loops]


@pytest.mark.parametrize("jit", [True, False], ids=["jitted", "plain python"])
def test_another_process_plays_the_same_window(jit):
    env = {**os.environ, "NUMBA_DISABLE_JIT": "0" if jit else "1"}
    command = [sys.executable, "-W", "error::RuntimeWarning", str(HERE / "arena_game.py"), "30"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout) == {"30": GOLDEN["30"]}
