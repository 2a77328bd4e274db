"""Fine-tuning that is killed in either phase, or done by several processes, ends as one process left alone does."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from math_training import CONFIG, examples, rows_of, saved_base, with_optim, written
from skyloom.core.trainer import Trainer
from skyloom.mathqa.train import train


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    """An uninterrupted training in two stages."""
    folder = tmp_path_factory.mktemp("staged")
    return folder, train(examples(80, hard=3), replace(CONFIG, keep_stages=True), 0, folder)


def killed(folder: str, at: str) -> None:
    """Train as `staged` did, and die at an update of both phases together."""
    step, made = Trainer.step, []

    def stop(self, *args):
        made.append(step(self, *args))
        if len(made) == int(at):
            os.kill(os.getpid(), signal.SIGKILL)
        return made[-1]

    Trainer.step = stop
    train(examples(80, hard=3), replace(CONFIG, keep_stages=True), 0, Path(folder))


@pytest.mark.parametrize("phase", [0, 1])
def test_a_kill_in_either_phase_changes_nothing(tmp_path, staged, phase):
    folder, done = staged
    at = done.phases[0].updates + 3 if phase else 3
    code = "import runpy, sys; runpy.run_path(sys.argv[1])['killed'](*sys.argv[2:])"
    command = [sys.executable, "-c", code, __file__, str(tmp_path), str(at)]
    child = subprocess.run(
        command, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    )
    assert child.returncode == -signal.SIGKILL
    assert (tmp_path / ".stage-2").exists() is bool(phase)
    assert not (tmp_path / "rows.json").exists()
    assert train(examples(80, hard=3), replace(CONFIG, keep_stages=True), 0, tmp_path) == done
    assert written(tmp_path) == written(folder)


def test_a_kill_while_the_model_is_written_changes_nothing(tmp_path, staged):
    folder, done = staged
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "rows.json").unlink()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"torn")
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "lo')
    assert train(examples(80, hard=3), replace(CONFIG, keep_stages=True), 0, tmp_path) == done
    assert written(tmp_path) == written(folder)


@pytest.mark.timeout(300)
def test_two_processes_do_what_one_does(tmp_path):
    base = saved_base(tmp_path / "base")
    config = replace(base, batch_tokens=256, layout="padded", epochs=1)
    one = train(examples(60, hard=3), config, 0, tmp_path / "one")
    two = train(examples(60, hard=3), with_optim(config, processes=2), 0, tmp_path / "two")
    assert one == two
    for single, shared in zip(rows_of(tmp_path / "one"), rows_of(tmp_path / "two"), strict=True):
        assert single.keys() == shared.keys()
        for name, value in single.items():
            assert value == pytest.approx(shared[name], rel=1e-3, abs=1e-4), name
    whole, other = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("one", "two"))
    for name, value in whole.items():
        assert torch.allclose(value, other[name], atol=2e-3), name
