"""Where machine code is cached."""

import sys
from pathlib import Path

import pytest

from skyloom.arena.engine import jit, kernels


def test_the_cache_stands_in_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert jit.cache_dir() == tmp_path / "skyloom" / f"engine-{jit.engine_hash()}"


def test_a_home_that_cannot_be_written_falls_back_to_a_temporary_directory(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    monkeypatch.setenv("HOME", str(blocked))
    monkeypatch.setattr(jit.tempfile, "gettempdir", lambda: str(tmp_path))
    found = jit.cache_dir()
    assert found.is_relative_to(tmp_path)
    assert found.is_dir()


def test_the_hash_covers_every_source(tmp_path, monkeypatch):
    for path in Path(jit.__file__).parent.glob("*.py"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    before = jit.engine_hash()
    monkeypatch.setattr(jit, "__file__", str(tmp_path / "jit.py"))
    assert jit.engine_hash() == before
    with (tmp_path / "fog.py").open("a") as file:
        file.write("\n")
    assert jit.engine_hash() != before


@pytest.mark.skipif(sys.platform == "win32", reason="the lock needs fcntl")
def test_kernels_are_loaded_once():
    assert kernels.load() is kernels.load(lambda line: pytest.fail(line))
