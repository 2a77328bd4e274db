"""Recipes by name: one file a published result, each holding functions that return a full typed config.

`skywork_reward` is its `config()`, the published size; `skywork_reward:smoke` is its `smoke()`, the laptop size; every other public
function without parameters that returns a config is a setting too.
"""

import importlib
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

from skyloom.core import registry
from skyloom.core.config import Config
from skyloom.core.errors import BadInput

SYSTEMS: tuple[str, ...] = ("reward", "mathqa", "starcraft")


class Recipe(NamedTuple):
    """A recipe file and the system that it belongs to."""

    name: str
    system: str
    module: ModuleType


def recipe_names() -> tuple[str, ...]:
    """All recipes of all systems."""
    return tuple(name for system in SYSTEMS for name in registry.names(f"recipes.{system}"))


def find_recipe(name: str) -> Recipe:
    """A recipe by name; BadInput lists the known ones."""
    for system in SYSTEMS:
        if name in registry.names(f"recipes.{system}"):
            return Recipe(name, system, registry.load(f"recipes.{system}", name))
    raise BadInput(f"unknown recipe {name!r}; known: {', '.join(recipe_names())}")


def settings(recipe: Recipe) -> dict[str, Callable[[], Config]]:
    """Name -> function of every setting, smoke first."""
    found: dict[str, Callable[[], Config]] = {}
    for name, value in vars(recipe.module).items():
        own = inspect.isfunction(value) and value.__module__ == recipe.module.__name__ and not name.startswith("_")
        if own and not inspect.signature(value).parameters:
            found[name] = value
    return dict(sorted(found.items(), key=lambda item: (item[0] != "smoke", item[0] != "config", item[0])))


def find_setting(text: str, smoke: bool = False) -> tuple[Recipe, str, Config]:
    """`recipe` or `recipe:setting` to its config; BadInput lists the known settings."""
    name, _, chosen = text.partition(":")
    recipe = find_recipe(name)
    known = settings(recipe)
    setting = "smoke" if smoke else chosen or "config"
    if setting not in known:
        raise BadInput(f"recipe {name} has no setting {setting!r}; known: {', '.join(known)}")
    return recipe, setting, known[setting]()


def pipeline_of(system: str) -> ModuleType:
    """The system's pipeline module: run(config, run) and plan(config)."""
    return importlib.import_module(f"skyloom.{system}.pipeline")
