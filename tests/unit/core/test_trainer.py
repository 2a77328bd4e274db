import json
import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from skyloom.core import checkpoint
from skyloom.core.errors import BadInput, FailedWork
from skyloom.core.losses import LossOut
from skyloom.core.optim import TrainerConfig
from skyloom.core.trainer import CHECKPOINTS, Trainer

CONFIG = TrainerConfig(lr=0.05, checkpoint_every=4, keep=2, threads=1, seed=3)
KILLED_AT = 11


class Net(nn.Module):
    """Dropout and a lookup: what would drift on a careless resume."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.embed = nn.Embedding(11, 8)
            self.layers = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.3), nn.GELU(), nn.Linear(16, 1))

    def forward(self, index):
        return self.layers(self.embed(index))[..., 0]


def batches(index: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(index)
    return [torch.randint(0, 11, (rows,), generator=generator) for rows in (5, 3)]


def train(
    folder: Path, updates: int = 20, config: TrainerConfig = CONFIG, stop_after: int | None = None, kill: bool = False
) -> Trainer:
    trainer = Trainer(model := Net(), config, total_steps=updates, workdir=folder)

    def loss(index: torch.Tensor) -> LossOut:
        error = (model(index) - index / 10).square()
        return LossOut(error.sum(), {"close": (error.detach() < 0.1).sum()})

    for index in trainer.steps():
        trainer.step(batches(index), loss, 8)
        if (index + 1) % 5 == 0:
            model.eval()
            torch.rand(3)  # somebody draws from the global generator: it must not matter
            trainer.record({"valid.value": float(model(torch.arange(11)).detach().sum())}, score=-abs(index - 9.0))
        if stop_after == index + 1:
            if kill:
                os.kill(os.getpid(), signal.SIGKILL)
            break
    return trainer


def weights(trainer: Trainer) -> torch.Tensor:
    return torch.cat([value.flatten() for value in trainer.model.state_dict().values()])


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, torch.Tensor]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, weights(train(folder))


@pytest.mark.parametrize("stop", [1, 4, 5, 13, 19])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(tmp_path, whole, stop):
    train(tmp_path, stop_after=stop)
    resumed = train(tmp_path)
    assert (tmp_path / "metrics.jsonl").read_bytes() == (whole[0] / "metrics.jsonl").read_bytes()
    assert torch.equal(weights(resumed), whole[1])
    assert [f.position for f in checkpoint.every(tmp_path / CHECKPOINTS)] == [
        f.position for f in checkpoint.every(whole[0] / CHECKPOINTS)
    ]


def test_a_run_killed_by_the_system_ends_as_an_uninterrupted_one(tmp_path, whole):
    code = (
        "import runpy, pathlib, sys; train = runpy.run_path(sys.argv[1])['train'];"
        "train(pathlib.Path(sys.argv[2]), stop_after=int(sys.argv[3]), kill=True)"
    )
    child = subprocess.run([sys.executable, "-c", code, __file__, str(tmp_path), str(KILLED_AT)], check=False)
    assert child.returncode == -signal.SIGKILL
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == KILLED_AT - 1  # ahead of the last checkpoint
    resumed = train(tmp_path)
    assert (tmp_path / "metrics.jsonl").read_bytes() == (whole[0] / "metrics.jsonl").read_bytes()
    assert torch.equal(weights(resumed), whole[1])


def test_a_finished_run_trains_no_further(whole):
    before = (whole[0] / "metrics.jsonl").read_bytes()
    again = train(whole[0])
    assert (again.done, (whole[0] / "metrics.jsonl").read_bytes()) == (20, before)
    assert torch.equal(weights(again), whole[1])


def test_the_best_checkpoint_comes_back(whole):
    trainer = train(whole[0])
    assert trainer.load_best() == 10
    assert not torch.equal(weights(trainer), whole[1])


def test_every_row_of_the_log_is_whole(whole):
    rows = [json.loads(line) for line in (whole[0] / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 21))
    assert all(row.keys() >= {"loss", "grad_norm", "lr", "close"} for row in rows)
    assert [row["step"] for row in rows if "valid.value" in row] == [5, 10, 15, 20]
    assert json.loads((whole[0] / "timing.json").read_text())["updates"] == 20


def one_step(folder: Path, micro: list[torch.Tensor], denominator: float, **fields) -> tuple[nn.Module, list[float]]:
    model = nn.Linear(4, 2).double()
    with torch.no_grad():
        model.weight.copy_(torch.arange(8.0).view(2, 4) / 10)
        model.bias.fill_(0.5)
    trainer = Trainer(model, TrainerConfig(**fields), total_steps=1, workdir=folder)

    def loss(rows: torch.Tensor) -> LossOut:
        return LossOut(model(rows).square().sum(), {"rows": torch.tensor(len(rows))})

    for _ in trainer.steps():
        out = trainer.step(micro, loss, denominator)
    return model, [out.loss, out.grad_norm, out.metrics["rows"]]


def test_how_rows_fall_into_micro_batches_changes_nothing(tmp_path):
    rows = torch.arange(24.0, dtype=torch.float64).view(6, 4) / 7
    one, seen_one = one_step(tmp_path / "a", [rows], 6)
    many, seen_many = one_step(tmp_path / "b", [rows[:1], rows[1:5], rows[5:]], 6)
    assert seen_one == pytest.approx(seen_many, rel=1e-12)
    assert torch.allclose(one.weight, many.weight, rtol=1e-12, atol=0)
    assert seen_one[2] == 1.0  # six rows over the denominator of six


def test_the_gradient_is_that_of_the_mean_over_the_denominator(tmp_path):
    rows = torch.ones(2, 4, dtype=torch.float64)
    model = nn.Linear(4, 2).double()
    with torch.no_grad():
        model.weight.copy_(torch.arange(8.0).view(2, 4) / 10)
        model.bias.fill_(0.5)
    (model(rows).square().sum() / 10).backward()
    norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm().item()
    assert one_step(tmp_path, [rows], 10)[1][1] == pytest.approx(norm, rel=1e-9)


def test_only_matrices_decay(tmp_path):
    kept, _ = one_step(
        tmp_path / "a", [torch.zeros(1, 4, dtype=torch.float64)], 1, lr=0.1, weight_decay=0.0, warmup_ratio=0
    )
    decayed, _ = one_step(
        tmp_path / "b", [torch.zeros(1, 4, dtype=torch.float64)], 1, lr=0.1, weight_decay=0.5, warmup_ratio=0
    )
    assert torch.allclose(decayed.weight, kept.weight * 0.95)
    assert torch.equal(decayed.bias, kept.bias)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_divergence_stops_the_run_and_spares_the_weights(tmp_path, bad):
    model = nn.Linear(2, 1)
    before = model.weight.detach().clone()
    trainer = Trainer(model, CONFIG, total_steps=3, workdir=tmp_path)
    with pytest.raises(FailedWork, match="diverged at update 1 of 3"):
        for _ in trainer.steps():
            trainer.step([torch.ones(1, 2)], lambda rows: LossOut(model(rows).sum() * bad, {}), 1)
    assert torch.equal(model.weight, before)
    assert not (tmp_path / "metrics.jsonl").exists() or (tmp_path / "metrics.jsonl").read_bytes() == b""


def failing(folder: Path, bad_at: int, spoil, name=None) -> tuple[nn.Module, str]:
    """Train until update `bad_at`, whose third micro-batch is spoilt."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nn.Linear(2, 1)
    trainer = Trainer(model, CONFIG, total_steps=20, workdir=folder)

    def loss(batch: tuple[int, torch.Tensor]) -> LossOut:
        place, rows = batch
        total = model(rows).square().sum()
        return LossOut(spoil(total) if place == 2 and trainer.done + 1 == bad_at else total, {})

    with pytest.raises(FailedWork) as error:
        for _ in trainer.steps():
            trainer.step([(place, torch.ones(1, 2)) for place in range(4)], loss, 4, name)
    return model, str(error.value)


