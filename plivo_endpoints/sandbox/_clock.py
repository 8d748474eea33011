"""The account's time, which may differ from the machine's."""

from datetime import UTC, datetime, timedelta

_FIRST_YEAR, _LAST_YEAR = 1970, 9000


class Clock:
    """A UTC clock that a test can set and move, and that keeps running from there."""

    def __init__(self) -> None:
        self._shift = timedelta()

    def now(self) -> datetime:
        """Return the account's time, as an aware datetime in UTC."""
        return datetime.now(UTC) + self._shift

    def set(self, moment: datetime) -> None:
        """Set the time to `moment`; a naive datetime is taken as UTC.

        Raises:
            ValueError: `moment` is before 1970 or after 8999.
        """
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        self._shift_by(aware - datetime.now(UTC))

    def move(self, seconds: float) -> None:
        """Move the time by `seconds`, backwards if negative.

        Raises:
            ValueError: the time would be before 1970 or after 8999.
        """
        self._shift_by(self._shift, seconds)

    def reset(self) -> None:
        """Return to the machine's time."""
        self._shift = timedelta()

    def _shift_by(self, shift: timedelta, seconds: float = 0) -> None:
        try:
            shift += timedelta(seconds=seconds)
            year = (datetime.now(UTC) + shift).year
        except (OverflowError, ValueError):  # NaN raises ValueError
            year = 0
        # This leaves room before Python's last year, 9999, for durations that are added later.
        if not _FIRST_YEAR <= year < _LAST_YEAR:
            raise ValueError("the clock must be between 1970 and 8999")
        self._shift = shift
