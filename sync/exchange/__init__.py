"""What passes between nodes: frames upward, numbered letters downward, the channel below both, and their faults."""
