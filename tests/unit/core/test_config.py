import json
import pickle
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.core.config import NOT_KEYED, Config, fingerprint, from_dict, override, to_dict
from skyloom.core.errors import BadInput


@dataclass(frozen=True, kw_only=True, slots=True)
class Inner(Config):
    lr: float = 1e-3
    steps: int = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Outer(Config):
    name: str = "x"
    inner: Inner = field(default_factory=Inner)
    mode: Literal["a", "b"] = "a"
    sizes: tuple[int, ...] = (1, 2)
    limit: int | None = None
    shares: dict[str, float] = field(default_factory=dict)
    path: Path = field(default=Path("here"), metadata=NOT_KEYED)
    flag: bool = False


@given(
    name=st.text(),
    lr=st.floats(allow_nan=False, allow_infinity=False),
    steps=st.integers(),
    sizes=st.lists(st.integers()),
    limit=st.none() | st.integers(),
    shares=st.dictionaries(st.text(), st.floats(0, 1)),
)
def test_json_round_trip_is_exact(name, lr, steps, sizes, limit, shares):
    config = Outer(name=name, inner=Inner(lr=lr, steps=steps), sizes=tuple(sizes), limit=limit, shares=shares)
    assert from_dict(Outer, json.loads(json.dumps(to_dict(config)))) == config


def test_override_sets_nested_values_and_leaves_the_original():
    config = Outer()
    changed = override(config, ["inner.lr=0.5", "name=hello", "sizes=[3]", "flag=true", "mode=b"])
    assert changed == replace(config, inner=Inner(lr=0.5), name="hello", sizes=(3,), flag=True, mode="b")
    assert config == Outer()


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("inner.rate=1", "unknown key 'rate'; known keys: lr, steps"),
        ("inner.lr=fast", "inner.lr: expected a finite number, got 'fast'"),
        ("inner.lr=NaN", "expected a finite number"),
        ("inner.steps=1.5", "expected a whole number"),
        ("inner.steps=true", "expected a whole number"),
        ("mode=c", "'c' is not one of a, b"),
        ("flag=1", "expected true or false"),
        ("noequals", "write path=value"),
        ("name.x=1", "looked up in a plain value"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(setting, told):
    with pytest.raises(BadInput) as error:
        override(Outer(), [setting])
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_fingerprint_ignores_defaults_and_unkeyed_fields_and_sees_everything_else():
    base = fingerprint(Outer())
    assert len(base) == 16
    assert fingerprint(Outer(path=Path("elsewhere"))) == base
    others = [Outer(name="y"), Outer(inner=Inner(steps=11)), Outer(sizes=(2, 1)), Outer(limit=0), Outer(flag=True)]
    assert len({base, *map(fingerprint, others)}) == len(others) + 1


def test_plugin_configs_carry_their_name_and_pickle(plugin_dir):
    from skyloom.core import registry

    config = registry.load("reward.losses", "toy").Config(margin=0.5)
    assert to_dict(config) == {"plugin": "reward.losses/toy", "margin": 0.5}
    assert pickle.loads(pickle.dumps(config)) == config


def test_override_addresses_plugins_in_a_tuple_by_name_and_swaps_them(plugin_dir):
    from skyloom.core import registry
    from skyloom.core.config import PluginConfig

    toy, other = (registry.load("reward.losses", name).Config for name in ("toy", "other"))

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Chain(Config):
        curate: tuple[PluginConfig, ...]
        loss: PluginConfig

    globals()["PluginConfig"] = PluginConfig  # get_type_hints resolves names at module level
    chain = Chain(curate=(toy(), other()), loss=toy(margin=2.0))
    assert override(chain, ["curate.toy.margin=3"]).curate[0] == toy(margin=3.0)
    assert override(chain, ["loss=other"]).loss == other()
    with pytest.raises(BadInput, match="'absent' is not there; elements: 0 toy, 1 other"):
        override(chain, ["curate.absent.margin=3"])
    with pytest.raises(BadInput, match=r"unknown plug-in 'nope' in reward\.losses; known: .*toy"):
        override(chain, ["loss=nope"])
