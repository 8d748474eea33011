"""What a fleet remembers: the protocol, and SQLite behind it."""
