"""System 1, Skywork-Reward (arXiv 2410.18451): curate preference pairs, train and check a reward model."""
