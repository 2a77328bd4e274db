"""`skyloom starcraft play | record | imitate | eval | replay`: the pieces of the starcraft loop by themselves.

Run   skyloom starcraft play marine_push slow_push --games 20
      skyloom starcraft replay GAME.SC2Replay --out DIR
"""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="StarCraft II: games, recordings, imitation, evaluation.", no_args_is_help=True)

MapName = Annotated[str, typer.Option("--map", help="A map of the arena.")]
Games = Annotated[int, typer.Option("--games", min=1, help="Games to play; sides swap every second one.")]
Seed = Annotated[int, typer.Option("--seed", help="Same seed, same games.")]
MaxLoops = Annotated[int, typer.Option("--max-loops", min=1, help="A longer game is a draw; 22.4 loops a second.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Out = Annotated[Path, typer.Option("--out", help="Directory to write to.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="path=value, for example train.updates=500; repeatable.")]
Bot = Annotated[str, typer.Argument(help="A scripted player; `skyloom list arena.bots` shows them.")]


@app.command()
def play(
    bot_a: Bot,
    bot_b: Bot,
    map_name: MapName = "basin",
    games: Games = 20,
    seed: Seed = 0,
    max_loops: MaxLoops = 20_000,
    as_json: AsJson = False,
) -> None:
    """Scripted players against each other: win rate with its interval."""
    from skyloom.app import starcraft_show as show
    from skyloom.starcraft.play import play_pair

    show.games(bot_a, bot_b, play_pair(map_name, bot_a, bot_b, games, seed, max_loops), as_json)


@app.command()
def record(
    bot_a: Bot,
    bot_b: Bot,
    out: Out,
    map_name: MapName = "basin",
    games: Games = 20,
    seed: Seed = 0,
    max_loops: MaxLoops = 20_000,
    as_json: AsJson = False,
) -> None:
    """Play games and write one recording each: OUT/game-00000.skyr ..."""
    from skyloom.app import starcraft_show as show
    from skyloom.core import store
    from skyloom.starcraft.play import play_pair

    played = play_pair(map_name, bot_a, bot_b, games, seed, max_loops)
    for number, (_, outcome) in enumerate(played):
        store.write_bytes(out / f"game-{number:05d}.skyr", outcome.recording.to_bytes())
    show.games(bot_a, bot_b, played, as_json)
    show.say(f"recordings: {out} ({len(played)} files)", quiet=as_json)


@app.command()
def imitate(
    data: Annotated[Path, typer.Option("--data", help="A .skyr recording, or a folder of them.")],
    out: Out,
    settings: Sets = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Behaviour cloning on the winners of recorded games; writes agent, metrics and validation into OUT/train."""
    from skyloom.app import starcraft_show as show
    from skyloom.core.config import override
    from skyloom.core.run import open_run
    from skyloom.recipes.starcraft import scc
    from skyloom.starcraft.pipeline import learn
    from skyloom.starcraft.sources import skyr

    config = override(scc.from_source(skyr.Config(path=data), seed), settings or [])
    with open_run("scc.imitate", config, out, config.seed) as run:
        show.validation(learn(config, run), as_json)


@app.command("eval")
def eval_(
    agent: Annotated[Path, typer.Option("--agent", help="The train step of a run: agent.safetensors, agent.json.")],
    out: Out,
    opponent: Annotated[list[str] | None, typer.Option("--opponent", help="A scripted player; repeatable.")] = None,
    map_name: MapName = "basin",
    games: Games = 100,
    seed: Seed = 0,
    max_loops: MaxLoops = 20_000,
    as_json: AsJson = False,
) -> None:
    """An agent against scripted players, beside the two null players; exit code 0 whatever the result."""
    from skyloom.app import starcraft_show as show
    from skyloom.starcraft.agent.files import load_agent
    from skyloom.starcraft.agent.policy import NetworkPolicy
    from skyloom.starcraft.evals import win_rate

    config = win_rate.Config(
        map=map_name,
        opponents=tuple(opponent or ("slow_push",)),
        games=games,
        null_games=games,
        max_loops=max_loops,
    )
    policy = NetworkPolicy(load_agent(agent), config.policy)
    show.evaluation(win_rate.evaluate(policy, config, seed, out), out, as_json)


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="A .SC2Replay of the real game, or a .skyr recording of ours.")],
    out: Annotated[Path | None, typer.Option("--out", help="Where the tables of a .SC2Replay go.")] = None,
    as_json: AsJson = False,
) -> None:
    """Import a real replay into Parquet tables, or play an own recording again and check that it ends alike."""
    from skyloom.app import starcraft_show as show

    if file.suffix.lower() == ".skyr":
        show.own_replay(file, as_json)
    else:
        show.imported(file, out, as_json)
