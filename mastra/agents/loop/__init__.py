"""Model, tools, model, until a stop: what a run does, moment by moment."""
