"""The replay source: its example, its rejects, and what a row refuses."""

from pathlib import Path

import pytest

from skyloom.core.errors import BadInput, BadRow
from skyloom.core.records import Reject
from skyloom.starcraft.sources import sc2replay


def test_the_example_maps_exactly():
    raw, record = sc2replay.EXAMPLE
    assert sc2replay.to_record(raw) == record


def test_files_that_cannot_be_read_become_listed_rejects_in_path_order(tmp_path: Path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.SC2Replay").write_bytes(b"not a replay")
    config = sc2replay.Config(path=tmp_path)
    found = list(sc2replay.rows(config, 0))
    assert [Path(each.file).name for each in found] == ["a.SC2Replay", "b.SC2Replay"]
    assert all(isinstance(each, Reject) and each.field == "not_a_replay" for each in found)


def test_seventeen_files_make_two_shards(tmp_path: Path):
    for number in range(17):
        (tmp_path / f"{number:02d}.SC2Replay").write_bytes(b"x")
    config = sc2replay.Config(path=tmp_path)
    assert sc2replay.shards(config) == 2
    assert [len(list(sc2replay.rows(config, shard))) for shard in (0, 1)] == [16, 1]


def test_an_empty_folder_is_bad_input(tmp_path: Path):
    with pytest.raises(BadInput, match="SC2Replay"):
        sc2replay.shards(sc2replay.Config(path=tmp_path))


@pytest.mark.parametrize(
    ("field", "value"), [("map", ""), ("loops", 0), ("loops", "9"), ("sides", []), ("release", None)]
)
def test_a_malformed_game_is_a_bad_row_naming_the_field(field: str, value: object):
    raw, _ = sc2replay.EXAMPLE
    with pytest.raises(BadRow) as caught:
        sc2replay.to_record({**raw, field: value})
    assert caught.value.field == field


def test_two_winners_are_no_sole_winner():
    raw, _ = sc2replay.EXAMPLE
    sides = [{**side, "result": "win"} for side in raw["sides"]]
    assert sc2replay.to_record({**raw, "sides": sides}).winner == 0
