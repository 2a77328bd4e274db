"""Two gloo processes against one: the same curve, the same weights, the same files."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from skyloom.core import checkpoint, distributed
from skyloom.core.errors import BadInput, FailedWork
from skyloom.core.losses import LossOut
from skyloom.core.optim import TrainerConfig
from skyloom.core.trainer import CHECKPOINTS, Trainer

CONFIG = TrainerConfig(lr=0.01, checkpoint_every=4, threads=1, seed=3)
UPDATES, CUT = 10, 5  # the last checkpoint before the cut is that of update 4


class Scorer(nn.Module):
    """The `tiny` backbone under a head: part of its work is outside `forward`, as in a reward model."""

    def __init__(self, frozen: bool = False) -> None:
        from skyloom.core.llm.backbones import load_backbone, load_tokenizer
        from skyloom.core.llm.config import BackboneConfig

        super().__init__()
        shape = BackboneConfig(hidden=16, layers=2, heads=2, vocab=300, max_length=16, dtype="float64")
        tokenizer = load_tokenizer(shape, ["some words to learn from"])
        self.backbone = load_backbone(shape, tokenizer, "none", seed=2)
        self.head = nn.Linear(16, 1, bias=False, dtype=torch.float64)
        nn.init.constant_(self.head.weight, 0.1)
        self.backbone.requires_grad_(not frozen)

    def pooled(self, hidden_BTD):
        return self.head(hidden_BTD[:, -1]).squeeze(-1)

    def forward(self, ids_BT):
        return self.pooled(self.backbone(input_ids=ids_BT, use_cache=False).last_hidden_state)


def micro_batches(index: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(index)
    return [torch.randint(6, 260, shape, generator=generator) for shape in ((4, 7), (1, 3), (2, 5))]


def loss_of(model: Scorer, ids_BT: torch.Tensor, spoil: float = 1.0) -> LossOut:
    hidden_BTD = model.backbone(input_ids=ids_BT, use_cache=False).last_hidden_state
    error_B = (model.pooled(hidden_BTD) - ids_BT.double().mean(dim=1) / 100).square()
    return LossOut(error_B.sum() * spoil, {"rows": torch.tensor(float(len(ids_BT)))})


def scores(model: Scorer, ids_BT: torch.Tensor) -> np.ndarray:
    model.eval()
    with torch.no_grad():
        return model(ids_BT).numpy()


def train(folder: Path, stop_after: int = 0, frozen: bool = False) -> dict:
    """Train to the end, or until a stop; what came of it, as plain numbers."""
    model = Scorer(frozen)
    blocks = distributed.blocks_of(model)
    assert [type(block).__name__ for block in blocks] == ["LlamaDecoderLayer"] * 2
    distributed.shard(model, blocks)
    trainer = Trainer(model, CONFIG, total_steps=UPDATES, workdir=folder)
    kinds = {type(parameter).__name__ for parameter in model.parameters()}
    valid = micro_batches(99)
    for index in trainer.steps():
        out = trainer.step(micro_batches(index), partial(loss_of, model), 7)
        assert out.metrics["rows"] == 1.0
        score = -float(np.concatenate(distributed.map_batches(valid, partial(scores, model))).sum())
        trainer.record({"valid": score}, score=score if index == 5 else None)
        if index + 1 == stop_after:
            break
    return {"kinds": kinds, "weights": weights(model), "scores": distributed.map_batches(valid, partial(scores, model))}


def weights(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: distributed.whole(value.detach()).numpy().copy() for name, value in model.named_parameters()}


def whole_programme(folder: Path) -> dict:
    """What two processes do in one test, for starting them costs seconds."""
    told = {
        "whole": train(folder / "two"),
        "resumed": train(folder / "one_then_two"),
        "frozen": train(folder / "frozen", frozen=True),
    }
    train(folder / "two_then_one", stop_after=CUT)
    model = distributed.shard(Scorer(), [])
    trainer = Trainer(model, CONFIG, total_steps=UPDATES, workdir=folder / "bad")
    with pytest.raises(FailedWork) as error:  # the third of three batches is the second one of process 0
        for _ in trainer.steps():
            trainer.step(
                list(enumerate(micro_batches(0))),
                lambda batch: loss_of(model, batch[1], np.inf if batch[0] else 1.0),
                7,
                name=lambda batch: f"batch {batch[0]} told by process {distributed.rank()}",
            )
    told["bad"] = str(error.value)
    with pytest.raises(BadInput, match="this group has 2 processes"):
        distributed.spawn(3, print)
    told["nested"] = distributed.spawn(2, distributed.rank)
    told["ranks"] = distributed.gather((distributed.rank(), distributed.world(), distributed.is_main()))
    told["mapped"] = [distributed.map_batches(range(count), lambda value: value * value) for count in range(6)]
    with pytest.raises(RuntimeError, match="distributed.shard first"):
        Trainer(Scorer(), CONFIG, total_steps=1, workdir=folder)
    return told


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("runs")
    told = train(folder / "one")
    train(folder / "one_then_two", stop_after=CUT)
    return folder, told


@pytest.fixture(scope="module")
def two(one) -> dict:
    return distributed.spawn(2, whole_programme, one[0])


def curve(folder: Path) -> dict[str, list[float]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {name: [row[name] for row in rows] for name in ("step", "loss", "grad_norm", "lr", "rows", "valid")}


def assert_equal(found: dict, wanted: dict) -> None:
    assert found["weights"].keys() == wanted["weights"].keys()
    for name, value in wanted["weights"].items():
        np.testing.assert_allclose(found["weights"][name], value, rtol=1e-7, atol=1e-9, err_msg=name)
    for mine, theirs in zip(found["scores"], wanted["scores"], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-7)


def test_two_processes_train_as_one(one, two):
    folder, wanted = one
    assert wanted["kinds"] == {"Parameter"}
    assert two["whole"]["kinds"] == {"DTensor"}
    assert_equal(two["whole"], wanted)
    alone, shared = curve(folder / "one"), curve(folder / "two")
    assert shared["step"] == alone["step"] == list(range(1, UPDATES + 1))
    for name, values in alone.items():
        assert shared[name] == pytest.approx(values, rel=1e-7), name
    assert alone["loss"][-1] < alone["loss"][0] / 2  # it learns: equal curves say something


def test_checkpoints_are_the_same_files_whatever_the_number_of_processes(one, two):
    folder = one[0]
    for run in ("one", "two"):
        found = checkpoint.every(folder / run / CHECKPOINTS)
        assert [each.position.step for each in found] == [6, 8, 10]  # the scored one, and the newest two
    alone, shared = (checkpoint.every(folder / run / CHECKPOINTS)[-1] for run in ("one", "two"))
    assert alone.position == shared.position
    for file in ("model.safetensors", "optimizer.safetensors"):
        mine, theirs = load_file(alone.path / file), load_file(shared.path / file)
        assert {name: value.shape for name, value in mine.items()} == {name: v.shape for name, v in theirs.items()}
        for name, value in mine.items():
            assert torch.allclose(value, theirs[name], rtol=1e-6, atol=1e-9), name


def test_a_run_goes_on_under_another_number_of_processes(one, two):
    folder, wanted = one
    assert_equal(two["resumed"], wanted)  # begun by one, ended by two
    left = checkpoint.latest(folder / "two_then_one" / CHECKPOINTS)
    assert left is not None
    assert left.position.step == 4
    assert_equal(train(folder / "two_then_one"), wanted)
    for run in ("one_then_two", "two_then_one"):
        assert curve(folder / run)["loss"] == pytest.approx(curve(folder / "one")["loss"], rel=1e-7)


def test_frozen_weights_stay_and_are_not_stored(one, two):
    path = checkpoint.every(one[0] / "frozen" / CHECKPOINTS)[-1].path
    assert load_file(path / "model.safetensors").keys() == {"head.weight"}
    assert load_file(path / "optimizer.safetensors").keys() == {
        f"head.weight/{key}" for key in ("step", "exp_avg", "exp_avg_sq")
    }
    start = weights(Scorer())
    changed = {name for name, value in two["frozen"]["weights"].items() if not np.array_equal(value, start[name])}
    assert changed == {"head.weight"}


def test_the_bad_batch_of_another_process_is_named(two):
    assert "first in micro-batch 2 (batch 1 told by process 1)" in two["bad"]


def test_results_come_back_in_order_on_every_process(two):
    assert two["ranks"] == [(0, 2, True), (1, 2, False)]
    assert two["nested"] == 0
    assert two["mapped"] == [[value * value for value in range(count)] for count in range(6)]


def test_one_process_needs_no_group(tmp_path):
    assert distributed.spawn(1, os.getpid) == os.getpid()
    assert (distributed.rank(), distributed.world(), distributed.is_main()) == (0, 1, True)
    assert distributed.map_batches([3, 4], lambda value: value + 1) == [4, 5]
    assert distributed.gather("me") == ["me"]
    model = nn.Linear(2, 1)
    assert distributed.shard(model, []) is model
    assert distributed.inside(model, lambda: 7) == 7
    with pytest.raises(BadInput, match="processes=0"):
        distributed.spawn(0, os.getpid)


def test_without_named_blocks_the_longest_list_is_taken():
    model = nn.Module()
    model.short, model.long = nn.ModuleList([nn.Linear(1, 1)]), nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)])
    assert distributed.blocks_of(model) == list(model.long)
    assert distributed.blocks_of(nn.Linear(1, 1)) == []


def refuse(how: str) -> None:
    if distributed.rank() == 1 and how == "input":
        raise BadInput("pairs.jsonl: row 3: chosen: empty; fill it in")
    if distributed.rank() == 1 and how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    distributed.gather(None)  # the main process waits for one that never comes


@pytest.mark.parametrize(
    ("how", "kind", "said"),
    [("input", BadInput, r"pairs.jsonl: row 3: chosen: empty; fill it in"), ("kill", FailedWork, r"died \(signal 9")],
)
def test_the_failure_of_one_process_stops_all_and_reaches_the_caller(how, kind, said):
    with pytest.raises(kind, match=said):
        distributed.spawn(2, refuse, how)


ORPHANS = """
import os, sys, time
from pathlib import Path
from skyloom.core import distributed

