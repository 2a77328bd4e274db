"""Real StarCraft II replays, decoded without the game: commands with their selections, tracker events, the header.

Flow  a .SC2Replay file -> decode -> tables of commands, tracker events and player statistics -> sources/sc2replay.py,
      app
"""
