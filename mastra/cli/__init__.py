"""The command line `mastra`. No logic of its own: it calls what the library offers."""
