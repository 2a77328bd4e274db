"""What the starcraft commands print: tables for people, JSON for scripts.

Flow  app/starcraft.py -> [show]
"""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from skyloom.app import show
from skyloom.app.output import print_json
from skyloom.arena import recording
from skyloom.arena.spec import LOOPS_PER_SECOND
from skyloom.core import store
from skyloom.core.errors import BadInput
from skyloom.core.metrics import Evaluation
from skyloom.core.records import Reject
from skyloom.core.stats import wilson
from skyloom.starcraft.play import Outcome, Pairing


def say(line: str, *, quiet: bool = False) -> None:
    """One line, unless a script reads."""
    if not quiet:
        show.say(line)


def games(bot_a: str, bot_b: str, played: Sequence[tuple[Pairing, Outcome]], as_json: bool) -> None:
    """Wins of the first bot against the second, with the interval."""
    wins = sum(_side_of(bot_a, pairing, k) == outcome.winner for k, (pairing, outcome) in enumerate(played))
    draws = sum(outcome.winner == 0 for _, outcome in played)
    rate = wilson(wins, len(played))
    seconds = sum(outcome.loops for _, outcome in played) / len(played) / LOOPS_PER_SECOND
    losses = len(played) - wins - draws
    if as_json:
        facts = {
            "wins": wins,
            "draws": draws,
            "losses": losses,
            "games": len(played),
            "mean_seconds": round(seconds, 1),
        }
        print_json({"bot_a": bot_a, "bot_b": bot_b, **facts, "win_rate": rate._asdict()})
        return
    table = Table("player", "opponent", "games", "wins", "draws", "losses", "win rate", "mean game")
    interval = f"{rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}]"
    table.add_row(bot_a, bot_b, str(len(played)), str(wins), str(draws), str(losses), interval, f"{seconds:.0f} s")
    Console().print(table)


def validation(train: Path, as_json: bool) -> None:
    """Accuracy of every head on the validation games."""
    (raw,) = store.read_json_rows(train / "validation.json")
    if isinstance(raw, Reject):
        raise BadInput(f"{train / 'validation.json'}: damaged; train again")
    if as_json:
        print_json({"train": str(train), **raw.data})
        return
    table = Table("head", "accuracy", "95% interval", "decisions", "loss")
    for name, each in raw.data["heads"].items():
        found = (f"{each['accuracy']:.3f}", f"[{each['low']:.3f}, {each['high']:.3f}]") if each["n"] else ("-", "-")
        table.add_row(name, *found, f"{each['n']:,}", f"{each['loss']:.4f}")
    Console().print(table)
    say(f"{raw.data['games']} games, {raw.data['samples']:,} decisions, {raw.data['illegal']:,} illegal ones left out")
    say(f"agent: {train}")


def evaluation(found: Evaluation, out: Path, as_json: bool) -> None:
    """The agent's win rate beside the null players'."""
    if as_json:
        print_json({"out": str(out), "beats_null": found.beats_null, **found.to_json()})
        return
    say(show.verdict(found))
    for each in (*found.baselines, *found.others):
        say(f"  {show.estimate(each)}")
    say(f"results: {out}")


def own_replay(file: Path, as_json: bool) -> None:
    """Play a recording of ours again; BadInput where another game comes out."""
    try:
        found = recording.from_bytes(store.read_bytes(file))
        recording.replay(found)
    except recording.BadRecording as error:
        raise BadInput(f"{file}: {error}") from error
    facts = {
        "map": found.map,
        "ruleset": found.ruleset,
        "players": list(found.players),
        "winner": found.winner,
        "loops": found.loops,
        "decisions": len(found.decisions_D8),
        "final_hash": found.final_hash,
    }
    if as_json:
        print_json({"file": str(file), "exact": True, **facts})
        return
    for name, value in facts.items():
        say(f"{name}: {value}")
    say("plays again exactly: length, winner and final state hash are the recorded ones")


def imported(file: Path, out: Path | None, as_json: bool) -> None:
    """Import a .SC2Replay; the tables are written where `out` says."""
    from skyloom.starcraft.replay.tables import counts, read_tables, write_tables

    tables = read_tables(file)
    if out is not None:
        write_tables(tables, out)
    head, found = tables.header, counts(tables)
    if as_json:
        facts = {"map": head.map, "release": head.release, "loops": head.loops, "winner": head.winner}
        print_json({"file": str(file), "out": str(out) if out else None, **facts, "counts": found})
        return
    players = " - ".join(f"{player.name} ({player.race}, {player.result})" for player in head.players)
    say(f"{head.map}, {head.release}, {head.teams}, {head.loops:,} loops ({head.seconds:,.0f} s): {players}")
    say(f"winner: {head.winner or 'nobody alone'}")
    table = Table("what", "count")
    for name, count in found.items():
        table.add_row(name.replace("_", " "), f"{count:,}")
    Console().print(table)
    if out is not None:
        say(f"tables: {out}/commands.parquet, tracker.parquet, player_stats.parquet, header.json")


def _side_of(bot: str, pairing: Pairing, number: int) -> int:
    """Which side the first bot had; in a mirror match sides swap every second game."""
    if pairing.first == pairing.second:
        return 1 + number % 2
    return 1 if pairing.first == bot else 2
