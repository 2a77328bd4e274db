import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from skyloom.core.errors import BadInput, BadRow, FailedWork
from skyloom.core.execute import ExecuteConfig, run_all


def square(x):
    return x * x


def fails_on_three(x):
    if x == 3:
        raise BadRow("x", "three")
    return x


def dies(x):
    os._exit(9)


@pytest.mark.parametrize("kind", ["inline", "processes", "ray"])
def test_every_kind_gives_the_same_results_in_order(kind):
    if kind == "ray":
        pytest.importorskip("ray", reason="the [ray] extra is not installed")
    config = ExecuteConfig(kind=kind, workers=2)
    assert list(run_all(config, square, list(range(25)), "squares")) == [x * x for x in range(25)]


@pytest.mark.parametrize("kind", ["inline", "processes"])
def test_a_failure_reaches_the_caller_unchanged(kind):
    with pytest.raises(BadRow) as error:
        list(run_all(ExecuteConfig(kind=kind, workers=2), fails_on_three, list(range(6)), "fails"))
    assert (error.value.field, error.value.reason) == ("x", "three")


def test_a_dead_worker_is_told_in_one_line():
    with pytest.raises(FailedWork, match="a worker process died"):
        list(run_all(ExecuteConfig(kind="processes", workers=1), dies, [1], "dies"))


def test_negative_workers_are_refused():
    with pytest.raises(BadInput, match="expected 0 or more"):
        list(run_all(ExecuteConfig(workers=-1), square, [1], "x"))


def sleep_and_tell(path):
    Path(path).with_suffix(".pid").write_text(str(os.getpid()))
    time.sleep(60)


def test_workers_end_when_their_parent_is_killed(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_execute as t\n"
        "if __name__ == '__main__':\n"
        "    list(t.run_all(t.ExecuteConfig(kind='processes', workers=1), t.sleep_and_tell, [sys.argv[2]], 'x'))\n"
    )
    script, told = tmp_path / "parent.py", tmp_path / "worker.pid"
    script.write_text(code)
    parent = subprocess.Popen([sys.executable, str(script), str(Path(__file__).parent), str(tmp_path / "worker.x")])
    for _ in range(400):
        if told.exists() and told.read_text():
            break
        time.sleep(0.05)
    worker = Path(f"/proc/{told.read_text()}")
    if not Path("/proc/self").exists():
        pytest.skip("no /proc on this machine")
    parent.kill()
    parent.wait()
    for _ in range(100):
        if not worker.exists() or (worker / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return  # gone, or dead and not yet buried by whoever adopted it
        time.sleep(0.05)
    pytest.fail("the worker outlived its parent")
