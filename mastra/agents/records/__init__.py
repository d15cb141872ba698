"""What is recorded of a run, each thing once, and how a run goes on from that."""
