"""System 2, Skywork-Math (arXiv 2407.08348): synthesise, verify, fine-tune, measure."""
