"""A run that is killed again and again ends with the same bytes as one that was left alone.

Kills come before, in the middle of and after writes, fsyncs and renames (tests/e2e/killed.py), and at random times.
"""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from skyloom.core.run import output_digests

HERE = Path(__file__).resolve().parent
SMALL: dict[str, list[str]] = json.loads((HERE / "small.json").read_text())
"""Recipe -> settings that make its smoke run last seconds."""


def command(recipe: str, out: Path, point: int, counter: Path) -> list[str]:
    sets = [part for setting in SMALL[recipe] for part in ("--set", setting)]
    harness = [sys.executable, str(HERE / "killed.py"), str(point), str(counter)]
    return [*harness, "run", recipe, "--smoke", "--out", str(out), *sets]


def run(recipe: str, out: Path, point: int = 0, after_s: float | None = None) -> tuple[int, int]:
    """One start of the recipe; returns (exit code, points passed); killed at a point, or after a time."""
    counter = out.parent / "points"
    counter.unlink(missing_ok=True)
    process = subprocess.Popen(command(recipe, out, point, counter), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        output, _ = process.communicate(timeout=after_s or 600)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
    code = process.returncode
    assert code in (0, -9), output.decode()[-3000:]
    return code, int(counter.read_text()) if counter.exists() else -1


def sweep(recipe: str, folder: Path, kills: int, seed: int) -> None:
    """Kill one run `kills` times, each time where it stands by then, let it finish, and compare with one left alone."""
    alone, cut = folder / "alone" / "run", folder / "cut" / "run"
    alone.parent.mkdir()
    cut.parent.mkdir()
    started = time.monotonic()
    code, points = run(recipe, alone)
    seconds = time.monotonic() - started
    assert code == 0
    assert points > 20, "the harness saw hardly any write: it is not where the writing happens"
    draw = random.Random(seed)
    died = 0
    for k in range(kills):
        if k % 3 == 2:
            code, _ = run(recipe, cut, after_s=draw.uniform(0.3, 0.95) * seconds)
        else:
            code, _ = run(recipe, cut, point=draw.randint(1, max(2, points // (1 + k))))
        died += code == -9
        if code == 0:  # it got to the end before its kill: begin again, so that every kill is spent on work
            cut = folder / f"cut{k}" / "run"
            cut.parent.mkdir()
    code, _ = run(recipe, cut)
    assert code == 0
    assert died >= kills // 2, f"only {died} of {kills} kills hit"
    assert output_digests(cut) == output_digests(alone) != {}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("recipe", sorted(SMALL))
def test_three_kills_change_nothing(recipe, tmp_path):
    sweep(recipe, tmp_path, kills=3, seed=11)


@pytest.mark.prove
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("recipe", sorted(SMALL))
def test_twenty_four_kills_change_nothing(recipe, tmp_path):
    sweep(recipe, tmp_path, kills=24, seed=23)
