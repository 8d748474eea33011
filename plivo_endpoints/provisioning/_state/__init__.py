"""The state of a fleet: its protocol, and the SQLite implementation."""
