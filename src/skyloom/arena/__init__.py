"""The game that starcraft learns in: an engine, views, maps and scripted players; never imports torch.

Bot against bot, and the same game again:

    from skyloom.arena import match, recording
    record = match.play("basin", [match.bot("marine_push"), match.bot("slow_push")], seed=7, max_loops=20_000)
    record.winner                                   # 1 or 2; 0 = draw
    again = recording.from_bytes(record.to_bytes())
    recording.replay(again, visit=lambda player, view, action: ...)   # raises BadRecording if the game comes out differently

Many games at once, for an agent (all names and sizes in `spec`; arrays in `view`):

    games = match.Games("basin", seeds=(1, 2, 3), max_loops=20_000)
    while len(games.waiting):                       # rows (game, player) whose decision is due, player 1 or 2
        views = games.observe()                     # Views: K rows, in the order of games.waiting
        masks = view.masks(views)                   # kinds (K, A), units (K, A, U), targets (K, A, X); and view.position_mask
        games.act([spec.Action(kind=..., units=..., skip=...) for _ in range(len(views))])
    games.winners                                   # (N,) 1, 2 or 0 for a draw; -1 while a game runs
    games.recording(0)

`games.restart(index, seed)` starts a finished game anew in its place.

A player is any object with `reset(seed, player_id, start)` and `act(view) -> Action`; see `match.Player`.
"""
