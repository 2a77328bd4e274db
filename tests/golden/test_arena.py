"""The golden game in another process, and un-jitted for a short window; test_golden.py plays it whole.

A change that must not alter the game keeps them; one that does writes new ones: make regold
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
GOLDEN = json.loads((HERE / "arena_game.json").read_text())


@pytest.mark.parametrize("jit", [True, False], ids=["jitted", "plain python"])
def test_another_process_plays_the_same_window(jit):
    env = {**os.environ, "NUMBA_DISABLE_JIT": "0" if jit else "1"}
    command = [sys.executable, "-W", "error::RuntimeWarning", str(HERE / "golden_arena_game.py"), "30"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout) == {"30": GOLDEN["30"]}
