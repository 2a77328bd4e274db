"""Agents on disk: the same answers after loading, and one line for what is wrong."""

import json
from pathlib import Path

import pytest
import torch

from skyloom.core.errors import BadInput
from skyloom.starcraft.agent.config import AgentConfig
from skyloom.starcraft.agent.files import SIZES, WEIGHTS, load_agent, save_agent
from skyloom.starcraft.agent.network import Agent

SMALL = AgentConfig(width=16, core=32, channels=8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_agent(tmp_path, Agent(SMALL), SMALL)
    return tmp_path


def test_weights_come_back(folder: Path):
    torch.manual_seed(0)
    fresh, loaded = Agent(SMALL).state_dict(), load_agent(folder).state_dict()
    assert fresh.keys() == loaded.keys()
    assert all(torch.equal(fresh[name], loaded[name]) for name in fresh)


def test_a_missing_agent_is_bad_input(tmp_path: Path):
    with pytest.raises(BadInput, match=SIZES):
        load_agent(tmp_path)


def test_cut_weights_are_bad_input(folder: Path):
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BadInput, match=r"safetensors: damaged"):
        load_agent(folder)


def test_an_agent_of_another_ruleset_is_refused(folder: Path):
    told = json.loads((folder / SIZES).read_text())
    told["spec"]["ruleset"] = "zerg"
    (folder / SIZES).write_text(json.dumps(told))
    with pytest.raises(BadInput, match="made for"):
        load_agent(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"config": {"width": "x"}, "spec": {}}'])
def test_damaged_sizes_are_bad_input(folder: Path, text: str):
    (folder / SIZES).write_text(text)
    with pytest.raises(BadInput):
        load_agent(folder)
