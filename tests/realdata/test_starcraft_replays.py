"""Real replays: what is imported equals the index that another reading of the same files made."""

import json
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from skyloom.app.cli import app
from skyloom.core.ledger.rows import collect
from skyloom.starcraft.records import Game
from skyloom.starcraft.replay.decode import ReplayError, decode
from skyloom.starcraft.replay.tables import counts, read_tables, write_tables
from skyloom.starcraft.replay.tracker import KINDS
from skyloom.starcraft.sources import sc2replay

DATA = Path(os.environ.get("SKYLOOM_DATA") or "/nonexistent") / "sc2"
pytestmark = pytest.mark.skipif(not (DATA / "index.jsonl").is_file(), reason="$SKYLOOM_DATA/sc2 is absent")

LADDER = ("tvt-001", "pvt-011", "tvz-071", "zvz-006", "pvp-003")
STRESS_SAMPLE = (
    "2.0.10.26490__replay26490",
    "2.1.4__Catallena_LE",
    "3.1.0__2",
    "4.3.0.64469__1",
    "coop__CoA",
    "lotv__lotv2",
)
RESUMED = ("2.0.11.26825__bad_unit_ids_1", "2.0.9.26147__bad_unit_ids_2")


def index() -> dict[str, Any]:
    with (DATA / "index.jsonl").open() as file:
        rows = [json.loads(line) for line in file]
    return {Path(row["path"]).stem: row for row in rows}


@pytest.mark.parametrize("name", [*LADDER, *STRESS_SAMPLE])
def test_counts_length_and_winner_equal_the_index(name: str):
    row = index()[name]
    tables = read_tables(DATA / row["path"])
    found = counts(tables)
    assert (found["tracker_events"], found["game_events"], found["commands"]) == tuple(
        row["events"][key] for key in ("tracker", "game", "commands")
    )
    assert tables.header.loops == row["frames"]
    assert tables.header.winner == row["winner"]
    assert [player.name for player in tables.header.players] == [player["name"] for player in row["players"]]
    assert found["commands_with_selection"] == found["commands"]
    assert found["selection_errors"] <= 0.01 * found["commands"]


@pytest.mark.parametrize("name", RESUMED)
def test_a_resumed_game_with_a_foreign_tracker_stream_is_a_named_reject(name: str):
    with pytest.raises(ReplayError) as caught:
        read_tables(DATA / "replays_sc2reader" / f"{name}.SC2Replay")
    assert caught.value.reason == "resumed_game"


def test_no_selected_unit_is_dead():
    """An independent check of the selections: the tracker says who died, the game stream who is selected."""
    tables = read_tables(DATA / "replays" / "tvt-001.SC2Replay")
    died = tables.tracker.filter(pl.col("kind") == "died").select("tag", died="loop").unique("tag", keep="last")
    selected = tables.commands.table.select("loop", tag="selected_tags").explode("tag").join(died, on="tag")
    assert selected.height > 1000
    assert selected.filter(pl.col("loop") > pl.col("died") + 16).height == 0


def test_targets_lie_on_the_map_and_unit_types_have_names():
    table = read_tables(DATA / "replays" / "tvz-071.SC2Replay").commands.table
    points = table.filter(pl.col("target") == "point")
    assert points.height > 100
    assert points.select(
        ((pl.col("x") > 0) & (pl.col("x") < 256) & (pl.col("y") > 0) & (pl.col("y") < 256)).all()
    ).item()
    types = table.explode("selected_types")["selected_types"]
    assert types.str.starts_with("link:").sum() == 0
    assert {"SCV", "Marine", "Drone", "Zergling"} <= set(types.to_list())


def test_tables_survive_the_disk(tmp_path: Path):
    tables = read_tables(DATA / "replays" / "tvt-001.SC2Replay")
    write_tables(tables, tmp_path)
    assert pl.read_parquet(tmp_path / "commands.parquet").equals(tables.commands.table)
    assert set(pl.read_parquet(tmp_path / "tracker.parquet")["kind"].unique()) <= set(KINDS.values())
    stats = pl.read_parquet(tmp_path / "player_stats.parquet")
    assert stats.filter(pl.col("food_used") > 200).height == 0
    header = json.loads((tmp_path / "header.json").read_text())
    assert header["winner"] == "MaSa"


@pytest.mark.parametrize("cut", [10, 1000, 0.5, 0.95])
def test_a_cut_file_is_refused_with_its_name(tmp_path: Path, cut: float):
    data = (DATA / "replays" / "tvt-001.SC2Replay").read_bytes()
    path = tmp_path / "cut.SC2Replay"
    path.write_bytes(data[: int(cut * len(data)) if cut < 1 else int(cut)])
    with pytest.raises(ReplayError, match=r"cut\.SC2Replay"):
        decode(path)


def test_a_folder_of_replays_is_collected_and_its_rejects_are_counted(tmp_path: Path):
    for name in (*RESUMED, "4.3.0.64469__1", "2.1.4__Catallena_LE"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / f"{name}.SC2Replay").symlink_to(DATA / "replays_sc2reader" / f"{name}.SC2Replay")
    (report,) = collect([sc2replay.Config(path=tmp_path / "in")], Game, tmp_path / "out")
    assert (report.rows, report.rejected) == (2, 2)
    assert list(report.reject_reasons) == ["resumed_game: the tracker stream belongs to the game before it was resumed"]
    rows = pl.concat([pl.read_parquet(path) for path in sorted((tmp_path / "out" / "rows").glob("*.parquet"))])
    assert rows["winner"].to_list() == [1, 2]
    sides = rows.explode("sides").unnest("sides")
    assert set(sides["race"]) <= {"Terran", "Protoss", "Zerg"}
    assert (sides["commands"] >= 0).all()


def test_the_command_prints_counted_results(tmp_path: Path):
    path = DATA / "replays" / "tvt-001.SC2Replay"
    done = CliRunner().invoke(app, ["starcraft", "replay", str(path), "--out", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["winner"] == "MaSa"
    assert told["counts"]["commands"] == index()["tvt-001"]["events"]["commands"]
    assert {path.name for path in tmp_path.iterdir()} == {
        "header.json",
        "commands.parquet",
        "tracker.parquet",
        "player_stats.parquet",
    }
