import pytest

from golden import goldens


@pytest.mark.parametrize("name", goldens.names())
def test_nothing_moved(name):
    old = goldens.kept(name)
    assert old is not None, f"run: python tests/golden/regold.py {name}"
    rtol = getattr(goldens.load(name), "RTOL", 0.0)
    assert goldens.differences(old, goldens.compute(name), rtol) == []


def test_differences_are_seen():
    old = {"curve": [1.0, 2.0], "n": 3}
    assert goldens.differences(old, {"curve": [1.0, 2.001], "n": 3}, 1e-3) == []
    assert goldens.differences(old, {"curve": [1.0, 2.01], "n": 3}, 1e-3) == [".curve[1]: 2.0 -> 2.01"]
    assert goldens.differences(old, {"curve": [1.0], "n": 3}, 1e-3) == [".curve: [1.0, 2.0] -> [1.0]"]
    assert goldens.differences(old, {"curve": [1.0, 2.0], "n": 4, "x": 1}, 0.0) == [".n: 3 -> 4", ".x: None -> 1"]
