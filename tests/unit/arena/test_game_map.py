"""Maps: the shipped ones, and what the validator says about bad ones."""

from pathlib import Path

import numpy as np
import pytest

from skyloom.arena import game_map, spec
from skyloom.core.errors import BadInput

TEXT = (game_map.FOLDER / "basin.toml").read_text()


@pytest.mark.parametrize("name", game_map.names())
def test_shipped_maps_are_fit_to_play_on(name):
    found = game_map.load_map(name)
    height, width = found.ground_HW.shape
    assert width * height % 8 == 0
    assert (found.ground_HW == found.ground_HW[::-1, ::-1]).all()
    own = [
        place for place in found.resources if np.hypot(place.x - found.starts[0].x, place.y - found.starts[0].y) < 40960
    ]
    contents = sorted(int(spec.RULES.units_TC[place.kind, 23]) for place in own)
    assert contents == [900] * 4 + [1800] * 4 + [2250] * 2


def written(tmp_path: Path, old: str, new: str) -> str:
    assert old in TEXT
    path = tmp_path / "bad.toml"
    path.write_text(TEXT.replace(old, new, 1))
    return str(path)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("start = [12.5, 12.5]", "start = [12.3, 12.5]", "half cells"),
        ("start = [12.5, 12.5]", "start = [12, 12.5]", "grid"),
        ("start = [12.5, 12.5]", "start = [3.5, 3.5]", "buildable"),
        ("start = [12.5, 12.5]", "start = [11.5, 12.5]", "too near"),
        ("expansions = [[12.5, 37.5]]", "expansions = [[11.5, 37.5]]", "too near"),
        ("expansions = [[12.5, 37.5]]", "expansions = 3", "must be a list"),
        ("size = [64, 64]", "size = [64, 63]", "rectangle"),
        ("title =", "titel =", "titel"),
        ('type = "MineralField"', 'type = "Marine"', "MineralField750"),
        ("##.", "##x", "letters"),
        ("##...", "##..#", "half a turn"),
        ("//////", "######", "half a turn"),
        ("start =", "start", "TOML"),
    ],
)
def test_bad_maps_are_refused_with_a_reason(tmp_path, old, new, word):
    with pytest.raises(BadInput, match=word) as error:
        game_map.load_map(written(tmp_path, old, new))
    assert "bad.toml" in str(error.value)


def test_a_main_without_a_way_out_is_refused(tmp_path):
    path = tmp_path / "closed.toml"
    path.write_text(TEXT.replace("//////", "######"))
    with pytest.raises(BadInput, match="cannot be reached"):
        game_map.load_map(str(path))


def test_an_unknown_map_lists_the_known():
    with pytest.raises(BadInput, match="basin"):
        game_map.load_map("basil")
