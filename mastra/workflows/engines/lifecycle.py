"""One leg of a run from its beginning to its end, whatever engine drives it."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from mastra.clock import now_ms
from mastra.errors import RunClaimedError
from mastra.failures import call_user
from mastra.jsonable import Json
from mastra.observability.current import tracer_of
from mastra.request_context import RequestContext
from mastra.services import Services
from mastra.storage.base import RunChanges, RunHead
from mastra.threads import HomeLoop
from mastra.workflows.active import FROM_THE_TOP, NO_USAGE, ActiveRun, State, TimeTravel
from mastra.workflows.engines.commands import Command
from mastra.workflows.engines.journal import CLOSED_UP, FINAL, LoadedRun
from mastra.workflows.engines.journal_writer import JournalWriter
from mastra.workflows.engines.outcome import Outcome, result_of
from mastra.workflows.engines.patience import patiently
from mastra.workflows.engines.scoring import offer_output
from mastra.workflows.engines.tracing import close_run_span, open_run_span, trace_data
from mastra.workflows.error_data import error_from_json
from mastra.workflows.event_log import EventLog
from mastra.workflows.events import Kind, LegEnd
from mastra.workflows.records import StepRecord
from mastra.workflows.results import (
    RunFacts,
    StepResult,
    WorkflowResult,
)
from mastra.workflows.spec import WorkflowSpec
from mastra.workflows.spec_forms import forms_of
from mastra.workflows.versions.graph import note_of

if TYPE_CHECKING:
    from mastra.workflows.engines.callbacks import CallbackArgument

__all__ = [
    "begin",
    "call_on_start",
    "conclude",
    "ends_of",
    "new_run",
]


def begin(command: Command, loaded: LoadedRun | None) -> ActiveRun:
    """Return the run as this leg finds it: its journal, its state and its log so far."""
    target = command.target
    run = new_run(
        target.spec,
        target.run_id,
        command.resource_id,
        command.input,
        command.initial_state,
        request_context=command.request_context,
        services=target.services,
        home=HomeLoop(),
    )
    reopening = run.reopening = command.reopening
    run.per_step = command.per_step
    if loaded is not None:
        _continue(run, loaded)
        run.log.forms = forms_of(target.spec)
    if reopening.target is not None:
        run.open_ops = set(reopening.target.op_ids)
    if loaded is None or not _goes_on(command, run):
        run.note(Kind.START)
    tracer = tracer_of(target.services)
    if tracer is not None:
        open_run_span(
            tracer, command, run, None if loaded is None else loaded.head.data.get("trace")
        )
    return run


def new_run(
    spec: WorkflowSpec,
    run_id: str,
    resource_id: str | None,
    given: Json,
    initial_state: Mapping[str, Json],
    *,
    request_context: RequestContext,
    services: Services | None,
    home: HomeLoop,
) -> ActiveRun:
    """Return a run as it is before it has done anything."""
    run = ActiveRun(
        run_id=run_id,
        workflow_id=spec.id,
        resource_id=resource_id,
        input=given,
        state=State(dict(initial_state)),
        request_context=request_context,
        services=services,
        reopening=FROM_THE_TOP,
        per_step=False,
        usage=NO_USAGE,
        home=home,
    )
    run.log.forms = forms_of(spec)
    return run


def _goes_on(command: Command, run: ActiveRun) -> bool:
    """Return whether this leg goes on with one that was cut off; if not, it begins one."""
    entries, reopening = run.log.entries, command.reopening
    run.first_seq = run.outbox.announced = len(entries)
    last = entries.last
    if command.kind != "restart" or last is None:  # nothing of the leg is stored
        return False
    return last[0] is not Kind.FINISH or not (reopening.target or reopening.travel)


def _continue(run: ActiveRun, loaded: LoadedRun) -> None:
    """Take up what earlier legs of a run have left."""
    if loaded.is_under_way:
        loaded.has_gaps = loaded.close_up()
    if loaded.has_gaps:
        run.outbox.pending.append((CLOSED_UP, Kind.START, None, None))
    run.journal = loaded.journal
    run.latest = loaded.latest
    run.blocks.records = loaded.blocks
    run.log = EventLog(loaded.entries)
    run.order = loaded.order
    run.leg = loaded.legs
    travel, known = run.reopening.travel, cast("Any", loaded.head.data.get("travel"))
    if travel is None and known:
        # Steps before the one that an earlier leg went back to are still not to be run.
        run.reopening = replace(run.reopening, travel=TimeTravel.from_stored(known))
    dropped = () if travel is None else frozenset(travel.dropped)
    for record in loaded.journal.values():
        if record.op_id not in dropped:
            run.state.merge(record)
        _remember_blocks(run, record)
    run.base_ops = frozenset(loaded.journal)
    _continue_log(run, loaded)


def _continue_log(run: ActiveRun, loaded: LoadedRun) -> None:
    """Remember what readers were told, so that another walk does not tell it again."""
    stored = len(loaded.entries) - loaded.added
    for seq, entry in enumerate(loaded.entries):
        if entry is None:
            continue
        kind, block, value = entry
        if kind is Kind.PROGRESS and block is not None:
            _remember_progress(run, block, value)
        if seq >= stored:
            run.outbox.pending.append((seq, kind, block, value))
    for block in loaded.blocks.values():
        turn = block.resumed_at or ""
        run.blocks.marks.add(f"{block.op_id}:start:{turn}")
        if block.status != "running":
            run.blocks.marks.add(f"{block.op_id}:end:{turn}")


def _remember_blocks(run: ActiveRun, record: StepRecord) -> None:
    op_id = record.op_id
    for place, character in enumerate(op_id):
        if character == "/":
            run.blocks.begun.add(op_id[:place])
        if character == "]" and record.status == "suspended":
            run.blocks.marks.add(f"{op_id[: place + 1]}:suspended:{record.order}")


def _remember_progress(run: ActiveRun, block: StepRecord, value: dict[str, Any]) -> None:
    index, status = value["currentIndex"], value["iterationStatus"]
    if status == "success":
        run.blocks.marks.add(f"{block.op_id}[{index}]:success:")


# -- how it ended ------------------------------------------------------------------------------


async def call_on_start(command: Command) -> None:
    """Call `on_start`. What it raises refuses the run."""
    spec = command.target.spec
    assert spec.on_start is not None  # noqa: S101 - who calls has looked
    facts = RunFacts(
        command.target.run_id, spec.id, command.input, command.initial_state, {}, [], {}
    )
    facts.forms = forms_of(spec)
    await call_user(spec.on_start, _argument(command, facts, Outcome("running")))


def _argument(command: Command, facts: RunFacts, outcome: Outcome) -> CallbackArgument:
    from mastra.workflows.engines.callbacks import (  # noqa: PLC0415 - few workflows have any
        CallbackArgument,
        logger_of,
    )

    spec, services = command.target.spec, command.target.services
    forms = facts.forms
    return CallbackArgument(
        status=outcome.status,
        result=outcome.value,
        error=None
        if outcome.error is None
        else error_from_json(outcome.error, facts.causes.get("")),
        steps={
            name: StepResult.of(forms.shown(record), facts.causes.get(record.op_id))
            for name, record in facts.records.items()
        },
        run_id=facts.run_id,
        workflow_id=facts.workflow_id,
        resource_id=command.resource_id,
        state=forms.state.to_wire(facts.state),
        get_init_data=lambda: spec.input_schema.unpack(facts.input),
        mastra=services,
        request_context=command.request_context,
        logger=logger_of(services, facts.run_id, facts.workflow_id),
        tripwire=outcome.tripwire,
        step_execution_path=tuple(facts.path),
    )


async def conclude(
    command: Command, run: ActiveRun, writer: JournalWriter, outcome: Outcome
) -> WorkflowResult[Any]:
    """Store how the leg ended, then tell the readers, then call back.

    Raises:
        RunClaimedError: Another process has taken the run over.
    """
    log, spec = run.log, command.target.spec
    if outcome.status in FINAL:
        stored = writer.flush(outcome.status)
        if stored is not None:
            await stored
        # Whoever cancelled the run elsewhere wins, and that is then how it ended.
        outcome = await _save(command, run, writer, outcome)
        ends = await _store_ends(run, writer, outcome, len(log.entries))
    else:
        # Whoever resumes the run as soon as it may must find its log whole.
        ends = await _store_ends(run, writer, outcome, len(log.entries))
        settled = await _save(command, run, writer, outcome)
        if settled is not outcome:
            outcome = settled
            ends += await _store_ends(run, writer, outcome, len(log.entries) + len(ends))
    # Only what is stored is told: whoever sees the end may ask the store for the result.
    for kind, value in ends:
        log.append(kind, None, value)
    facts = RunFacts(
        run.run_id, run.workflow_id, run.input, run.state.values, run.latest, run.path, run.causes
    )
    facts.forms = log.forms
    if run.span is not None:
        facts.trace = run.span.to_stored()
    if spec.has_callbacks:
        from mastra.workflows.engines.callbacks import call_at_end  # noqa: PLC0415 - as above

        await call_at_end(spec, lambda: _argument(command, facts, outcome), outcome.status)
    if spec.scorers is not None and outcome.status == "success":
        offer_output(run, spec, run.input, outcome.raw)
    suspended = _suspended(run.journal) if outcome.status == "suspended" else []
    result = result_of(facts, outcome, suspended)
    if run.span is not None:
        close_run_span(run.span, result)
    log.close()
    return result


def _suspended(journal: Mapping[str, StepRecord]) -> list[StepRecord]:
    return [record for record in journal.values() if record.status == "suspended"]


_FINISH: Final = Kind.FINISH
_TOLD_BEFORE: Final = {"canceled": Kind.CANCELED, "paused": Kind.PAUSED}


async def _store_ends(
    run: ActiveRun, writer: JournalWriter, outcome: Outcome, place: int
) -> list[tuple[Kind, Any]]:
    """Store the events that end the leg, from a seq on, and return them."""
    ends = ends_of(run, outcome, place)
    stored = writer.flush(outcome.status) if ends else None
    if stored is not None:
        await stored
    return ends


def ends_of(run: ActiveRun, outcome: Outcome, place: int) -> list[tuple[Kind, Any]]:
    """Return the events that end the leg, from a seq on, and leave them to be stored."""
    last = run.log.entries.last if place == len(run.log.entries) else None
    if last is not None and last[0] is Kind.FINISH:
        return []  # a process had got so far, and was killed before the head was written
    status = outcome.status
    end = LegEnd(
        status, outcome.raw, outcome.has_result, outcome.error, outcome.tripwire, run.usage
    )
    ends: list[tuple[Kind, Any]] = [(_FINISH, end)]
    if status in _TOLD_BEFORE:
        ends.insert(0, (_TOLD_BEFORE[status], None))
    for kind, value in ends:
        run.outbox.pending.append((place, kind, None, value))
        place += 1
    return ends


async def _save(
    command: Command, run: ActiveRun, writer: JournalWriter, outcome: Outcome
) -> Outcome:
    """Write the head; return how the run has ended, which somebody else may have said."""
    target = command.target
    if not writer.wants(outcome.status):
        return outcome
    changes: RunChanges = {
        "status": outcome.status,
        "result": outcome.raw,
        "error": outcome.error,
        "state": run.state.values,
        "request_context": run.request_context.to_json(),
        "owner": None,
        "lease_until": 0,
        "data": head_data(command, run, outcome),
    }
    key, tries = (target.workflow_id, target.run_id), 0
    expected = ("pending", "running", "waiting", outcome.status)

    def save() -> Awaitable[bool]:
        nonlocal tries
        tries += 1
        return target.store.update_run(
            *key, changes, expected_status=expected, expected_owner=run.owner
        )

    if await patiently(save, writer.patience_s):
        writer.end_claim()
        return outcome
    head = await patiently(lambda: target.store.get_run(*key), writer.patience_s)
    if head is not None and (head.owner, head.status) == (None, outcome.status) and tries > 1:
        writer.end_claim()
        return outcome  # an earlier try got through, and its answer was lost
    if head is not None and head.owner != run.owner:
        raise RunClaimedError(
            f"Run {run.run_id!r} of workflow {run.workflow_id!r} was taken over by process "
            f"{head.owner!r}, since this one gave no sign of life."
        )
    writer.end_claim()
    if head is not None and head.status == "canceled":
        await target.store.update_run(*key, RunChanges(owner=None, lease_until=0))
        return Outcome("canceled")
    # Deleted meanwhile: nothing of it is kept, so it has come to nothing.
    return outcome if head is not None else Outcome("canceled")


def head_data(command: Command, run: ActiveRun, outcome: Outcome) -> dict[str, Json]:
    """Return what is stored of a run in no column of its own."""
    data: dict[str, Json] = {
        "initialState": command.initial_state,
        "path": list(run.path),
        **note_of(command.target.spec),
        **run.kept,
    }
    if outcome.tripwire is not None:
        data["tripwire"] = dict(outcome.tripwire)
    if outcome.has_result:
        data["hasResult"] = True
    if run.usage is not NO_USAGE and any(run.usage.values()):
        data["usage"] = dict(run.usage)
    if run.reopening.travel is not None:
        data["travel"] = run.reopening.travel.to_stored()
    if run.span is not None:
        data.update(trace_data(run))
    return data


def head_of(command: Command, status: str = "running") -> RunHead:
    """Return the head of a run that is about to begin."""
    now = now_ms()
    return RunHead(
        workflow_id=command.target.spec.id,
        run_id=command.target.run_id,
        status=status,
        resource_id=command.resource_id,
        created_at=now,
        updated_at=now,
        input=command.input,
        state=dict(command.initial_state),
        request_context=command.request_context.to_json(),
        data={"initialState": command.initial_state, **note_of(command.target.spec)},
    )
