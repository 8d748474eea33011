"""The one way in which an operation says no to what it was asked."""


class RefusedError(ValueError):
    """The request breaks a rule; the message names it, and is answered with a 400."""
