"""A data set, a loss, a decider and a bot: one new file each, no edit anywhere, and they run."""

import json
import os
import subprocess
import sys

import pytest

from skyloom.core import store

SOURCE = '''"""Quiz: pairs as {q, good, bad}."""
from dataclasses import dataclass, field
from pathlib import Path
from skyloom.core.config import NOT_KEYED
from skyloom.core.records import Message, SourceConfig
from skyloom.core.store import read_json_rows, text_field
from skyloom.reward.records import pair

LICENCE = "CC0-1.0"

@dataclass(frozen=True, kw_only=True, slots=True)
class Config(SourceConfig):
    path: Path = field(metadata=NOT_KEYED)

def inputs(config):
    return (config.path,)

def rows(config, shard):
    return read_json_rows(config.path)

def to_record(raw):
    return pair([Message(role="user", content=text_field(raw, "q"))], text_field(raw, "good"), text_field(raw, "bad"))

EXAMPLE = ({"q": "1 + 1?", "good": "2", "bad": "3"}, pair([Message(role="user", content="1 + 1?")], "2", "3"))
'''
LOSS = '''"""Exponential: exp(-gap), the loss of boosting."""
from dataclasses import dataclass
from skyloom.core.losses import LossConfig, LossOut

@dataclass(frozen=True, kw_only=True, slots=True)
class Config(LossConfig):
    scale: float = 1.0

def loss(pairs, config):
    gap_B = (pairs.chosen_B - pairs.rejected_B) * config.scale
    return LossOut(loss=(-gap_B).exp().mean(), metrics={"quiz_gap": gap_B.detach().mean()})
'''
DECIDER = '''"""Wordy: drop pairs whose chosen side has too many words."""
from dataclasses import dataclass
import polars as pl
from skyloom.core.ledger import DeciderConfig

READS = ("length.chosen_words",)
EXAMPLE = (({"length.chosen_words": 1}, None), ({"length.chosen_words": 9}, "wordy"))

@dataclass(frozen=True, kw_only=True, slots=True)
class Config(DeciderConfig):
    most: int = 3

def decide(ledger_N, config):
    return ledger_N.select(pl.when(pl.col("length.chosen_words") > config.most).then(pl.lit("wordy")).alias("reason"))["reason"]
'''
BOT = '''"""Sleeper: never does a thing."""
from dataclasses import dataclass
from skyloom.arena import spec
from skyloom.core.config import PluginConfig

@dataclass(frozen=True, kw_only=True, slots=True)
class Config(PluginConfig):
    nap: int = 64

class Sleeper:
    def __init__(self, config):
        self.nap = config.nap

    def reset(self, seed, player_id, start):
        pass

    def act(self, view):
        return spec.Action(kind=spec.NO_OP, skip=self.nap)

def build(config):
    return Sleeper(config)
'''


@pytest.fixture
def dropped(tmp_path):
    folder = tmp_path / "plugins"
    for path, text in (
        ("reward/sources/quiz.py", SOURCE),
        ("reward/losses/exponential.py", LOSS),
        ("reward/decide/wordy.py", DECIDER),
        ("arena/bots/sleeper.py", BOT),
    ):
        file = folder / path
        file.parent.mkdir(parents=True)
        file.write_text(text)
    return folder


def skyloom(folder, *arguments, cwd):
    command = [sys.executable, "-m", "skyloom.app.cli", "--plugins", str(folder), *map(str, arguments)]
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=200, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_they_are_listed(dropped, tmp_path):
    found = skyloom(dropped, "list", "--json", cwd=tmp_path)
    assert found["reward.sources"]["quiz"] == "Quiz: pairs as {q, good, bad}."
    assert "exponential" in found["reward.losses"]
    assert "wordy" in found["reward.decide"]
    assert "sleeper" in found["arena.bots"]


def test_a_source_a_decider_and_a_loss_train_a_model(dropped, tmp_path):
    quiz = [
        {"q": f"What is {a} plus {b}?", "good": f"{a + b}", "bad": f"{a + b + 1}"} for a in range(12) for b in range(12)
    ]
    quiz += [{"q": f"Say {k}.", "good": "one two three four five", "bad": str(k)} for k in range(6)] + [
        {"q": "no sides"}
    ]
    store.write_jsonl(tmp_path / "quiz.jsonl", quiz)
    chain = [{"plugin": "reward.annotate/length"}, {"plugin": "reward.decide/wordy"}]
    out = tmp_path / "run"
    skyloom(
        dropped,
        *("run", "skywork_reward", "--smoke", "--json", "--out", out),
        *("--set", "collect=" + json.dumps([{"plugin": "reward.sources/quiz", "path": str(tmp_path / "quiz.jsonl")}])),
        *("--set", "curate=" + json.dumps(chain)),
        *("--set", "train.loss=exponential", "--set", "train.loss.scale=2"),
        *("--set", "train.epochs=1", "--set", "train.language_epochs=0", "--set", "train.evaluations=1"),
        *("--set", "evaluate.world.rows=120"),
        cwd=tmp_path,
    )
    waterfall = json.loads((out / "curate" / "waterfall.json").read_text())
    assert (waterfall["rows_in"], waterfall["kept"]) == (150, 144)
    assert waterfall["steps"][0]["reasons"] == {"wordy": 6}
    (source,) = json.loads((out / "collect" / "sources.json").read_text())["sources"]
    assert (source["label"], source["licence"], source["reject_reasons"]) == ("quiz", "CC0-1.0", {"good: missing": 1})
    logged = [json.loads(line) for line in (out / "train" / "metrics.jsonl").read_text().splitlines()]
    assert all("quiz_gap" in row for row in logged)


def test_a_bot_plays(dropped, tmp_path):
    told = skyloom(
        dropped,
        *("starcraft", "play", "slow_push", "sleeper", "--games", "2", "--json", "--max-loops", "16000"),
        cwd=tmp_path,
    )
    assert told["games"] == 2
    assert told["wins"] == 2
