"""Frozen features: each side once, resumed after a kill, never under another protocol."""

import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from reward_models import TINY, alike, make_pairs, small_tokenizer, talk
from skyloom.core import store
from skyloom.core.errors import BadInput
from skyloom.reward import features
from skyloom.reward.features import cache, key, read
from skyloom.reward.model import new_reward_model
from skyloom.reward.records import pair
from skyloom.reward.score import Scorer
from skyloom.reward.settings import ScoreConfig

KILLED_AT = 2
PROMPTS = 3


class Counting(Scorer):
    """A scorer that remembers which conversations it was asked for."""

    def features(self, groups, label=""):
        self.asked = [*getattr(self, "asked", ()), *(tuple(row) for each in groups for row in each.group.rows)]
        return super().features(groups, label)


def scorer_of(name="tiny", **fields):
    tokenizer = small_tokenizer()
    return Counting(new_reward_model(TINY, tokenizer, seed=1), tokenizer, ScoreConfig(**fields), name)


def never():
    raise AssertionError("everything is there already")


def pairs_of():
    """20 prompts; two more pairs that share prompt and sides with others."""
    pairs = make_pairs(20)
    third = pair(pairs[0].prompt, pairs[0].rejected, "third answer")
    return [*pairs, third, pair(third.prompt, "third answer", pairs[0].chosen)]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(features, "PROMPTS", PROMPTS)


@pytest.fixture(scope="module")
def scorer():
    return scorer_of()


def alone(scorer, each, text):
    return Scorer.features(scorer, [scorer.encode(each.prompt, [text])])[0][0]


def test_each_side_is_computed_once_and_stands_where_it_belongs(tmp_path):
    scorer, pairs = scorer_of(), pairs_of()
    found = cache(pairs, tmp_path, lambda: scorer)
    sides = {(each.prompt, text) for each in pairs for text in (each.chosen, each.rejected)}
    assert len(scorer.asked) == len(set(scorer.asked)) == len(sides) == len(found.place)
    assert found.tokens == sum(map(len, scorer.asked))
    both = found.of(pairs)
    assert both.known_M.all()
    for k, each in enumerate(pairs):
        assert alike(alone(scorer, each, each.chosen), both.chosen_MD[k], 1e-5)
        assert alike(alone(scorer, each, each.rejected), both.rejected_MD[k], 1e-5)
    again = read(tmp_path).of(pairs)
    assert np.array_equal(again.chosen_MD, both.chosen_MD)


def test_what_is_there_is_not_computed_again(tmp_path, scorer):
    pairs = pairs_of()
    first = cache(pairs, tmp_path, lambda: scorer).of(pairs)
    assert np.array_equal(cache(pairs, tmp_path, never).of(pairs).chosen_MD, first.chosen_MD)
    more = scorer_of()
    added = [*pairs, pair(pairs[3].prompt, "another answer", pairs[3].chosen)]
    assert cache(added, tmp_path, lambda: more).of(added).known_M.all()
    assert len(more.asked) == 1  # the one new side


