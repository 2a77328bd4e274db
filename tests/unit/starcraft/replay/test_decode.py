"""Files that are no replays: one named line, never a traceback."""

import importlib
from pathlib import Path

import pytest

from skyloom.core.errors import BadInput, MissingExtra
from skyloom.starcraft.replay import decode as module
from skyloom.starcraft.replay.decode import ReplayError, decode


def test_a_missing_file_is_bad_input_naming_it(tmp_path: Path):
    with pytest.raises(BadInput, match=r"gone\.SC2Replay"):
        decode(tmp_path / "gone.SC2Replay")


def test_another_file_is_refused_by_its_first_bytes(tmp_path: Path):
    path = tmp_path / "x.SC2Replay"
    path.write_bytes(b"PK\x03\x04 a zip file")
    with pytest.raises(ReplayError) as caught:
        decode(path)
    assert caught.value.reason == "not_a_replay"
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"\x00" * 64, b"\xff" * 512, bytes(range(256)) * 8])
def test_a_damaged_archive_is_refused_with_a_reason(tmp_path: Path, body: bytes):
    path = tmp_path / "x.SC2Replay"
    path.write_bytes(b"MPQ\x1b" + body)
    with pytest.raises(ReplayError) as caught:
        decode(path)
    assert caught.value.reason == "unreadable"
    assert "\n" not in str(caught.value)


def test_a_huge_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "x.SC2Replay"
    path.write_bytes(b"MPQ\x1b" + b"0" * 100)
    monkeypatch.setattr(module, "MAX_BYTES", 50)
    with pytest.raises(ReplayError, match="too_large"):
        decode(path)


def test_a_missing_extra_is_one_line_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(name: str) -> object:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(MissingExtra, match=r"skyloom\[replays\]"):
        decode(tmp_path / "any.SC2Replay")
