import errno
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from skyloom.core import checkpoint, store
from skyloom.core.checkpoint import Position
from skyloom.core.errors import BadInput, FailedWork


class Tied(nn.Module):
    """Shares a weight between two layers, and holds a saved and an unsaved buffer."""

    def __init__(self, seed: int = 0, width: int = 3) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.enter = nn.Linear(width, width, bias=False)
        self.leave = nn.Linear(width, width, bias=False)
        self.leave.weight = self.enter.weight
        self.register_buffer("count", torch.tensor([seed]))
        self.register_buffer("scratch", torch.randn(2), persistent=False)

    def forward(self, x):
        return self.leave(torch.relu(self.enter(x)))


def trained(seed: int = 0, updates: int = 2) -> tuple[Tied, torch.optim.AdamW]:
    model = Tied(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(updates):
        optimizer.zero_grad()
        model(torch.ones(4, 3)).square().sum().backward()
        optimizer.step()
    return model, optimizer


def save(folder: Path, step: int, score: float | None = None, keep: int = 2, seed: int = 0) -> Path:
    return checkpoint.save(folder, Position(step=step, owner="me", score=score), *trained(seed), keep=keep)


def steps(folder: Path) -> list[int]:
    return [found.position.step for found in checkpoint.every(folder)]


def test_a_restored_optimiser_continues_bit_for_bit(tmp_path):
    model, optimizer = trained(updates=3)
    checkpoint.save(tmp_path, Position(step=3, owner="me", cursor={"row": 7}), model, optimizer, keep=1)
    other, fresh = Tied(9), None
    fresh = torch.optim.AdamW(other.parameters(), lr=0.1)
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found.position == Position(step=3, owner="me", cursor={"row": 7})
    checkpoint.restore(found, other, fresh)
    for one, opt in ((model, optimizer), (other, fresh)):
        opt.zero_grad()
        one(torch.ones(4, 3)).square().sum().backward()
        opt.step()
    assert torch.equal(model.enter.weight, other.enter.weight)
    assert other.leave.weight is other.enter.weight
    assert other.count.item() == 0


def test_the_same_state_gives_the_same_bytes(tmp_path):
    first, second = save(tmp_path / "a", 1), save(tmp_path / "b", 1)
    assert store.hash_tree(first) == store.hash_tree(second)


def test_the_newest_and_the_best_stay(tmp_path):
    for step, score in ((1, 0.5), (2, 0.9), (3, 0.9), (4, 0.1), (5, None), (6, None)):
        save(tmp_path, step, score, keep=2)
    assert steps(tmp_path) == [2, 5, 6]  # of equal scores the earliest is the best
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000002", "step-00000005", "step-00000006"]
    best = checkpoint.best(tmp_path)
    assert best is not None
    assert best.position.step == 2


def test_without_scores_the_latest_is_the_best(tmp_path):
    assert checkpoint.best(tmp_path / "nothing") is None
    save(tmp_path, 4)
    best = checkpoint.best(tmp_path)
    assert best is not None
    assert best.position.step == 4


@pytest.mark.parametrize("tear", ["cut", "no model", "no state", "half a state", "state of another shape", "empty"])
def test_a_torn_checkpoint_is_passed_over_and_cleared_away(tmp_path, tear):
    save(tmp_path, 1)
    torn = save(tmp_path, 2)
    match tear:
        case "cut":
            (torn / "model.safetensors").write_bytes((torn / "model.safetensors").read_bytes()[:-1])
        case "no model":
            (torn / "model.safetensors").unlink()
        case "no state":
            (torn / "state.json").unlink()
        case "half a state":
            (torn / "state.json").write_text('{"step": 2,')
        case "state of another shape":
            (torn / "state.json").write_text("[2]")
        case _:
            shutil.rmtree(torn)
            torn.mkdir()
    (tmp_path / ".step-00000003.part").mkdir()
    assert steps(tmp_path) == [1]
    save(tmp_path, 2)
    assert steps(tmp_path) == [1, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000001", "step-00000002"]


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours may run after it."""


@pytest.mark.parametrize("call", ["fsync_path", "publish", "write_json", "write_bytes"])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_kill_at_any_write_leaves_a_whole_checkpoint(tmp_path, monkeypatch, call, after, nth):
    save(tmp_path, 1)
    real, seen = getattr(store, call), []

    def deadly(*args):
        seen.append(args)
        if len(seen) == nth and not after:
            raise Killed
        real(*args)
        if len(seen) == nth:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(store, call, deadly)
        try:
            save(tmp_path, 2, seed=1)
        except Killed:
            pass
        else:
            assert len(seen) < nth  # the sweep is past the last call
    for found in checkpoint.every(tmp_path):
        checkpoint.restore(found, model := Tied(), torch.optim.AdamW(model.parameters()))
        assert model.count.item() == found.position.step - 1
    save(tmp_path, 2, seed=1)
    assert steps(tmp_path) == [1, 2]


def test_another_model_is_refused(tmp_path):
    save(tmp_path, 1)
    found = checkpoint.latest(tmp_path)
    assert found is not None
    with pytest.raises(BadInput, match="another shape"):
        checkpoint.restore(found, Tied(width=4))


def test_damage_that_keeps_the_size_is_told(tmp_path):
    path = save(tmp_path, 1) / "model.safetensors"
    path.write_bytes(b"\xff" * path.stat().st_size)
    found = checkpoint.latest(tmp_path)
    assert found is not None
    with pytest.raises(BadInput, match="unreadable checkpoint"):
        checkpoint.restore(found, Tied())


def test_a_disk_that_refuses_is_told(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(FailedWork, match="checkpoint not written"):
        save(blocked / "deeper", 1)


@pytest.mark.parametrize(
    ("owner", "call"), [(checkpoint, "save_file"), (os, "fsync"), (os, "replace"), (Path, "mkdir")]
)
@pytest.mark.parametrize("nth", [1, 2, 3, 4])
def test_a_full_disk_at_any_write_spares_the_earlier_checkpoint(tmp_path, monkeypatch, owner, call, nth):
    before = store.hash_tree(save(tmp_path, 1))
    real, seen = getattr(owner, call), []

    def full(*args, **options):
        seen.append(args)
        if len(seen) == nth:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, call, full)
        try:
            save(tmp_path, 2, seed=1)
        except FailedWork as error:
            told = str(error)
            assert "checkpoint not written" in told
            assert "No space left on device" in told
            assert "\n" not in told
        else:
            assert len(seen) < nth  # the sweep is past the last call
    assert store.hash_tree(tmp_path / "step-00000001") == before
    assert not list(tmp_path.glob(".step*"))  # the torn one gives its space back
    for found in checkpoint.every(tmp_path):
        checkpoint.restore(found, model := Tied(), torch.optim.AdamW(model.parameters()))
        assert model.count.item() == found.position.step - 1
    save(tmp_path, 2, seed=1)
    assert steps(tmp_path) == [1, 2]


class Adapted(nn.Module):
    """A frozen base with something small that learns, as LoRA has it."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.base = nn.Linear(200, 3).requires_grad_(False)
        self.adapter = nn.Linear(200, 3, bias=False)
        self.register_buffer("count", torch.tensor([seed]))

    def forward(self, x):
        return self.base(x) + self.adapter(x)


def test_frozen_parameters_are_not_stored(tmp_path):
    model = Adapted(seed=5)
    optimizer = torch.optim.AdamW(model.adapter.parameters(), lr=0.1)
    model(torch.ones(2, 200)).square().sum().backward()
    optimizer.step()
    path = checkpoint.save(tmp_path, Position(step=1, owner="me"), model, optimizer, keep=1)
    assert load_file(path / "model.safetensors").keys() == {"adapter.weight", "count"}
    assert json.loads((path / "state.json").read_text())["stored"] == "trainable parameters and buffers"
    other = Adapted(seed=6)
    base = other.base.weight.clone()
    found = checkpoint.latest(tmp_path)
    assert found is not None
    checkpoint.restore(found, other, torch.optim.AdamW(other.adapter.parameters()))
    assert torch.equal(other.adapter.weight, model.adapter.weight)
    assert torch.equal(other.base.weight, base)
    assert other.count.item() == 5
    with pytest.raises(BadInput, match="another shape"):  # its base is trained and would come from nowhere
        checkpoint.restore(found, Adapted().requires_grad_(True))


def test_a_model_trained_whole_is_stored_whole(tmp_path):
    path = save(tmp_path, 1)
    assert load_file(path / "model.safetensors").keys() == {"enter.weight", "count"}
    assert json.loads((path / "state.json").read_text())["stored"] == "parameters and buffers"
