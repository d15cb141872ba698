"""When something is to happen again: cron expressions in a time zone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Final

from mastra.errors import ConfigError
from mastra.extras import needs

__all__ = ["Cron", "check_zone", "cron_of", "plain_fields"]

_NAMED: Final[Mapping[str, str]] = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_FIRST_MS: Final = int(datetime(1, 1, 2, tzinfo=UTC).timestamp() * 1000)


class Cron:
    """An expression of five fields, or of six with seconds first, in a time zone.

    Where clocks are put forward, a time of day that is left out comes as soon as there is one
    again; where they are put back, a time of day that is there twice comes the first time. What
    comes every hour or more often, and what has seconds, keeps its distance.

    Args:
        expression: Such as `"0 9 * * MON-FRI"`, or a name such as `"@daily"`. It may begin with
            `TZ=Europe/Berlin `.
        timezone: An IANA name; left out, that of the expression, else UTC.

    Raises:
        ConfigError: It is no such expression, there is no such zone, or it never comes.
        MissingDependencyError: The extra `schedules` is not installed.
    """

    def __init__(self, expression: str, timezone: str | None = None) -> None:
        with needs("schedules", "A schedule"):
            from cronsim import CronSim, CronSimError  # noqa: PLC0415 - an extra
        self.expression = expression
        zone, self._fields = plain_fields(expression)
        self._zone = _zone_of(timezone or zone)
        self._moments = CronSim
        try:
            self.next_after(0)
        except CronSimError as error:
            reason = str(error)
            raise ConfigError(
                f"{expression!r} is no cron expression: {reason[:1].lower()}{reason[1:]}. Use five "
                "fields (minute, hour, day of month, month, day of week), or six with seconds "
                "first, such as '0 9 * * MON-FRI'."
            ) from None

    def next_after(self, ms: int) -> int:
        """Return the first moment after another one, both in milliseconds since 1970.

        Raises:
            ConfigError: There is none.
        """
        try:
            # A day in from the first year, since zones are up to a day away from UTC.
            start = datetime.fromtimestamp(max(ms, _FIRST_MS) / 1000, self._zone)
            for found in self._moments(self._fields, start):
                # Of a time of day that is there twice it names the first, from the second hour too.
                at = round(found.timestamp() * 1000)
                if at > ms:
                    return at
        except (OverflowError, ValueError, OSError):
            raise ConfigError(
                f"The cron expression {self.expression!r} comes no more: the calendar ends with the "
                "year 9999."
            ) from None
        raise ConfigError(f"The cron expression {self.expression!r} never comes.")


def cron_of(expression: str, timezone: str | None = None) -> Cron:
    """Return an expression that has been looked at before, or look at it.

    Raises:
        ConfigError: It is none.
    """
    is_text = isinstance(expression, str) and isinstance(timezone, str | None)
    return _known(expression, timezone) if is_text else Cron(expression, timezone)


@lru_cache(maxsize=256)
def _known(expression: str, timezone: str | None) -> Cron:
    return Cron(expression, timezone)


def plain_fields(expression: str) -> tuple[str | None, str]:
    """Return the zone that an expression begins with, and its fields without a name for them.

    Raises:
        ConfigError: It is no text.
    """
    if not isinstance(expression, str) or not expression.strip():
        raise ConfigError(f"A cron expression is a text such as '0 9 * * *', not {expression!r}.")
    first, _, rest = expression.strip().partition(" ")
    name, _, zone = first.partition("=")
    is_zone = name in ("TZ", "CRON_TZ")
    fields = (rest if is_zone else expression).strip()
    return (zone if is_zone else None), _NAMED.get(fields.lower(), fields)


def check_zone(name: str) -> None:
    """Refuse a time zone that there is not, where this machine knows any.

    Raises:
        ConfigError: There is no such zone.
    """
    try:
        _zone_of(name)
    except ConfigError:
        from zoneinfo import available_timezones  # noqa: PLC0415 - reads a folder

        if available_timezones():
            raise


def _zone_of(name: str | None) -> tzinfo:
    if name is None:
        return UTC
    if not isinstance(name, str):
        raise ConfigError(f"A time zone is a name such as 'Europe/Berlin', not {name!r}.")
    if name.upper() == "UTC":
        return UTC
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - only where a zone is named

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ConfigError(
            f"There is no time zone {name!r} here. Use a name such as 'Europe/Berlin'; where the "
            "machine knows none of them, install the package tzdata."
        ) from None
