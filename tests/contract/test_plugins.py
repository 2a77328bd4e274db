"""Contracts that every plug-in keeps, found by the registry: a new file is tested without an edit here."""

import polars as pl
import pytest

from skyloom.core import registry
from skyloom.core.config import Config, PluginConfig, fingerprint, from_dict, to_dict
from skyloom.core.ledger.annotate import AnnotatorConfig
from skyloom.core.ledger.decide import DeciderConfig, check, reads_of
from skyloom.core.records import SourceConfig, from_row, schema, to_row

ALL = [
    (group, name) for group in registry.groups() if not group.startswith("recipes") for name in registry.names(group)
]


def of_kind(*words):
    found = [(group, name) for group, name in ALL if group.rpartition(".")[2] in words]
    return pytest.mark.parametrize(("group", "name"), found, ids=[f"{group}/{name}" for group, name in found])


def config_of(module):
    """The config that the plug-in's EXAMPLE is made for."""
    return getattr(module, "EXAMPLE_CONFIG", None) or module.Config()


@pytest.mark.parametrize(("group", "name"), ALL, ids=[f"{group}/{name}" for group, name in ALL])
def test_every_plugin_says_what_it_is_and_has_a_config(group, name):
    assert len(registry.summary(group, name)) > 10
    config_class = registry.load(group, name).Config
    assert issubclass(config_class, PluginConfig)
    assert str(registry.plugin_of(config_class)) == f"{group}/{name}"


@of_kind("annotate", "decide", "losses", "graders", "bots")
def test_default_configs_round_trip_through_json(group, name):
    config = config_of(registry.load(group, name))
    assert from_dict(PluginConfig, to_dict(config)) == config
    assert len(fingerprint(config)) == 16


@of_kind("sources")
def test_a_source_maps_its_example_exactly(group, name):
    module = registry.load(group, name)
    raw, record = module.EXAMPLE
    assert issubclass(module.Config, SourceConfig)
    assert module.LICENCE.strip()
    assert module.to_record(raw) == record
    assert from_row(type(record), to_row(record)) == record
    assert schema(type(record)).names == list(to_row(record))


@of_kind("annotate")
def test_an_annotator_writes_what_it_declares(group, name):
    module = registry.load(group, name)
    config = config_of(module)
    assert isinstance(config, AnnotatorConfig)
    rows, written = module.EXAMPLE
    frame = pl.DataFrame(list(rows), infer_schema_length=None).select(list(module.READS))
    work = module.annotate if module.KIND == "map" else module.fit
    first, second = work(frame, config), work(frame, config)
    assert first.equals(second), "not deterministic"
    assert set(first.columns) == set(module.WRITES)
    assert first.height == frame.height
    cast = first.select(pl.col(column).cast(kind) for column, kind in module.WRITES.items())
    assert [{key: row[key] for key in want} for row, want in zip(cast.to_dicts(), written, strict=True)] == list(
        written
    )
    assert all(column.partition(".")[0] and "." in column for column in module.WRITES)


@of_kind("annotate")
def test_a_map_annotator_looks_at_a_row_alone(group, name):
    module = registry.load(group, name)
    if module.KIND != "map":
        return
    config = config_of(module)
    frame = pl.DataFrame(list(module.EXAMPLE[0]), infer_schema_length=None).select(list(module.READS))
    whole = module.annotate(frame, config)
    single = [module.annotate(frame[k : k + 1], config) for k in range(frame.height)]
    cast = [
        each.select(pl.col(column).cast(kind) for column, kind in module.WRITES.items()) for each in (whole, *single)
    ]
    assert pl.concat(cast[1:]).to_dicts() == cast[0].to_dicts()


@of_kind("decide")
def test_a_decider_gives_the_reasons_of_its_example(group, name):
    module = registry.load(group, name)
    config = config_of(module)
    assert isinstance(config, DeciderConfig)
    rows = [row for row, _ in module.EXAMPLE]
    reasons = [reason for _, reason in module.EXAMPLE]
    frame = pl.DataFrame(rows, infer_schema_length=None)
    defaults = {"row": pl.int_range(pl.len()), "source": pl.lit("example"), "alive": pl.lit(True)}
    frame = frame.with_columns(value.alias(key) for key, value in defaults.items() if key not in frame.columns)
    assert set(reads_of(config)) <= set(frame.columns)
    first = check(name, module.decide(frame, config), frame.height)
    second = check(name, module.decide(frame, config), frame.height)
    told = first.reason_N.cast(pl.String).to_list()
    assert told == second.reason_N.cast(pl.String).to_list() == reasons
    dropped = int((first.action_N == 1).sum())
    kept = int((first.action_N != 1).sum())
    assert kept + dropped == frame.height
    assert None in reasons, "the example keeps nothing"
    assert any(reasons), "the example drops or changes nothing"


RECIPES = [
    (group, name) for group in registry.groups() if group.startswith("recipes") for name in registry.names(group)
]


@pytest.mark.parametrize(("group", "name"), RECIPES)
def test_every_setting_of_every_recipe_parses_and_plans(group, name):
    from skyloom.app.settings import find_recipe, pipeline_of, settings

    recipe = find_recipe(name)
    found = settings(recipe)
    assert {"smoke", "config"} <= set(found)
    for make in found.values():
        config = make()
        assert isinstance(config, Config)
        assert from_dict(type(config), to_dict(config)) == config
        plan = pipeline_of(recipe.system).plan(config)
        assert plan.table().rows


def test_the_plugins_that_the_pages_name_are_there():
    skywork = {"helpsteer2", "offsetbias", "wildguardmix", "magpie_ultra", "magpie_pro31", "magpie_pro", "magpie_air"}
    others = {"skywork_80k", "hh_rlhf", "ultrafeedback", "rmb", "alpaca_eval", "finegrained_qa", "pairs_file", "world"}
    assert skywork | others <= set(registry.names("reward.sources"))
    assert {
        "gsm8k",
        "math_hendrycks",
        "world",
        "agieval",
        "dapo",
        "jeebench",
        "jsonl",
        "olympiadbench",
        "scibench",
    } <= set(registry.names("mathqa.sources"))
    assert len(registry.names("arena.bots")) >= 2
    reward = {"skywork_reward", "skywork_v01", "skywork_v02", "skywork_clean"}
    assert {name for _, name in RECIPES} == reward | {"skywork_math", "scc"}
