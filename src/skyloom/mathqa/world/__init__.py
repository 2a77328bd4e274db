"""The mathqa world: a grammar of problems with known answers, and the teacher's side that reads its texts."""
