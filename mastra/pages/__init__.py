"""What the protocols of pages share: chats, turns, and what is told of a run."""
