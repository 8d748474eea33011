"""The account's time, which may differ from the machine's."""

from datetime import UTC, datetime, timedelta

_FIRST_YEAR, _LAST_YEAR = 1970, 9000


class Clock:
    """Wall-clock time in UTC, which a test can set and move; it runs on from there."""

    def __init__(self) -> None:
        self._shift = timedelta()

    def now(self) -> datetime:
        """Return the account's time, aware, in UTC."""
        return datetime.now(UTC) + self._shift

    def set(self, moment: datetime) -> None:
        """Make it `moment` now; a naive datetime counts as UTC.

        Raises:
            ValueError: before 1970 or after 8999.
        """
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        self._shift_by(aware - datetime.now(UTC))

    def move(self, seconds: float) -> None:
        """Move by `seconds`, backwards if negative.

        Raises:
            ValueError: to before 1970 or after 8999.
        """
        self._shift_by(self._shift, seconds)

    def _shift_by(self, shift: timedelta, seconds: float = 0) -> None:
        try:
            shift += timedelta(seconds=seconds)
            year = (datetime.now(UTC) + shift).year
        except (OverflowError, ValueError):  # not a number is a ValueError
            year = 0
        # Room to the end of Python's calendar, for what is added to the time later.
        if not _FIRST_YEAR <= year < _LAST_YEAR:
            raise ValueError("the clock goes from 1970 to 8999")
        self._shift = shift