def test_a_bad_loss_names_its_micro_batch_and_the_checkpoint_that_stands(tmp_path):
    model, told = failing(tmp_path, 7, lambda loss: loss * math.nan, name=lambda batch: f"rows of batch {batch[0]}")
    assert "\n" not in told
    assert "diverged at update 7 of 20: loss nan" in told
    assert "first in micro-batch 3 (rows of batch 2)" in told
    assert "the checkpoint of update 4 stands" in told
    after_six = [value.clone() for value in model.parameters()]
    other = Trainer(mended := nn.Linear(2, 1), CONFIG, total_steps=20, workdir=tmp_path)
    loop = other.steps()
    assert next(loop) == 4  # resumes from the good checkpoint, without the bad rows
    for index in range(4, 6):
        other.step([torch.ones(1, 2)] * 4, lambda rows: LossOut(mended(rows).square().sum(), {}), 4)
        assert next(loop) == index + 1
    assert all(torch.equal(one, two) for one, two in zip(after_six, mended.parameters(), strict=True))


def test_without_a_name_or_a_checkpoint_the_line_still_says_what_is_known(tmp_path):
    _, told = failing(tmp_path, 2, lambda loss: loss * math.inf)
    assert "first in micro-batch 3. Nothing was updated and no checkpoint was due yet" in told


