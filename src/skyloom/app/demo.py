"""`skyloom demo`: the three loops at laptop size on their embedded worlds, two at a time, and one report.

Exit code 1 unless each trained model's lower bound exceeds its best null baseline: the demo is a test of the whole house.
"""

import io
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from skyloom.app import show
from skyloom.app.output import print_json
from skyloom.app.settings import find_setting, pipeline_of
from skyloom.core.execute import ExecuteConfig, run_all
from skyloom.core.report import render, render_many
from skyloom.core.run import open_run

RECIPES: tuple[str, ...] = ("scc", "skywork_reward", "skywork_math")
"""The longest first, so that the others fill the second core."""


class _Done(NamedTuple):
    system: str
    path: Path
    verdict: str
    seconds: float
    result: dict[str, Any]  # Any: JSON


@dataclass(frozen=True, slots=True)
class _Task:
    recipe: str
    out: Path


def run_demo(out: Path, as_json: bool) -> bool:
    """Run or resume the three; True where each beats its nulls."""
    tasks = [_Task(name, out) for name in RECIPES]
    workers = min(2, os.cpu_count() or 1)
    if not as_json:
        show.say(f"three loops, {workers} at a time: {', '.join(RECIPES)}; some minutes, the same command resumes")
    done: list[_Done] = []
    for each in run_all(ExecuteConfig(kind="processes", workers=workers), _loop, tasks, "demo"):
        done.append(each)
        if not as_json:
            show.say(f"{each.system}: {each.verdict} ({each.seconds:.0f} s)")
    page = render_many([each.path for each in done], out)
    good = all(each.result["beats_null"] for each in done)
    if as_json:
        print_json({"report": str(page), "good": good, "systems": {each.system: each.result for each in done}})
    else:
        show.say(f"report: {page}")
        show.say(f"why was a row kept?  skyloom why world:0:0 --run {out / 'reward'}")
    return good


def _loop(task: _Task) -> _Done:
    """One recipe at laptop size, in a worker; its progress becomes lines that name the system."""
    recipe, setting, config = find_setting(task.recipe, smoke=True)
    path = task.out / recipe.system
    sys.stderr = _Named(recipe.system)
    started = time.monotonic()
    with open_run(f"{recipe.name}.{setting}", config, path, show.seed_of(config)) as run:
        evaluation = pipeline_of(recipe.system).run(config, run)
        render(run.path)
    seconds = time.monotonic() - started
    result = {"seconds": round(seconds, 1), "beats_null": evaluation.beats_null, **evaluation.to_json()}
    return _Done(recipe.system, path, show.verdict(evaluation), seconds, result)


class _Named(io.TextIOBase):
    """A stderr that is no terminal, so that two workers' progress comes as whole lines, each with its system's name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def write(self, text: str, /) -> int:
        """Pass whole lines on; blank ones are swallowed."""
        lines = "".join(f"  {self._name}: {line}\n" for line in text.splitlines() if line.strip())
        os.write(2, lines.encode())
        return len(text)
