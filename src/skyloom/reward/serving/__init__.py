"""The parts of the reward server: what requests look like (`wire`), who is scored when (`batcher`), what is counted (`counts`)."""
