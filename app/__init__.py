"""The reference app: the Mastra object, its backend and its command line."""
