"""The HTTP side: what every request meets first, accounts and sessions, and the JSON API."""
