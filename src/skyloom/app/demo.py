"""`skyloom demo`: the three loops at laptop size on their embedded worlds, and one report.

Exit code 1 unless each trained model's lower bound exceeds its best null baseline: the demo is a test of the whole house.
"""

import time
from pathlib import Path
from typing import Any

from skyloom.app import show
from skyloom.app.output import print_json
from skyloom.app.settings import find_setting, pipeline_of
from skyloom.core.report import render, render_many
from skyloom.core.run import open_run

RECIPES: tuple[str, ...] = ("skywork_reward", "skywork_math", "scc")


def run_demo(out: Path, as_json: bool) -> bool:
    """Run or resume the three; True where each beats its nulls."""
    results: dict[str, dict[str, Any]] = {}  # Any: JSON
    paths: list[Path] = []
    for name in RECIPES:
        recipe, setting, config = find_setting(name, smoke=True)
        started = time.monotonic()
        if not as_json:
            show.say(f"{recipe.system}: {name}:{setting} ...")
        with open_run(f"{name}.{setting}", config, out / recipe.system, show.seed_of(config)) as run:
            evaluation = pipeline_of(recipe.system).run(config, run)
            render(run.path)
        seconds = time.monotonic() - started
        paths.append(out / recipe.system)
        results[recipe.system] = {"seconds": round(seconds, 1), "beats_null": evaluation.beats_null}
        results[recipe.system] |= evaluation.to_json()
        if not as_json:
            show.say(f"  {show.verdict(evaluation)} ({seconds:.0f} s)")
    page = render_many(paths, out)
    good = all(result["beats_null"] for result in results.values())
    if as_json:
        print_json({"report": str(page), "good": good, "systems": results})
    else:
        show.say(f"report: {page}")
        show.say("why was a row kept?  skyloom why world:0:0 --run " + str(paths[0]))
    return good
