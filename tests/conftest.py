"""Fixtures of all tests. Shape annotations become checks here, so that users pay nothing for them."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# One seed, one result: examples are derived from the test itself, and a busy machine is no failure.
settings.register_profile("skyloom", deadline=None, derandomize=True, database=None)
settings.load_profile("skyloom")

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

TOY_LOSS = '''"""{name}: a loss that a test dropped in."""

from dataclasses import dataclass

from skyloom.core.config import PluginConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(PluginConfig):
    margin: float = {margin}
'''


@pytest.fixture
def plugin_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plug-in directory with two toy plug-ins in reward.losses, made known for one test."""
    folder = tmp_path / "plugins"
    (folder / "reward" / "losses").mkdir(parents=True)
    for name, margin in (("toy", 1.0), ("other", 2.0)):
        (folder / "reward" / "losses" / f"{name}.py").write_text(TOY_LOSS.format(name=name, margin=margin))
    monkeypatch.setenv("SKYLOOM_PLUGINS", str(folder))
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data; tests that need it are skipped where it is absent."""
    folder = os.environ.get("SKYLOOM_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SKYLOOM_DATA is not set: no real data on this machine")
    return Path(folder)
