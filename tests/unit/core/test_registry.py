import sys

import pytest

from skyloom.core import registry
from skyloom.core.errors import BadInput, MissingExtra


def test_names_and_summaries_are_read_without_importing(plugin_dir):
    (plugin_dir / "reward" / "losses" / "explodes.py").write_text('"""First line.\n\nMore."""\nraise RuntimeError\n')
    registry._scan.cache_clear()
    assert {"toy", "other", "explodes"} <= set(registry.names("reward.losses"))
    assert registry.summary("reward.losses", "explodes") == "First line."
    assert not any(name.endswith(".explodes") for name in sys.modules)


def test_unknown_names_list_the_known_ones(plugin_dir):
    registry._scan.cache_clear()
    with pytest.raises(BadInput, match=r"unknown plug-in 'tay' in reward\.losses; known: .*toy"):
        registry.load("reward.losses", "tay")
    with pytest.raises(BadInput, match=r"unknown plug-in group 'reward\.lossy'; known: .*reward\.losses"):
        registry.names("reward.lossy")


def test_an_import_error_inside_a_plugin_is_never_swallowed(plugin_dir):
    folder = plugin_dir / "reward" / "losses"
    (folder / "broken.py").write_text('"""Broken."""\nimport a_package_that_nobody_has\n')
    (folder / "needs_ray.py").write_text('"""Needs ray."""\nraise ModuleNotFoundError("no", name="ray.util")\n')
    registry._scan.cache_clear()
    with pytest.raises(ModuleNotFoundError, match="a_package_that_nobody_has"):
        registry.load("reward.losses", "broken")
    with pytest.raises(MissingExtra, match=r"needs the package ray\.util: pip install 'skyloom\[ray\]'"):
        registry.load("reward.losses", "needs_ray")
    assert not any(name.endswith((".broken", ".needs_ray")) for name in sys.modules)  # a failed import leaves nothing


def test_a_name_that_stands_twice_is_refused(plugin_dir):
    builtin = next(iter(registry.names("arena.bots")))
    (plugin_dir / "arena" / "bots").mkdir(parents=True)
    (plugin_dir / "arena" / "bots" / f"{builtin}.py").write_text('"""Mine."""\n')
    registry._scan.cache_clear()
    with pytest.raises(BadInput, match="stands twice"):
        registry.names("arena.bots")


def test_plugin_of_builtin_and_dropped_in(plugin_dir):
    registry._scan.cache_clear()
    assert registry.plugin_of(registry.load("reward.losses", "toy").Config()) == ("reward.losses", "toy")
    loss = registry.load("reward.losses", "bradley_terry").Config
    assert str(registry.plugin_of(loss)) == "reward.losses/bradley_terry"
