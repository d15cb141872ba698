"""What users' code raises: kept where it was raised, and told as JSON data.

Whatever a step, a tool or a callback raises ends that and nothing else. Two things see to it:
`Guard` makes an ordinary exception of what would end a task, an event loop or the process, and
`error_to_json` turns any exception into data that can be stored, whatever the exception is like.
"""

from __future__ import annotations

import asyncio
import contextlib
import dis
import inspect
import signal
import threading
import traceback
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping
from types import CodeType, TracebackType
from typing import Any, Final, TypeVar, cast

from mastra.cancellation import cancel_requests, forget_requests, is_cancelled
from mastra.errors import MastraError, StepError, StorageError, UserCodeError
from mastra.jsonable import Json, dump_json, load_json
from mastra.logs import get_logger

__all__ = [
    "Guard",
    "Signal",
    "Told",
    "call_all",
    "call_user",
    "contained",
    "details_of",
    "error_to_json",
    "name_of",
    "one_error",
    "place_in_code",
    "text_of",
]

MAX_TEXT = 16_384
"""How many characters of a message are kept."""

MAX_DETAILS_BYTES = 65_536
MAX_DEPTH = 8
"""How far causes and members of groups are followed."""

MAX_ERRORS = 50
"""How many exceptions one failure may tell of, causes and members together."""


class Signal(BaseException):
    """Base of the control flow of this package, which passes through users' code."""


# -- in its place --------------------------------------------------------------------------------


class Guard:
    """Stands around a piece of users' code, and tells a real end from what the code raised.

    Made before the code runs, in the task that runs it.

    Args:
        requests: How often the task had been told to cancel before; left out, so often as now.
    """

    __slots__ = ("_requests", "_task")

    def __init__(self, requests: int | None = None) -> None:
        self._task = asyncio.current_task()
        self._requests = cancel_requests() if requests is None else requests

    def contain(self, error: BaseException) -> Exception:
        """Return what the code raised as an ordinary exception.

        Raises:
            BaseException: The error itself, where somebody has cancelled the task, a signal ends
                the process, or it is a signal of this package.
        """
        if _is_ordinary(error):
            return cast("Exception", error)
        if self._is_real(error):
            raise error
        if self._task is not None and issubclass(type(error), asyncio.CancelledError):
            forget_requests(self._task, self._requests)
        return contained(error)

    def _is_real(self, error: BaseException) -> bool:
        kind, task = type(error), self._task
        if issubclass(kind, Signal):
            return True
        if issubclass(kind, asyncio.CancelledError):
            return task is None or is_cancelled(task, self._requests)
        if issubclass(kind, GeneratorExit):
            return task is not _running_task()  # the coroutine is being closed
        if issubclass(kind, BaseExceptionGroup):
            return any(issubclass(type(member), Signal) for member in all_members(error))
        return issubclass(kind, (KeyboardInterrupt, SystemExit)) and _is_of_the_process(error)


_ITERATION = (StopIteration, StopAsyncIteration)


def _running_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _is_ordinary(error: BaseException) -> bool:
    """Return whether `except Exception` is for an error, and whoever gets it may look at it."""
    kind = type(error)
    return issubclass(kind, Exception) and not issubclass(kind, _ITERATION) and _is_tame(error)


# What an exception is, whatever code of the user's says that it is: `isinstance` asks `__class__`.
_FACTS: Final = {
    name: BaseException.__dict__[name].__get__
    for name in ("__cause__", "__context__", "__suppress_context__", "__traceback__")
}
_members_of: Final = BaseExceptionGroup.__dict__["exceptions"].__get__


def _fact(error: BaseException, name: str) -> Any:
    return _FACTS[name](error)


def _is_tame(error: BaseException) -> bool:
    """Return whether an exception can be asked about itself, and tells the truth."""
    try:
        getattr(error, "__notes__", None)
        return error.__class__ is type(error) and all(
            getattr(error, name) is read(error) for name, read in _FACTS.items()
        )
    except BaseException:  # noqa: BLE001 - that is what was to be found out
        return False


