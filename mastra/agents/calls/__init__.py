"""The tool calls of a step: how they run, what came of them; an agent as a tool of another."""
