"""The state of one run: what was said, used and streamed, what it waits for, how it is told to stop."""