def all_members(group: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions of a group and of the groups in it, whatever these say of themselves."""
    for member in _members_of(group):
        if issubclass(type(member), BaseExceptionGroup):
            yield from all_members(member)
        else:
            yield member


@contextlib.contextmanager
def one_error() -> Generator[None]:
    """Raise the first exception of a task group of this package's, in place of the group.

    Whoever waits for the tasks asks of which class it is: whether a storage is away, or a run is
    another process's.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        first = next(all_members(group))
    else:
        return
    raise first


async def call_all(*calls: Callable[[], Awaitable[object]]) -> None:
    """Await one call after the other, whatever one of them raises.

    Raises:
        Exception: The first that one raised; the log has the others.
    """
    raised: list[Exception] = []
    for call in calls:
        try:
            await call()
        except Exception as error:  # noqa: BLE001 - raised, or told of, when all were made
            raised.append(error)
    for error in raised[1:]:
        get_logger().error("This failed, too: %s", text_of(error), exc_info=error)
    if raised:
        raise raised[0]


def contained(error: BaseException) -> Exception:
    """Return an exception that stands for one that `except Exception` would let through.

    So it does for one that raises, or lies, when it is asked about itself: `isinstance`, logging
    and tracebacks ask.
    """
    name, text = name_of(error), text_of(error)
    if issubclass(type(error), asyncio.CancelledError):
        text = "it awaited something that was cancelled, and nobody had cancelled the run"
    told = text if text.startswith(name) else f"{name}: {text}"
    made = UserCodeError(f"Your code raised {told}.", details={"name": name})
    made.raised = error
    if _is_tame(error):
        made.__cause__ = error
    return made


_PLAIN = frozenset({bool, type(None), str, int, float, dict, list})
"""What most functions return; to find out that other things need no await takes longer."""


async def call_user(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of the user's, sync or async, and return what it gives.

    Raises:
        Exception: Whatever it raises, always as an ordinary exception.
    """
    requests: int | None = None
    try:
        made = function(*arguments)
        if type(made) in _PLAIN or not inspect.isawaitable(made):
            return made
        requests = cancel_requests()  # only while it is waited for can somebody cancel
        return await made
    except BaseException as error:
        found = Guard(requests).contain(error)
        if found is error:
            raise
    raise found  # with no context but its cause


def _is_of_the_process(error: BaseException) -> bool:
    """Return whether a signal that the process got has raised it, not the code that it met."""
    if threading.current_thread() is not threading.main_thread():
        return False
    handlers = {code for code in map(_handler_code, signal.valid_signals()) if code is not None}
    trace, last = _fact(error, "__traceback__"), None
    while trace is not None:
        if trace.tb_frame.f_code in handlers:
            return True
        last, trace = trace, trace.tb_next
    if not issubclass(type(error), KeyboardInterrupt) or last is None:
        return False
    # Python's own handler has no frame: the interrupt comes out of any instruction.
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return is_default and not _is_at_raise(last)


def _handler_code(number: int) -> CodeType | None:
    handler: Any = signal.getsignal(number)
    while hasattr(handler, "func"):  # a partial
        handler = handler.func
    return getattr(getattr(handler, "__func__", handler), "__code__", None)


def _is_at_raise(trace: TracebackType) -> bool:
    code = trace.tb_frame.f_code.co_code
    at = trace.tb_lasti
    return 0 <= at < len(code) and dis.opname[code[at]] in ("RAISE_VARARGS", "RERAISE")


# -- as data -------------------------------------------------------------------------------------


def name_of(error: BaseException) -> str:
    """Return the name of an exception's class."""
    # The descriptor itself: a metaclass may say something else, or raise.
    return _clean(type.__dict__["__name__"].__get__(type(error)))


def text_of(error: BaseException) -> str:
    """Return what an exception says; its class's name where it says nothing. Never raises."""
    name = name_of(error)
    try:
        # A subclass may say something else here than `str()` does, and is read as it is.
        is_own = issubclass(type(error), MastraError)
        found: Any = cast("MastraError", error).message if is_own else str(error)
        text = _clean(found if isinstance(found, str) else str(found))
    except BaseException as other:  # noqa: BLE001 - the text is for readers; the failure is not lost
        return f"{name}, of which the text cannot be read: str() raised {name_of(other)}"
    if issubclass(type(error), SystemExit) and text:
        return f"{name}: {text}"
    return text or name


def _clean(text: str) -> str:
    """Return text that can be encoded, of a bounded length."""
    known = str.__str__(text)  # a subclass may slice, or be as long, as it likes
    plain = known[: MAX_TEXT + 1].encode("utf-8", "backslashreplace").decode()
    if len(known) > MAX_TEXT:
        return f"{plain[:MAX_TEXT]}… ({len(known):,} characters in all)"
    return plain


def error_to_json(error: BaseException, *, to_callers: bool = False) -> dict[str, Json]:
    """Return an exception as Mastra writes it: `message`, `name`, and what else it tells.

    That is its `code`, its `details`, the `issues` of a validation, its `cause`; of a group its
    members as `details.errors`, and its notes as `details.notes`. No other attribute is told:
    it may hold a key or a customer's data. Never raises.

    Args:
        error: The exception.
        to_callers: Whether callers read it: of the storage, wherever in it that is, they are told
            neither which database it is nor what its driver said, which is for the log.
    """
    return _Teller(to_callers=to_callers).tell(error, 0)


class _Teller:
    """Tells of one failure: how much of it is left to tell, and what has been told."""

    __slots__ = ("_left", "_to_callers", "_told")

    def __init__(self, *, to_callers: bool) -> None:
        self._to_callers = to_callers
        self._left = MAX_ERRORS
        self._told: set[int] = set()

    def tell(self, error: BaseException, depth: int) -> dict[str, Json]:
        """Return one exception with what it comes from."""
        if type(error) is UserCodeError and error.raised is not None:
            error = error.raised
        self._left -= 1
        self._told.add(id(error))
        if self._to_callers and issubclass(type(error), StorageError):
            code = str(_quietly(lambda: _code_of(error)))
            return {"message": StorageError.told(code), "name": name_of(error), "code": code}
        details = details_of(error)
        if issubclass(type(error), StepError) and "name" in details:
            return details  # made from what was stored of its cause, and that is all of it
        data: dict[str, Json] = {"message": text_of(error), "name": name_of(error)}
        code = _quietly(lambda: _code_of(error))
        if code is not None:
            data["code"] = code
        notes = _quietly(lambda: _notes_of(error))
        if notes is not None:
            details["notes"] = notes
        if issubclass(type(error), BaseExceptionGroup) and depth < MAX_DEPTH:
            self._tell_members(error, details, depth)
        if details:
            data["details"] = details
        issues = _quietly(lambda: _issues_of(error))
        if issues:
            data["issues"] = issues
        cause = _cause_of(error)
        if cause is not None and depth < MAX_DEPTH and self._left > 0 and self._is_new(cause):
            data["cause"] = self.tell(cause, depth + 1)
        return data

    def _is_new(self, error: BaseException) -> bool:
        return id(error) not in self._told

    def _tell_members(self, group: BaseException, details: dict[str, Json], depth: int) -> None:
        found = _members_of(group)
        members: list[Json] = []
        for member in found:
            if self._left <= 0:
                details["errorCount"] = len(found)
                break
            if self._is_new(member):
                members.append(self.tell(member, depth + 1))
        details["errors"] = members


T = TypeVar("T")


def _quietly(read: Callable[[], T]) -> T | None:
    """Return what a function reads of an exception, or `None` where that raises.

    Everything about an exception may be code of the user's: properties, mappings that are gone by
    now, stand-ins that raise whatever is asked of them.
    """
    try:
        return read()
    except BaseException:  # noqa: BLE001 - the failure itself is told, without what cannot be read
        return None


def details_of(error: BaseException) -> dict[str, Json]:
    """Return the `details` of an exception as JSON data, without what JSON cannot hold."""
    return _quietly(lambda: _mapping(error, "details")) or {}


def _cause_of(error: BaseException) -> BaseException | None:
    cause = _fact(error, "__cause__")
    if cause is None and not _fact(error, "__suppress_context__"):
        cause = _fact(error, "__context__")
    return cause


def _code_of(error: BaseException) -> Json:
    code = getattr(error, "code", None)
    if isinstance(code, str):
        return _clean(code)
    return _jsonable(code) if isinstance(code, int) and not isinstance(code, bool) else None


def _notes_of(error: BaseException) -> Json:
    notes = getattr(error, "__notes__", None)
    if not isinstance(notes, list):
        return None
    some = cast("list[Any]", notes)[:MAX_ERRORS]
    return [_clean(note) for note in some if issubclass(type(note), str)]


def _issues_of(error: BaseException) -> Json:
    return _jsonable(getattr(error, "issues", None)) if isinstance(error, MastraError) else None


def _mapping(error: BaseException, name: str) -> dict[str, Json]:
    """Return a mapping of an exception as JSON data, without the entries that JSON cannot hold."""
    found: Any = getattr(error, name, None)
    if not isinstance(found, Mapping) or not found:
        return {}
    values = cast("Mapping[Any, Any]", found)
    whole = _jsonable(values)
    if isinstance(whole, dict):
        return cast("dict[str, Json]", whole)
    pairs = [(key, _jsonable(values[key])) for key in values if isinstance(key, str)]
    return {_clean(key): value for key, value in pairs if value is not None}


def _jsonable(value: Any) -> Json:
    """Return JSON data, or `None` where the value cannot be that or is too large."""
    if value is None:
        return None
    try:
        encoded = dump_json(value)
        return load_json(encoded) if len(encoded) <= MAX_DETAILS_BYTES else None
    except BaseException:  # noqa: BLE001 - any serialiser of the user's may run here
        return None


class Told:
    """What users' code raised, and where, put into words when somebody reads them."""

    __slots__ = ("_error",)

    def __init__(self, error: BaseException) -> None:
        self._error = error

    @property
    def name(self) -> str:
        """The name of its class: all that is for everybody."""
        return name_of(self._error)

    def __str__(self) -> str:
        place = place_in_code(self._error, own=True)
        where = "" if place is None else f" ({place})"
        return f"{name_of(self._error)}: {text_of(self._error)}{where}"


def place_in_code(error: BaseException, *, own: bool = False) -> str | None:
    """Return where users' own code raised an error, as `file:line in function`.

    Their own is what neither is this package nor came with Python or was installed; where there is
    no such thing, what was installed, unless `own` is all that is asked for. `None` where the error
    went through neither.
    """
    # Only where something has failed: both take a while to load.
    import sysconfig  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    here, standard = str(Path(__file__).parent), sysconfig.get_path("stdlib")
    frames = [
        (code.co_filename, f"{line} in {code.co_name}")
        for code, line in _places(_fact(error, "__traceback__"))
        if not code.co_filename.startswith(here)
    ]
    theirs = [one for one in frames if "site-packages" not in one[0]]
    theirs = [one for one in theirs if not one[0].startswith(standard)] or ([] if own else frames)
    if theirs:
        file, rest = theirs[-1]
        return f"{file.removeprefix(f'{Path.cwd()}/')}:{rest}"
    cause = error.raised if type(error) is UserCodeError else _fact(error, "__cause__")
    return None if cause is None else place_in_code(cause, own=own)


def _places(raised: TracebackType | None) -> Iterator[tuple[CodeType, int]]:
    return ((frame.f_code, line) for frame, line in traceback.walk_tb(raised))
