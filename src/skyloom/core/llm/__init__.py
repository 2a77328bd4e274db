"""Language models: backbones, chat templates, batching, generation and the teacher client."""
