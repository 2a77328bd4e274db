"""The tracker's tables: births, constructions, deaths, type changes, upgrades, and the players' economy.

Flow  decode -> [tracker] -> tracker.parquet, player_stats.parquet
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

from skyloom.arena.spec import LOOPS_PER_SECOND
from skyloom.starcraft.replay.decode import Decoded

KINDS: Mapping[str, str] = {
    "PlayerStatsEvent": "player_stats",
    "UnitBornEvent": "born",
    "UnitDiedEvent": "died",
    "UnitOwnerChangeEvent": "owner_change",
    "UnitTypeChangeEvent": "type_change",
    "UpgradeCompleteEvent": "upgrade",
    "UnitInitEvent": "init",
    "UnitDoneEvent": "done",
    "UnitPositionsEvent": "positions",
    "PlayerSetupEvent": "player_setup",
}

SCHEMA: dict[str, pl.DataType] = {
    "loop": pl.Int64(),
    "seconds": pl.Float64(),
    "kind": pl.String(),
    "player": pl.Int64(),  # who controls the unit, or whom the event is about; 0 is neutral
    "tag": pl.Int64(),
    "unit_type": pl.String(),
    "x": pl.Float64(),  # world coordinates; whole cells, in steps of 4 before patch 2.1
    "y": pl.Float64(),
    "killer_player": pl.Int64(),
    "killer_tag": pl.Int64(),
    "upgrade": pl.String(),
    "count": pl.Int64(),  # of an upgrade; of the units in a positions event
}

STATS: tuple[str, ...] = (
    "minerals_current",
    "vespene_current",
    "minerals_collection_rate",
    "vespene_collection_rate",
    "workers_active_count",
    "minerals_used_in_progress_army",
    "minerals_used_in_progress_economy",
    "minerals_used_in_progress_technology",
    "vespene_used_in_progress_army",
    "vespene_used_in_progress_economy",
    "vespene_used_in_progress_technology",
    "minerals_used_current_army",
    "minerals_used_current_economy",
    "minerals_used_current_technology",
    "vespene_used_current_army",
    "vespene_used_current_economy",
    "vespene_used_current_technology",
    "minerals_lost_army",
    "minerals_lost_economy",
    "minerals_lost_technology",
    "vespene_lost_army",
    "vespene_lost_economy",
    "vespene_lost_technology",
    "minerals_killed_army",
    "minerals_killed_economy",
    "minerals_killed_technology",
    "vespene_killed_army",
    "vespene_killed_economy",
    "vespene_killed_technology",
    "food_used",
    "food_made",
    "minerals_used_active_forces",
    "vespene_used_active_forces",
    "ff_minerals_lost_army",
    "ff_minerals_lost_economy",
    "ff_minerals_lost_technology",
    "ff_vespene_lost_army",
    "ff_vespene_lost_economy",
    "ff_vespene_lost_technology",
)
"""The 39 values of a player statistics event, by sc2reader's names.

Food counts supply; ff is friendly fire, since patch 2.0.10.
"""

STATS_SCHEMA: dict[str, pl.DataType] = {
    "loop": pl.Int64(),
    "player": pl.Int64(),
    **dict.fromkeys(STATS, pl.Float64()),
}


def tracker(decoded: Decoded) -> pl.DataFrame:
    """All tracker events in the order of the stream; unit types of deaths and type changes are looked up by tag."""
    types: dict[int, str | None] = {}
    owners: dict[int, int | None] = {}
    rows = [_row(event, types, owners) for event in decoded.replay.tracker_events]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def player_stats(decoded: Decoded) -> pl.DataFrame:
    """One row per player and sample (every 160 loops), 39 values each."""
    rows = [
        {"loop": event.frame, "player": event.pid, **{name: getattr(event, name) for name in STATS}}
        for event in decoded.replay.tracker_events
        if event.name == "PlayerStatsEvent"
    ]
    return pl.DataFrame(rows, schema=STATS_SCHEMA, orient="row")


def _row(
    event: Any,  # Any: sc2reader has no types
    types: dict[int, str | None],
    owners: dict[int, int | None],
) -> dict[str, object]:
    tag = getattr(event, "unit_id", None)
    if tag is not None:
        types[tag] = getattr(event, "unit_type_name", types.get(tag))
        owners[tag] = getattr(event, "control_pid", owners.get(tag))
    count = len(event.positions) if event.name == "UnitPositionsEvent" else getattr(event, "count", None)
    return {
        "loop": event.frame,
        "seconds": event.frame / LOOPS_PER_SECOND,
        "kind": KINDS[event.name],
        "player": owners.get(tag) if tag is not None else getattr(event, "pid", None),
        "tag": tag,
        "unit_type": types.get(tag) if tag is not None else None,
        "x": _number(getattr(event, "x", None)),
        "y": _number(getattr(event, "y", None)),
        "killer_player": getattr(event, "killing_player_id", None),
        "killer_tag": getattr(event, "killing_unit_id", None),
        "upgrade": getattr(event, "upgrade_type_name", None),
        "count": count,
    }


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)