def test_a_bad_gradient_of_a_good_loss_is_told(tmp_path):
    _, told = failing(tmp_path, 2, lambda loss: loss + torch.sqrt(loss * 0))  # 0 with an infinite slope
    assert "the loss of every micro-batch is finite, its gradient is not" in told


def test_dropout_does_not_depend_on_the_micro_batches_before(tmp_path):
    masks = []
    drop = nn.Dropout(0.5)
    trainer = Trainer(model := nn.Linear(64, 1), CONFIG, total_steps=1, workdir=tmp_path)

    def loss(rows: torch.Tensor) -> LossOut:
        masks.append(drop(torch.ones(64)))
        torch.rand(len(rows))  # what a batch draws beside depends on its size
        return LossOut(model(rows).sum(), {})

    for _ in trainer.steps():
        trainer.step([torch.ones(1, 64), torch.ones(2, 64)], loss, 3)
        second = masks[1]
        trainer.done, masks[:] = 0, []
        trainer.step([torch.ones(3, 64), torch.ones(2, 64)], loss, 5)
    assert torch.equal(masks[1], second)
    assert not torch.equal(masks[0], second)


FULL_DISK = """
import resource, runpy, signal, subprocess, sys
from pathlib import Path
from skyloom.core.errors import FailedWork
from torch import nn
import torch
test = runpy.run_path(sys.argv[1])
how, folder = sys.argv[2], Path(sys.argv[3])

def limit(whole):
    if how == "limit":
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard if whole else 25_000, hard))
    else:
        options = "size=" + ("4m" if whole else "120k") + (",remount" if folder.is_mount() else "")
        if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=False).returncode:
            sys.exit(77)

def train(cramped):
    torch.manual_seed(0)
    model = nn.Linear(64, 64)
    trainer = test["Trainer"](model, test["CONFIG"], total_steps=12, workdir=folder)
    for index in trainer.steps():
        trainer.step([torch.ones(2, 64)], lambda rows: test["LossOut"](model(rows).square().sum(), {}), 2)
        if index == 5 and cramped:
            limit(False)
    return model.weight.double().sum().item()

limit(True)
try:
    train(True)
except FailedWork as error:
    print(error)
limit(True)
print([found.position.step for found in test["checkpoint"].every(folder / ".checkpoints")])
print(train(False))
"""


