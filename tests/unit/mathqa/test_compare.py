"""Two evaluations as pairs: the numbers by hand, the levels, the likelihoods, and what cannot be compared."""

import json

import pytest

from skyloom.core.errors import BadInput
from skyloom.core.stats import mcnemar
from skyloom.mathqa.compare import compare


def row(number, equal, nll=None, **fields):
    return {
        "id": f"t/{number}", "question": f"q{number}", "gold": "1", "level": 1 + number % 2, "equal": equal, "nll": nll,
        **fields,
    }  # fmt: skip


def written(folder, rows, name="t"):
    (folder / "evaluate").mkdir(parents=True, exist_ok=True)
    file = folder / "evaluate" / f"outputs-{name}.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return folder


def test_pairs_by_id_whatever_their_order(tmp_path):
    a = written(tmp_path / "a", [row(k, k < 12, 1.0 + k % 3) for k in range(20)])
    b = written(tmp_path / "b", [row(k, 4 <= k < 8, 1.5 + k % 3) for k in reversed(range(20))])
    (found,) = compare(a, b / "evaluate")
    assert (found.benchmark, found.whole.a.value, found.whole.b.value) == ("t", 0.6, 0.2)
    assert (found.whole.test.only_a, found.whole.test.only_b) == (8, 0)
    assert found.whole.test.p == mcnemar(8, 0).p < 0.01
    assert found.whole.gap.value == pytest.approx(0.4)
    assert found.whole.gap.low > 0
    assert [each.name for each in found.levels] == ["level 1", "level 2"]
    assert all(each.p_holm >= each.test.p for each in found.levels)
    assert found.nll.value == pytest.approx(-0.5)
    assert found.to_json()["levels"][0]["p_holm"] == found.levels[0].p_holm
    json.dumps(found.to_json(), allow_nan=False)
    (swapped,) = compare(b, a)
    assert swapped.whole.gap.value == pytest.approx(-0.4)
    assert swapped.whole.test.p == found.whole.test.p


def test_without_likelihoods_there_is_no_difference_of_them(tmp_path):
    a = written(tmp_path / "a", [row(k, True) for k in range(4)])
    (found,) = compare(a, a)
    assert found.nll is None
    assert (found.whole.gap.value, found.whole.test.p) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([row(0, True), row(1, True), row(2, True)], "1 items of t .* alone, first t/2; evaluate both on the same"),
        ([row(0, True)], "1 items of t .* alone, first t/1"),
        ([row(0, True), row(1, True, question="other")], "t/1 is another question or gold"),
        ([row(0, True), row(1, True, gold="2")], "t/1 is another question or gold"),
        ([row(0, True), row(0, True)], "row 2: id: 't/0' stands twice"),
        ([row(0, True), {"id": "t/1"}], "row 2: equal: missing"),
        ([row(0, True), row(1, "yes")], "t/1: equal, nll or level: of another type"),
    ],
)
def test_other_items_are_refused_with_a_remedy(tmp_path, rows, told):
    a = written(tmp_path / "a", [row(0, True), row(1, False)])
    with pytest.raises(BadInput, match=told):
        compare(a, written(tmp_path / "b", rows))


def test_folders_without_outputs_and_other_benchmarks_are_told(tmp_path):
    a = written(tmp_path / "a", [row(0, True)])
    with pytest.raises(BadInput, match="holds no outputs"):
        compare(a, tmp_path)
    with pytest.raises(BadInput, match="share no benchmark \\(t and u\\)"):
        compare(a, written(tmp_path / "b", [row(0, True)], "u"))
