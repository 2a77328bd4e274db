"""Own recordings as rows."""

from pathlib import Path

from skyloom.core.records import Raw, Reject
from skyloom.starcraft.play import Outcome
from skyloom.starcraft.sources import skyr


def test_the_example_maps_exactly():
    raw, record = skyr.EXAMPLE
    assert skyr.to_record(raw) == record


def test_recordings_become_rows_and_other_files_rejects(short_game: Outcome, tmp_path: Path):
    data = short_game.recording.to_bytes()
    (tmp_path / "a.skyr").write_bytes(data)
    (tmp_path / "b.skyr").write_bytes(data[:-1])
    (tmp_path / "c.skyr").write_bytes(b"")
    game, cut, empty = skyr.rows(skyr.Config(path=tmp_path), 0)
    assert isinstance(game, Raw)
    record = skyr.to_record(game.data)
    assert record.recording == data
    assert record.loops == short_game.loops
    assert [side.commands for side in record.sides] == list(short_game.actions)
    assert [each.field for each in (cut, empty) if isinstance(each, Reject)] == ["recording", "recording"]
