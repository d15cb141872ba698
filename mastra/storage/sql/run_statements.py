"""Statements on runs, each built for what it is asked to look at and to change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Delete,
    Select,
    Update,
    and_,
    bindparam,
    case,
    delete,
    false,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.types import BigInteger, Text

from mastra.storage.sql.json_fields import number_at, text_at
from mastra.storage.sql.leases import driver_of, is_unled
from mastra.storage.sql.statements import equal, limited, matches, named
from mastra.storage.sql.tables import HEAD_COLUMNS, runs
from mastra.storage.waiting import IN_INPUT, SINCE, THREAD

__all__ = [
    "Filter",
    "claim_run",
    "count_runs",
    "count_waiting",
    "delete_old_runs",
    "delete_run",
    "is_run",
    "keep_answer",
    "list_runs",
    "list_unled",
    "list_waiting",
    "select_run",
    "update_run",
]

_columns = runs.c
_HEAD = [_columns[name] for name in HEAD_COLUMNS]

Filter = tuple[str, int]
"""A condition on runs: `from_ms`, `to_ms`, `status` or `of_<column>`; and how many values."""


def is_run() -> ColumnElement[bool]:
    """Return the condition that picks one run, by `of_workflow_id` and `of_run_id`."""
    return and_(*equal(runs, "of_workflow_id", "of_run_id"))


def select_run() -> Select[Any]:
    """Build the query for one run."""
    return select(*_HEAD).where(is_run())


def update_run(
    names: Iterable[str], statuses: int | None, held: Iterable[str], *, is_now: bool
) -> Update:
    """Build the statement that rewrites columns, given as `new_<column>`.

    Args:
        names: Which columns.
        statuses: How many statuses are fine, as `status_<n>`; `None` for any.
        held: The columns that must be as `expected_<name>` says.
        is_now: Whether `updated_at` is the clock's, so that it is to be later than the one before.
    """
    conditions = [is_run()]
    if statuses is not None:
        conditions.append(_is_one_of("status", statuses))
    conditions += [_columns[name] == named(f"expected_{name}", _columns[name]) for name in held]
    new: dict[str, Any] = {name: named(f"new_{name}", _columns[name]) for name in names}
    if is_now:
        before = _columns.updated_at
        new["updated_at"] = case((before < new["updated_at"], new["updated_at"]), else_=before + 1)
    return update(runs).where(*conditions).values(new)


def keep_answer(statuses: int) -> Update:
    """Build the statement that adds to a run's answers."""
    answers = _columns.answers
    return (
        update(runs)
        .where(is_run(), _is_one_of("status", statuses))
        .values(
            answers=func.coalesce(answers.concat(","), "").concat(named("new_answers", answers))
        )
    )


def list_runs(filters: Iterable[Filter], *, has_limit: bool) -> Select[Any]:
    """Build the query for a page of runs, the newest first."""
    query = select(*_HEAD).where(*_conditions(filters))
    query = query.order_by(_columns.created_at.desc(), _columns.run_key.desc())
    query = query.offset(bindparam("offset", type_=BigInteger))
    return limited(query) if has_limit else query


def count_runs(filters: Iterable[Filter]) -> Select[int]:
    """Build the query for how many runs there are."""
    return select(func.count()).select_from(runs).where(*_conditions(filters))


def list_waiting(
    dialect: str, workflows: int, filters: Iterable[str], *, has_limit: bool
) -> Select[Any]:
    """Build the query for a page of an agent's runs that wait, the latest to wait first."""
    query = select(*_HEAD).where(*_waits(dialect, workflows, filters))
    query = query.order_by(_since(dialect).desc(), _columns.run_key.desc())
    query = query.offset(bindparam("offset", type_=BigInteger))
    return limited(query) if has_limit else query


def count_waiting(dialect: str, workflows: int, filters: Iterable[str]) -> Select[int]:
    """Build the query for how many there are."""
    found = select(func.count()).select_from(runs)
    return found.where(*_waits(dialect, workflows, filters))


def _since(dialect: str) -> ColumnElement[Any]:
    return func.coalesce(number_at(_columns.data, SINCE, dialect), _columns.updated_at)


def _waits(dialect: str, workflows: int, filters: Iterable[str]) -> list[ColumnElement[bool]]:
    data, status, since = _columns.data, _columns.status, _since(dialect)
    agent_id = bindparam("agent_id", type_=Text)
    is_answered = and_(
        status == named("answered_status", status),
        number_at(data, SINCE, dialect).is_not(None),
        is_unled(dialect, is_shared=True),
    )
    conditions = [
        _is_one_of("workflow_id", workflows),
        or_(status == named("waiting_status", status), is_answered),
        func.coalesce(text_at(data, ("agentId",), dialect), agent_id) == agent_id,
    ]
    for name in filters:
        match name:
            case "from_ms":
                conditions.append(since >= named(name, _columns.updated_at))
            case "to_ms":
                conditions.append(since <= named(name, _columns.updated_at))
            case "thread_id":
                places = [text_at(_columns.input, path, dialect) for path in IN_INPUT]
                thread = func.coalesce(text_at(data, THREAD, dialect), *places)
                conditions.append(thread == bindparam(name, type_=Text))
            case _:
                conditions += equal(runs, name)
    return conditions


def delete_run() -> Delete:
    """Build the statement that removes a run. Its journal goes with it."""
    return delete(runs).where(is_run())


def delete_old_runs(filters: Iterable[Filter]) -> Delete:
    """Build the statement that removes some of the runs updated before `before`."""
    is_old = _columns.updated_at < named("before", _columns.updated_at)
    old = limited(select(_columns.run_key).where(is_old, *_conditions(filters)))
    return delete(runs).where(_columns.run_key.in_(old))


def claim_run(dialect: str, dead_owners: int, *, is_shared: bool) -> Update:
    """Build the statement that puts a run that nobody drives under a claim."""
    owner = _columns.owner
    return (
        update(runs)
        .where(
            is_run(),
            or_(
                owner == named("new_owner", owner),
                _is_one_of("owner", dead_owners),
                is_unled(dialect, is_shared=is_shared),
            ),
        )
        .values(
            owner=named("new_owner", owner),
            lease_until=named("new_lease_until", _columns.lease_until),
        )
    )


def list_unled(dialect: str, workflows: int, dead: int) -> Select[str, str, str | None]:
    """Build the query for runs that nobody drives and that can go on."""
    owners = matches("owner", _columns.owner, dead)
    is_dead = driver_of(runs).in_(owners) if owners else false()
    return limited(
        select(_columns.workflow_id, _columns.run_id, _columns.owner)
        .where(
            or_(
                _is_one_of("status", 2),
                and_(
                    _columns.status == named("waiting_status", _columns.status),
                    _columns.answers.is_not(None),
                ),
            ),
            _is_one_of("workflow_id", workflows),
            or_(is_unled(dialect, is_shared=True), is_dead),
        )
        .order_by(_columns.created_at)
    )


def _is_one_of(name: str, count: int) -> ColumnElement[bool]:
    column = _columns[name]
    return column.in_(matches(name, column, count)) if count else false()


def _conditions(filters: Iterable[Filter]) -> list[ColumnElement[bool]]:
    created = _columns.created_at
    conditions: list[ColumnElement[bool]] = []
    for name, count in filters:
        match name:
            case "from_ms":
                conditions.append(created >= named(name, created))
            case "to_ms":
                conditions.append(created <= named(name, created))
            case "status":
                conditions.append(_is_one_of(name, count))
            case _:
                conditions += equal(runs, name)
    return conditions
