"""A node in one sealed file, and the way back: restore, then silence until the superior has spoken."""