def sleep_and_tell(folder):
    Path(folder, f"{distributed.rank()}.pid").write_text(str(os.getpid()))
    time.sleep(60)

if __name__ == "__main__":
    distributed.spawn(2, sleep_and_tell, sys.argv[1])
"""


def gone(pid: str) -> bool:
    process = Path(f"/proc/{pid}")
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc on this machine")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_its_parent(tmp_path, sent):
    script = tmp_path / "parent.py"
    script.write_text(ORPHANS)
    command = [sys.executable, str(script), str(tmp_path)]
    parent = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    files = [tmp_path / f"{place}.pid" for place in range(2)]
    for _ in range(2400):  # a busy machine takes its time to import torch three times
        if all(file.exists() and file.read_text() for file in files):
            break
        time.sleep(0.05)
    pids = [file.read_text() for file in files]
    parent.send_signal(sent)
    assert parent.wait(timeout=60) != 0
    for _ in range(600):
        if all(map(gone, pids)):
            return
        time.sleep(0.05)
    pytest.fail("a process outlived its parent")


def test_torchrun_s_group_is_joined(tmp_path):
    script = tmp_path / "work.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom skyloom.core import distributed as d\n"
        "def work(folder):\n"
        "    seen = d.gather(d.rank())\n"
        "    if d.is_main(): Path(folder, 'seen').write_text(str(seen))\n"
        "for _ in range(2): d.spawn(1, work, sys.argv[1])\n"
    )
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script), str(tmp_path)]
    child = subprocess.run([sys.executable, "-m", *launch], check=False, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    assert (tmp_path / "seen").read_text() == "[0, 1]"
