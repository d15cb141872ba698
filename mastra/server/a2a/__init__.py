"""Agents of this server for the protocol A2A. Its SDK is imported when it is first spoken."""