@pytest.mark.parametrize("how", ["limit", "disk"])
def test_a_disk_that_fills_up_in_mid_save_costs_nothing_but_the_updates_since(tmp_path, how):
    (tmp_path / "run").mkdir()
    code = [sys.executable, "-c", FULL_DISK, __file__, how, str(tmp_path / "run")]
    alone = ["unshare", "-rm", *code] if how == "disk" else code
    if how == "disk" and shutil.which("unshare") is None:
        pytest.skip("no unshare on this machine")
    child = subprocess.run(alone, check=False, capture_output=True, text=True)
    if how == "disk" and (child.returncode == 77 or "unshare" in child.stderr):
        pytest.skip("this user may not mount a small disk")
    assert child.returncode == 0, child.stderr
    told, stood, ended = child.stdout.splitlines()
    assert "step-00000008: checkpoint not written" in told
    assert ("File too large" if how == "limit" else "No space left on device") in told
    assert stood == "[4]"
    torch.manual_seed(0)
    trainer = Trainer(model := nn.Linear(64, 64), CONFIG, total_steps=12, workdir=tmp_path / "whole")
    for _ in trainer.steps():
        trainer.step([torch.ones(2, 64)], lambda rows: LossOut(model(rows).square().sum(), {}), 2)
    assert float(ended) == model.weight.double().sum().item()


def test_more_processes_than_the_loop_started_are_refused(tmp_path):
    with pytest.raises(BadInput, match="processes=2, but this loop runs in 1"):
        Trainer(nn.Linear(2, 1), TrainerConfig(processes=2), total_steps=1, workdir=tmp_path)


def test_other_settings_in_the_same_folder_are_refused(tmp_path):
    train(tmp_path, stop_after=5)
    with pytest.raises(BadInput, match="other training settings"):
        train(tmp_path, updates=30)


def test_what_cannot_be_trained_is_told(tmp_path):
    model = nn.Linear(2, 1)
    with pytest.raises(BadInput, match="no update"):
        Trainer(model, CONFIG, total_steps=0, workdir=tmp_path)
    with pytest.raises(BadInput, match="no trainable parameter"):
        Trainer(model.requires_grad_(False), CONFIG, total_steps=1, workdir=tmp_path)
    trainer = Trainer(nn.Linear(2, 1), CONFIG, total_steps=1, workdir=tmp_path)
    with pytest.raises(BadInput, match="nothing to learn"):
        trainer.step([], lambda _batch: LossOut(torch.zeros(()), {}), 0)
    with pytest.raises(BadInput, match="no micro-batch"):
        trainer.step([], lambda _batch: LossOut(torch.zeros(()), {}), 1)
    with pytest.raises(RuntimeError, match="after step"):
        trainer.record({"x": 1.0})


def test_a_loop_that_forgets_its_step_is_a_bug(tmp_path):
    trainer = Trainer(nn.Linear(2, 1), CONFIG, total_steps=2, workdir=tmp_path)
    with pytest.raises(RuntimeError, match="0 updates instead of one"):
        list(trainer.steps())


def test_bfloat16_learns_and_keeps_the_weights_in_float32(tmp_path):
    whole = train(tmp_path / "a", config=TrainerConfig(lr=0.05, threads=1, seed=3))
    half = train(tmp_path / "b", config=TrainerConfig(lr=0.05, threads=1, seed=3, dtype="bfloat16"))
    assert {value.dtype for value in half.model.state_dict().values()} == {torch.float32}
    assert not torch.equal(weights(half), weights(whole))
    first, last = ([json.loads(line)["loss"] for line in (tmp_path / "b" / "metrics.jsonl").open()][k] for k in (0, -1))
    assert last < first


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_a_gpu_that_is_not_there_is_told(tmp_path):
    with pytest.raises(BadInput, match="torch sees no GPU"):
        Trainer(nn.Linear(2, 1), TrainerConfig(device="cuda"), total_steps=1, workdir=tmp_path)
    assert Trainer(nn.Linear(2, 1), TrainerConfig(device="auto"), total_steps=1, workdir=tmp_path).device.type == "cpu"
