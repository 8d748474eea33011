"""A stateful stand-in for Plivo."""
