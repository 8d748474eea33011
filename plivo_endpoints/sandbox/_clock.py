"""The account's time, which may differ from the machine's."""

from datetime import UTC, datetime, timedelta

_FIRST_YEAR, _LAST_YEAR = 1970, 9000
_OUT_OF_RANGE = "the clock goes from 1970 to 8999"


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
        try:
            self._shift_by(self._shift + timedelta(seconds=seconds))
        except OverflowError:
            raise ValueError(_OUT_OF_RANGE) from None

    def _shift_by(self, shift: timedelta) -> None:
        # Room to the end of Python's calendar, for what is added to the time later.
        if not _FIRST_YEAR <= (datetime.now(UTC) + shift).year < _LAST_YEAR:
            raise ValueError(_OUT_OF_RANGE)
        self._shift = shift
