"""Whatever stands in a map's file, it is read or refused with one line that names the file."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skyloom.arena import game_map
from skyloom.core.errors import BadInput

TEXT = (game_map.FOLDER / "basin.toml").read_text()
TAIL = TEXT.index("start =")


def read(data: bytes) -> None:
    """Read a map of these bytes; only BadInput may come out."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "odd.toml"
        path.write_bytes(data)
        try:
            game_map.load_map(str(path))
        except BadInput as error:
            assert "odd.toml" in str(error)
            assert "\n" not in str(error)


@settings(max_examples=100)
@given(data=st.binary(max_size=200))
def test_random_bytes(data):
    read(data)


@settings(max_examples=120)
@given(place=st.integers(TAIL, len(TEXT) - 1), junk=st.text(max_size=6), cut=st.integers(0, 12))
@example(TEXT.index("12.5"), "inf", 4)
@example(TEXT.index("12.5"), "nan", 4)
@example(TEXT.index("12.5"), "1e999", 4)
@example(TEXT.index("12.5"), "-12.5", 4)
@example(TEXT.index("12.5"), "[]", 4)
def test_changed_maps(place, junk, cut):
    read((TEXT[:place] + junk + TEXT[place + cut :]).encode("utf-8", "replace"))


@pytest.mark.parametrize("place", range(300, 1500, 97))
def test_a_changed_cell_breaks_the_symmetry(place):
    letter = {"#": ".", ".": "#", "+": "#"}.get(TEXT[place])
    if letter:
        with pytest.raises(BadInput):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "odd.toml"
                path.write_text(TEXT[:place] + letter + TEXT[place + 1 :])
                game_map.load_map(str(path))
