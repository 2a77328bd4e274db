"""Whatever the bytes and events: decoding answers with one named error, selections keep their invariants."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.core.errors import BadInput
from skyloom.starcraft.replay.decode import ReplayError, decode
from skyloom.starcraft.replay.selection import ACTIVE, Picked, Removal, Selections

REMOVALS = st.one_of(
    st.just(Removal("None", ())),
    st.builds(lambda flags: Removal("Mask", flags), st.lists(st.booleans(), max_size=8)),
    st.builds(lambda at: Removal("OneIndices", at), st.lists(st.integers(0, 9), max_size=5)),
    st.builds(lambda at: Removal("ZeroIndices", at), st.lists(st.integers(0, 9), max_size=5)),
)
PICKS = st.lists(st.builds(Picked, st.integers(1, 20), st.integers(1, 3)), max_size=8)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("delta"), st.sampled_from([ACTIVE, 0, 1]), REMOVALS, PICKS),
        st.tuples(st.sampled_from(["append", "recall"]), st.integers(0, 2), REMOVALS),
        st.tuples(st.sampled_from(["assign", "clear"]), st.integers(0, 2)),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(body=st.binary(max_size=2000), second=st.sampled_from([b"MPQ\x1a", b"MPQ\x1b", b""]))
def test_random_bytes_are_one_named_error(body: bytes, second: bytes):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "noise.SC2Replay"
        path.write_bytes(second + body)
        with pytest.raises(ReplayError) as caught:
            decode(path)
    assert isinstance(caught.value, BadInput)
    assert "noise.SC2Replay" in str(caught.value)
    assert "\n" not in str(caught.value)


@given(events=EVENTS)
def test_every_selection_stays_sorted_and_free_of_doubles(events: list[tuple[object, ...]]):
    selections = Selections()
    for name, *arguments in events:
        getattr(selections, str(name))(*arguments)
        for group in selections.groups:
            found = [unit.tag for unit in group]
            assert found == sorted(set(found))


@given(units=PICKS, removal=REMOVALS)
def test_a_removal_never_adds_and_recall_does_not_change_the_group(units: list[Picked], removal: Removal):
    selections = Selections()
    selections.delta(ACTIVE, Removal("None", ()), units)
    selections.assign(4)
    before = selections.groups[4]
    selections.recall(4, removal)
    assert set(selections.active) <= set(before)
    assert selections.groups[4] == before
