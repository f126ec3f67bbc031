"""The HTTP side: what every request meets first, sessions, and the JSON API."""
