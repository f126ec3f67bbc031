"""A node as a process: its folder, its configuration, its database, its links and its witness."""
