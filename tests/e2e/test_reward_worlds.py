"""What curation finds of what was planted, in worlds with unseen seeds and shares: the bars of issue 3, in one table."""

import time
from dataclasses import replace

import pytest

import reward_worlds as worlds
from reward_worlds import TOKENS, measure, noisy, parameters

OPEN: dict[str, str] = {
    "leaks, n=7: precision": "the world promises that no eight words of an evaluation prompt arise in training, not seven",
}
"""Bars that do not hold, and why; a bar that begins to hold must leave this list."""


def failed(made):
    return {line.name for line in made if line.holds is False}


def test_two_planted_and_two_clean_worlds(tmp_path):
    planted = [
        measure(replace(parameters(100 + k, planted=True), rows=1500), tmp_path / f"planted{k}", token)
        for k, token in enumerate(("<|eot_id|>", "### Response:"))
    ]
    clean = [measure(replace(parameters(100 + k, planted=False), rows=1500), tmp_path / f"clean{k}") for k in range(2)]
    made = worlds.lines(planted, clean)
    print(worlds.table(made))
    assert failed(made) == {"leaks, n=7: precision"}
    assert {line.interval.n > 0 for line in made if line.bar} == {True}


def test_a_world_with_a_fifth_of_its_labels_wrong(tmp_path):
    found = measure(replace(noisy(100), rows=2000), tmp_path, judged=True).auc
    print(found)
    assert found[worlds.AGREEMENT] >= 0.85
    assert found[worlds.SURFACE] <= 0.60
    assert found[worlds.AGREEMENT] > found[worlds.BY_HEART]


@pytest.mark.prove
def test_twenty_planted_twenty_clean_and_twenty_noisy_worlds(tmp_path):
    started, tokens = time.monotonic(), list(TOKENS)
    planted = [measure(parameters(k, planted=True), tmp_path / f"planted{k}", tokens[k % 4]) for k in range(20)]
    clean = [measure(parameters(k, planted=False), tmp_path / f"clean{k}") for k in range(20)]
    judged = [measure(noisy(k), tmp_path / f"noisy{k}", judged=True) for k in range(20)]
    made = worlds.lines(planted, clean, judged)
    print(f"\n{worlds.table(made)}\n{time.monotonic() - started:.0f} s")
    for each in planted:
        print(each.token, each.feature, each.evidence)
    assert failed(made) == set(OPEN)
