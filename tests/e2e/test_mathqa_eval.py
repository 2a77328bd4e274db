"""`skyloom mathqa eval` killed with kill -9 and started again, and two evaluations compared by the command."""

import json
import os
import signal
import subprocess
import sys
import time

from typer.testing import CliRunner

from skyloom.app.cli import app
from skyloom.core.run import output_digests

COMMAND = ("mathqa", "eval", "--model", "tiny", "--limit", "12")
SMALL = ("--set", "generate.max_new_tokens=40", "--set", "generate.batch_tokens=260", "--set", "distractors=[2]")


def evaluated(out, *settings):
    result = CliRunner().invoke(app, [*COMMAND, "--out", str(out), *SMALL, *settings, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_an_evaluation_killed_in_the_middle_ends_as_one_that_was_not(tmp_path):
    out = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-m", "skyloom.app.cli", *COMMAND, "--out", str(out), *SMALL],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ},
    )
    until = time.monotonic() + 120
    answers = []
    while process.poll() is None and time.monotonic() < until:
        answers = [path for path in out.glob(".evaluate-*/.answers-world.jsonl") if path.read_bytes().count(b"\n") >= 4]
        if answers:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert answers, "ended before it was killed"
    (partial,) = answers
    stood = partial.read_bytes().count(b"\n")
    with partial.open("ab") as file:
        file.write(b'{"name": "world/2')  # what a kill inside a write leaves
    assert not (out / "evaluate").exists()
    told = evaluated(out)
    whole = evaluated(tmp_path / "whole")
    assert output_digests(out) == output_digests(tmp_path / "whole")
    assert told["headline"] == whole["headline"]
    assert told["headline"]["n"] == 12
    assert stood < 12 or list(out.glob("evaluate/.distracted-2-world.jsonl"))
    result = CliRunner().invoke(app, ["mathqa", "compare", str(out), str(tmp_path / "whole"), "--json"])
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)["benchmarks"]
    assert (found["benchmark"], found["a"]["n"], found["p"], found["nll_difference"]["value"]) == (
        "world",
        12,
        1.0,
        0.0,
    )