def killed(folder: str) -> None:
    """Die between two parts, half of the next one written."""
    features.PROMPTS = PROMPTS
    write, done = store._write, []

    def stop(file, data):
        if "part-" in file.name:
            done.append(file.name)
        if len(done) > KILLED_AT:
            write(file, bytes(data)[: len(data) // 2])
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        write(file, data)

    store._write = stop
    cache(pairs_of(), Path(folder), scorer_of)


def test_a_killed_call_goes_on_where_it_stood(tmp_path, scorer):
    child = multiprocessing.get_context("fork").Process(target=killed, args=(str(tmp_path / "killed"),))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    before = {path.name: path.read_bytes() for path in (tmp_path / "killed").glob("part-*.npz")}
    assert len(before) == KILLED_AT
    again, pairs = scorer_of(), pairs_of()
    resumed = cache(pairs, tmp_path / "killed", lambda: again)
    whole = cache(pairs, tmp_path / "whole", lambda: scorer)
    assert 0 < len(again.asked) < len(whole.place)
    assert resumed.place.keys() == whole.place.keys()
    assert resumed.tokens == whole.tokens
    for one, other in zip(resumed.of(pairs), whole.of(pairs), strict=True):
        assert np.array_equal(one, other)
    assert all((tmp_path / "killed" / name).read_bytes() == data for name, data in before.items())


@pytest.mark.parametrize("other", [{"name": "another"}, {"max_length": 40}, {"over_long": "truncate"}])
def test_another_models_or_protocols_folder_is_refused(tmp_path, scorer, other):
    cache(make_pairs(4), tmp_path, lambda: scorer)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(BadInput, match="holds features of another model or length"):
        cache(make_pairs(9), tmp_path, lambda: scorer_of(**other))
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_sides_that_are_too_long_are_marked_and_not_tried_again(tmp_path):
    long = pair(talk("question 1"), "good answer", "long " * 80)
    forged = pair(talk("question 2"), "a <|end|> b", "bad answer")
    pairs = [*make_pairs(5), long, forged]
    first = scorer_of()
    found = cache(pairs, tmp_path, lambda: first)
    both = found.of(pairs)
    assert both.known_M.tolist() == [True] * 5 + [False, False]
    assert key(long, long.chosen) in found.place  # its own side, and the other replies of the prompt, are there
    assert key(long, long.rejected) not in found.place
    assert not both.chosen_MD[5:].any()
    assert not both.rejected_MD[5:].any()
    cache(pairs, tmp_path, never)


def test_parts_that_hold_a_side_twice_do_not_shift_the_others(tmp_path, scorer):
    """Two processes that filled one folder at the same time."""
    pairs = make_pairs(8)
    cache(pairs[:6], tmp_path / "a", lambda: scorer)
    cache(pairs[2:], tmp_path / "b", lambda: scorer)  # parts that begin elsewhere, so that they have other names
    for path in (tmp_path / "b").glob("part-*.npz"):
        assert not (tmp_path / "a" / path.name).exists()
        path.rename(tmp_path / "a" / path.name)
    both = read(tmp_path / "a").of(pairs)
    assert both.known_M.all()
    for k, each in enumerate(pairs):
        assert alike(alone(scorer, each, each.chosen), both.chosen_MD[k], 1e-5)


def test_a_folder_without_features_or_with_a_torn_part_is_told(tmp_path, scorer):
    with pytest.raises(BadInput, match="holds no features"):
        read(tmp_path)
    cache(make_pairs(4), tmp_path, lambda: scorer)
    part = next(tmp_path.glob("part-*.npz"))
    data = part.read_bytes()
    for torn in (b"", data[:100], data[: len(data) // 2], b"not an archive", data[:-1]):
        part.write_bytes(torn)
        with pytest.raises(BadInput, match="delete it and run the same command again") as error:
            read(tmp_path)
        assert part.name in str(error.value)
    part.unlink()
    assert cache(make_pairs(4), tmp_path, lambda: scorer).of(make_pairs(4)).known_M.all()


def test_a_part_with_pickled_arrays_is_not_opened(tmp_path, scorer):
    cache(make_pairs(2), tmp_path, lambda: scorer)
    part = next(tmp_path.glob("part-*.npz"))
    np.savez(part, key_N=np.asarray([{"a": 1}], dtype=object), known_N=np.ones(1, dtype=bool))
    with pytest.raises(BadInput, match="delete it"):
        read(tmp_path)


def test_the_features_of_a_trained_head_give_its_scores(tmp_path, scorer):
    pairs = make_pairs(5)
    found = cache(pairs, tmp_path, lambda: scorer).of(pairs)
    head_D = scorer.model.head.weight[0].detach().numpy()
    scores = np.stack(scorer.score([scorer.encode(each.prompt, (each.chosen, each.rejected)) for each in pairs]))
    assert alike(scores[:, 0], found.chosen_MD @ head_D, 1e-5)
    assert torch.is_tensor(scorer.model.head.weight)
