"""Samples on disk: what comes back is what the player saw and did."""

from pathlib import Path

import numpy as np
import pytest
import torch

from skyloom.arena import recording, spec, view
from skyloom.arena.recording import BadRecording
from skyloom.starcraft.agent.features import full_target, observe, set_sizes
from skyloom.starcraft.play import Outcome
from skyloom.starcraft.policies import NEEDS
from skyloom.starcraft.samples import SampleStore, read_counts, write_game


@pytest.fixture(scope="module")
def visited(short_game: Outcome) -> list[tuple[view.View, spec.Action]]:
    """Every decision of player 1 as the recording shows it."""
    found: list[tuple[view.View, spec.Action]] = []
    recording.replay(
        short_game.recording, lambda player, look, action: found.append((look.copy(), action)) if player == 1 else None
    )
    return found


def test_every_decision_comes_back_as_it_was(
    short_game: Outcome, visited: list[tuple[view.View, spec.Action]], tmp_path: Path
):
    counts = write_game(short_game.recording.to_bytes(), (1,), 1.0, tmp_path / "game")
    assert counts.samples + counts.illegal == len(visited)
    assert counts.illegal == 0
    store = SampleStore([tmp_path / "game"])
    rows = np.random.default_rng(0).permutation(len(store))
    seen, labels, weight = store.batch(rows, np.arange(1, spec.N_ACTIONS + 1, dtype=np.float64))
    sizes = set_sizes(seen)
    for b, row in enumerate(rows):
        look, action = visited[row]
        assert store.kind_N[row] == labels.kind_B[b] == action.kind
        assert weight[b] == action.kind + 1
        assert spec.SKIPS[int(labels.skip_B[b])] == spec.SKIPS[spec.skip_class(action.skip)]
        assert labels.selected_BU[b].nonzero().flatten().tolist() == sorted(action.units)
        if NEEDS.target_A[action.kind]:
            assert full_target(int(labels.target_B[b]), sizes) == action.target
        if NEEDS.position_A[action.kind]:
            assert labels.position_B[b] == action.position
            fits = view.position_mask(look, action.kind).ravel()
            fits[action.position] = True
            assert np.array_equal(labels.position_legal_BN[b].numpy(), fits)
        batch = view.View(**{name: getattr(look, name)[None] for name in look.__slots__})
        alone = observe(batch, view.masks(batch).kinds)
        torch.testing.assert_close(seen.scalars_BS[b], alone.scalars_BS[0])
        torch.testing.assert_close(seen.planes_BPMM[b], alone.planes_BPMM[0])
        mine = alone.my.numbers_BUF.shape[1]
        torch.testing.assert_close(seen.my.numbers_BUF[b, :mine], alone.my.numbers_BUF[0])


def test_labels_are_always_legal(short_game: Outcome, tmp_path: Path):
    write_game(short_game.recording.to_bytes(), (1, 2), 1.0, tmp_path / "game")
    store = SampleStore([tmp_path / "game"])
    seen, labels, _ = store.batch(np.arange(len(store)), np.ones(spec.N_ACTIONS))
    everyone = torch.arange(len(store))
    assert seen.legal_BA[everyone, labels.kind_B].all()
    assert not (labels.selected_BU & ~labels.unit_legal_BU).any()
    assert labels.target_legal_BX[everyone, labels.target_B].all()
    assert labels.position_legal_BN[everyone, labels.position_B].all()


def test_few_no_ops_are_kept_and_every_action(short_game: Outcome, tmp_path: Path):
    data = short_game.recording.to_bytes()
    every, few = (write_game(data, (1,), share, tmp_path / name) for name, share in (("every", 1.0), ("few", 0.25)))
    kinds = [SampleStore([tmp_path / name]).kind_N for name in ("every", "few")]
    acted = [int((kind != spec.NO_OP).sum()) for kind in kinds]
    assert acted[0] == acted[1] > 10
    assert 0.1 < (few.samples - acted[1]) / (every.samples - acted[0]) < 0.4
    again = write_game(data, (1,), 0.25, tmp_path / "again")
    assert again == few
    assert (tmp_path / "again.bin").read_bytes() == (tmp_path / "few.bin").read_bytes()


def test_a_game_counts_only_once_it_is_whole(short_game: Outcome, tmp_path: Path):
    assert read_counts(tmp_path / "game") is None
    counts = write_game(short_game.recording.to_bytes(), (2,), 1.0, tmp_path / "game")
    assert read_counts(tmp_path / "game") == counts
    (tmp_path / "game.npz").unlink()
    assert read_counts(tmp_path / "game") is None


def test_a_damaged_recording_is_refused(short_game: Outcome, tmp_path: Path):
    with pytest.raises(BadRecording):
        write_game(short_game.recording.to_bytes()[:-20], (1,), 1.0, tmp_path / "game")
