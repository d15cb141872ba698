"""OpenAI's API in front of agents: an agent is a model. See `mastra.server.openai_route`."""
