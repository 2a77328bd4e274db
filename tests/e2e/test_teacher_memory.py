"""The teacher's client holds a window of requests, however long the run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "teacher.py"


@pytest.mark.prove
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("switch", ["--memory", "--million"])
def test_a_long_run_needs_no_more_memory_than_a_short_one(switch):
    done = subprocess.run([sys.executable, str(BENCHMARK), switch], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["peer"] > 20, done.stdout  # MB at 5,000 requests: something was measured
    assert told["ratio"] < 1.2, done.stdout
