"""The account's time, which may differ from the machine's."""

from datetime import UTC, datetime, timedelta


class Clock:
    """Wall-clock time in UTC, which a test can set and move; it runs on from there."""

    def __init__(self) -> None:
        self._shift = timedelta()

    def now(self) -> datetime:
        """Return the account's time, aware, in UTC."""
        return datetime.now(UTC) + self._shift

    def set(self, moment: datetime) -> None:
        """Make it `moment` now; a naive datetime counts as UTC."""
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        self._shift = aware - datetime.now(UTC)

    def move(self, seconds: float) -> None:
        """Move by `seconds`, backwards if negative."""
        self._shift += timedelta(seconds=seconds)
