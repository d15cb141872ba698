"""How a process starts what is scheduled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from mastra.errors import ConfigError
from mastra.given import COUNT, FLAG, FUNCTION, SECONDS, check_given, having
from mastra.names import python_names, python_options

__all__ = ["SchedulerConfig", "settings_of"]


_FORMS: Final = {
    "enabled": FLAG,
    "tick_interval": SECONDS,
    "batch_size": COUNT,
    "keep_triggers": having("a timedelta", "total_seconds"),
    "on_error": FUNCTION,
}


@python_names
@python_options
@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerConfig:
    """How a process starts what is scheduled: `Mastra(scheduler=SchedulerConfig(…))`."""

    enabled: bool = True
    """Whether it does at all; otherwise the other processes on the storage do."""
    tick_interval: float = 1.0
    """How often, in seconds, a storage that others write to is asked what they have scheduled."""
    batch_size: int = 50
    """How much is started at once."""
    keep_triggers: timedelta | None = timedelta(days=30)
    """For how long it is kept when what was started; `None` for ever."""
    on_error: Callable[[Exception, str], Any] | None = None
    """Called with what prevented a start, and the id of the schedule."""

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in _FORMS}
        check_given("SchedulerConfig", given, _FORMS)
        if self.tick_interval <= 0 or self.batch_size < 1:
            raise ConfigError(
                f"SchedulerConfig has tick_interval={self.tick_interval} and batch_size="
                f"{self.batch_size}. Use a number of seconds above 0, and 1 or more."
            )


def settings_of(given: SchedulerConfig | bool | None) -> SchedulerConfig:
    """Return the settings that `Mastra(scheduler=…)` was given, or whether it is to start anything."""
    if given is None or isinstance(given, bool):
        return SchedulerConfig(enabled=given is not False)
    return given
