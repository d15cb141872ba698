"""The legs that this process answers requests for, and how a request finds its own."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, TypeAlias, cast

from mastra.errors import InputValidationError
from mastra.inngest.carried import known_run
from mastra.inngest.continuation import can_go_on
from mastra.inngest.mail import Mail
from mastra.inngest.publisher import Publisher, Readers
from mastra.inngest.wire.api import InngestApi
from mastra.inngest.wire.leg_event import LegEvent, store_identity
from mastra.inngest.wire.request import RequestFacts
from mastra.inngest.work import AskAgain
from mastra.inngest.worker_leg import LegSuperseded, WorkerLeg, owner_of, token_of
from mastra.jsonable import Json
from mastra.request_context import RequestContext
from mastra.schema import ANY, Schema, SchemaMismatch
from mastra.storage.base import RunChanges, RunHead
from mastra.workflows.active import ActiveRun, Reopening, Target, TimeTravel
from mastra.workflows.answer import Answer
from mastra.workflows.engines.commands import Command, RunTarget
from mastra.workflows.engines.journal import LoadedRun, load_run
from mastra.workflows.engines.journal_writer import JournalWriter
from mastra.workflows.engines.lifecycle import begin, call_on_start, head_of
from mastra.workflows.engines.resume import find_targets, reopening_after_crash, stored_reopening
from mastra.workflows.engines.tracing import trace_data
from mastra.workflows.engines.travel import go_back
from mastra.workflows.events import Kind
from mastra.workflows.records import decode_record
from mastra.workflows.spec import WorkflowSpec
from mastra.workflows.step_context import count_usage
from mastra.workflows.versions.choice import check_definition, spec_for
from mastra.workflows.versions.graph import is_current, note_of

__all__ = ["Key", "LegTable", "key_of"]

Key: TypeAlias = tuple[int, str, str]
_UNDER_WAY = ("running", "waiting")
_ACTIVE = ("pending", *_UNDER_WAY)


def key_of(target: RunTarget) -> Key:
    """Return what tells a run from others in this process."""
    return (id(target.store), target.workflow_id, target.run_id)


class LegTable:
    """Requests for one leg that are answered at once share its state."""

    def __init__(self, api: InngestApi, mail: Mail) -> None:
        self._api = api
        self._mail = mail
        self._open: dict[Key, WorkerLeg] = {}
        self._lock = asyncio.Lock()
        self._ending = 0
        self.is_closed = False
        """Whether requests are refused, so that the server sends them elsewhere, or later."""

    @property
    def are_idle(self) -> bool:
        """Whether no request is being answered."""
        return not self._ending and not self.all()

    def get(self, key: Key) -> WorkerLeg | None:
        """Return a leg that is being driven here."""
        leg = self._open.get(key)
        return leg if leg is not None and leg.requests else None

    def all(self) -> list[WorkerLeg]:
        """Return the legs that are being driven here."""
        return [leg for leg in self._open.values() if leg.requests]

    async def add_reader(self, key: tuple[str, str], inbox: str) -> None:
        """Tell of a run in the inbox of another process, if the run is driven here."""
        for leg in self.all():
            if (leg.workflow_id, leg.run.run_id) == key:
                leg.publisher.collect()
                leg.publisher.readers.inboxes.add(inbox)
                await leg.flush_begun()  # it takes what was told before from storage

    async def open(self, target: RunTarget, event: LegEvent, facts: RequestFacts) -> WorkerLeg:
        """Return the leg that a request is for.

        Raises:
            LegSuperseded: The leg has ended, or is another request's.
            InputValidationError: Whoever sent the event gave what the workflow does not take.
            DefinitionChangedError: The workflow was changed before the place that the run has
                reached.
        """
        key = key_of(target)
        async with self._lock:
            token = token_of(event.token, facts.run_id)
            leg = self._open.get(key)
            if leg is None or leg.owner != owner_of(token) or leg.ended.is_set():
                leg = await self._begin(target, event, facts, owner_of(token))
                self._open[key] = leg
            elif target.store.is_shared:
                await leg.catch_up()
            leg.requests += 1
            # A leg that this process has not seen from its beginning finds what the server keeps.
            leg.given_bytes = max(leg.given_bytes, facts.memo_bytes)
            # Requests for one operation each come at once; a request for the whole comes alone.
            leg.publisher.names_ops = facts.is_targeted
            if target.store.is_shared:
                leg.watch()
            return leg

    async def close(self, leg: WorkerLeg) -> None:
        """End a request for a leg; what it told is sent before the server gets its answer."""
        leg.requests -= 1
        self._ending += 1
        try:
            if leg.requests:
                await leg.publisher.flush()
                return
            leg.unwatch()
            await self._mail.rounds.end(leg.publisher)
            if leg.run.span is not None:
                leg.run.span.end()
        finally:
            self._ending -= 1
        target = leg.command.target
        # What the workflow does not want stored is only here.
        is_only_here = target.spec.should_persist_snapshot is not None
        if leg.ended.is_set() or not is_only_here:
            key = key_of(target)
            if not leg.requests and self._open.get(key) is leg:
                del self._open[key]

    # -- beginning -----------------------------------------------------------------------------

    async def _begin(
        self, target: RunTarget, event: LegEvent, facts: RequestFacts, owner: str
    ) -> WorkerLeg:
        store = target.store
        loaded = await known_run(target, event)
        head = None
        if loaded is None:
            head = await self._create(target, event, owner)
            if head is None:
                loaded = await load_run(store, target.workflow_id, target.run_id)
        if loaded is not None and facts.is_targeted:
            # Other processes may be running what was planned beside it: what is missing of their
            # log is still to come.
            loaded.close_up()
        if loaded is None:
            is_first, command = True, self._fresh(target, event)
        else:
            target = replace(target, spec=spec_for(target.spec, loaded.head))
            if loaded.head.owner != owner or loaded.head.status not in _ACTIVE:
                await self._adopt(target, event, facts, loaded, owner)
            is_first = loaded.legs <= event.number and event.kind != "restart"
            check_definition(target.spec, loaded, has_begun=not is_first)
            command = self._command(target, event, loaded, is_first=is_first)
        run = begin(command, loaded)
        start = len(run.log.entries) - is_first
        if not is_first:
            stored: Any = None if loaded is None else loaded.head.data.get("reopening")
            _restore(run, stored.get("order", -1) if stored else -1)
        writer = JournalWriter(run, target.spec, store, head)
        readers = self._readers_of(target, event, loaded)
        publisher = Publisher(run, readers, self._mail.outbox, start)
        leg = WorkerLeg(command, run, writer, publisher, self._api, owner)
        leg.goes_on = can_go_on(target, event)
        leg.position = -1 if loaded is None else loaded.last_position
        leg.stored_context = run.request_context.to_json()
        await self._note_server(leg, facts, loaded)
        if loaded is not None:
            await _take_up(leg, loaded)
        travel = command.reopening.travel
        # Later requests find what was given and forgotten in storage, unless a crash kept it out.
        if travel is not None and (is_first or travel.dropped or travel.given):
            await go_back(run, writer, travel)
        is_elsewhere = event.store and event.store != store_identity(store)
        if is_elsewhere or target.spec.should_persist_snapshot is not None:
            publisher.needs_rows = lambda: _head_for_reader(leg)
        self._mail.rounds.add(publisher)
        return leg

    def _readers_of(self, target: RunTarget, event: LegEvent, loaded: LoadedRun | None) -> Readers:
        if target.store.is_shared:
            self._mail.inbox.begin()  # where others that see the run ask to be told of it
        if event.goes_on and loaded is not None:
            noted: Any = loaded.head.data.get("inngest") or {}
            return self._mail.readers_of(
                target.workflow_id,
                target.run_id,
                inboxes=[event.inbox, *noted.get("readers", ())],
                is_watched=bool(noted.get("watched")),
            )
        return self._mail.readers_of(
            target.workflow_id, target.run_id, inboxes=[event.inbox], is_watched=not event.token
        )

    async def _create(self, target: RunTarget, event: LegEvent, owner: str) -> RunHead | None:
        """Store a run that is not there; return its head if it is to be stored later, or never."""
        command = self._fresh(target, event)
        if event.token is None and target.spec.on_start is not None:
            await call_on_start(command)
        head = replace(head_of(command), owner=owner)
        if event.reopening:
            head.data["reopening"] = event.reopening
        if target.spec.should_persist_snapshot is not None:
            return head
        await target.store.create_run(head)
        return None

    async def _note_server(
        self, leg: WorkerLeg, facts: RequestFacts, loaded: LoadedRun | None
    ) -> None:
        leg.run.kept["inngestRun"] = facts.run_id
        known: Any = None if loaded is None else loaded.head.data.get("inngest")
        noted: dict[str, Json] = {}
        if loaded is not None and not is_current(leg.command.target.spec, loaded.head):
            noted |= note_of(leg.command.target.spec)  # from here on the run goes by this one
        told: dict[str, Json] = {
            "runId": facts.run_id,
            "fnId": facts.function_uuid,
            "qiId": facts.queue_item,
            "owner": leg.owner,
            **self._mail.noted(leg.publisher.readers),
        }
        if isinstance(known, dict):
            before = cast("dict[str, Json]", known)
            if before.get("runId") == facts.run_id:
                told["qiId"] = before.get("qiId")
        if told != known:
            noted["inngest"] = told
            # Kept from the first request on, so that after a crash the next goes on with it.
            if loaded is None or "trace" not in loaded.head.data:
                noted |= trace_data(leg.run)
        if noted:
            await leg.note(noted)

    def _fresh(self, target: RunTarget, event: LegEvent) -> Command:
        """Return the command for a run that our storage does not know."""
        spec, is_ours = target.spec, event.token is not None
        value, state = event.input, event.initial_state
        if not is_ours:
            value = _checked(spec.input_schema, value, spec, "Input", spec.validate_inputs)
            schema = spec.state_schema
            if schema is not None and state is not None:
                state = _checked(schema, state, spec, "Initial state", spec.validate_inputs)
        return Command(
            kind="start",
            target=target,
            resource_id=event.resource_id,
            input=value,
            initial_state=dict(state or {}),
            request_context=RequestContext(event.request_context),
            per_step=event.per_step,
        )

    def _command(
        self, target: RunTarget, event: LegEvent, loaded: LoadedRun, *, is_first: bool
    ) -> Command:
        head = loaded.head
        reopening = reopening_after_crash(target.spec, loaded)
        stored = cast("dict[str, Any]", head.data.get("reopening") or {})
        if is_first and "op" in stored:
            travel = TimeTravel.from_stored(stored)
            given = tuple(decode_record(record) for record in event.given)
            reopening = Reopening(travel=replace(travel, dropped=tuple(event.dropped), given=given))
        return Command(
            kind=cast("Any", event.kind if is_first else "restart"),
            target=target,
            resource_id=head.resource_id,
            input=head.input,
            initial_state=loaded.initial_state,
            request_context=RequestContext(head.request_context),
            reopening=reopening,
            per_step=event.per_step,
        )

    @staticmethod
    def _is_due(event: LegEvent, facts: RequestFacts, head: RunHead) -> bool:
        """Return whether an event that is not ours finds the run as its sender thinks."""
        if head.data.get("inngestRun") == facts.run_id:
            return False  # a request that came twice; its leg has ended
        return head.status == ("suspended" if event.kind == "resume" else "pending")

    async def _adopt(
        self,
        target: RunTarget,
        event: LegEvent,
        facts: RequestFacts,
        loaded: LoadedRun,
        owner: str,
    ) -> None:
        """Take a run that is not under way: its sender has another storage, or none of ours."""
        head = loaded.head
        is_foreign = event.token is None
        if is_foreign and event.kind == "resume" and head.status in _UNDER_WAY:
            await _keep(target, event, facts, loaded)
        is_due = is_foreign or event.number == loaded.legs
        has_own = event.store != store_identity(target.store)
        if head.status in ("running", "waiting") or not is_due or not has_own:
            raise LegSuperseded
        if is_foreign and not self._is_due(event, facts, head):
            raise LegSuperseded
        if head.status != "pending":
            check_definition(target.spec, loaded)
        data = {**head.data, **note_of(target.spec), "reopening": event.reopening}
        changes = RunChanges(status="running", owner=owner, result=None, error=None)
        if is_foreign and head.status == "suspended":
            steps = event.resume_steps
            step = ".".join(steps) if steps else None
            ops, value = find_targets(target.spec, loaded, event.input, step, None, None)
            target_ops = Reopening(target=Target(frozenset(ops), value))
            data["reopening"] = stored_reopening(loaded, target_ops)
            event.kind, event.number = "resume", loaded.legs
        elif head.status == "pending":
            command = self._fresh(target, event)
            changes["input"] = head.input = command.input
            changes["state"] = dict(command.initial_state)
            data["initialState"] = command.initial_state
            changes["request_context"] = head.request_context = event.request_context
        changes["data"] = data
        if not await target.store.update_run(
            target.workflow_id, target.run_id, changes, expected_status=(head.status,)
        ):
            raise LegSuperseded
        head.data, head.status, head.owner = data, "running", owner


async def _keep(target: RunTarget, event: LegEvent, facts: RequestFacts, loaded: LoadedRun) -> None:
    """Keep an answer that is not ours with a run of which other steps still work.

    Raises:
        AskAgain: The leg has just ended: the run is to be looked at anew.
        RunStateError: No step that it is for is suspended.
        ResumeClaimedError: Somebody else has answered.
        ResumeValidationError: It does not meet the step's resume schema.
    """
    if loaded.head.data.get("inngestRun") == facts.run_id:
        return  # a request that came twice
    step = ".".join(event.resume_steps) or None
    answer = Answer(target.spec, event.input, step, key=facts.run_id)
    if not answer.is_expected(loaded):
        raise answer.refusal(loaded)
    key = (target.workflow_id, target.run_id)
    if not await target.store.keep_answer(*key, answer.to_stored(), expected_status=_UNDER_WAY):
        raise AskAgain("The run has just been suspended; send the request again.")


def _checked(
    schema: Schema[Any], value: Any, spec: WorkflowSpec, what: str, is_checked: bool
) -> Json:
    text = f"{what} of workflow {spec.id!r}"
    if schema.is_any or not is_checked:
        return ANY.pack(value, what=text)
    try:
        return schema.pack(schema.load(value), what=text)
    except SchemaMismatch as mismatch:
        raise mismatch.into(InputValidationError, text, workflowId=spec.id) from None


def _restore(run: ActiveRun, reopened_after: int) -> None:
    """Bring back what an earlier request for the same leg knew.

    Args:
        run: The run.
        reopened_after: The order of the last record before the leg; -1 where it began the run.
    """
    entries = run.log.entries
    starts = [seq for seq, entry in enumerate(entries) if entry and entry[0] is Kind.START]
    begun = starts[-1] if starts else 0
    earlier = [r.order for r in run.journal.values() if 0 <= r.start_seq < begun]
    last_order = max(earlier, default=0)
    run.base_ops = frozenset(
        op
        for op, record in run.journal.items()
        # Items of a foreach have no events of their own. The order of the journal tells, not when
        # they ended: that may be the millisecond of the resume.
        if record.order <= reopened_after
        or (record.start_seq <= begun and record.order <= last_order)
    )
    run.leg = max(0, run.leg - 1)
    _forget_untold(run, begun)
    for entry in entries[begun:]:
        if entry is not None and entry[0] is Kind.OUTPUT:
            count_usage(run, entry[2])


def _forget_untold(run: ActiveRun, begun: int) -> None:
    """Let the walk tell of items that suspended in a request which ended there."""
    told: set[str] = set()
    for entry in run.log.entries[begun:]:
        if entry is not None and entry[0] is Kind.PROGRESS and entry[1] is not None:
            told.add(f"{entry[1].op_id}[{entry[2]['currentIndex']}]:suspended:")
    fresh = [r for op, r in run.journal.items() if op not in run.base_ops]
    moments = {str(r.order) for r in fresh if r.status == "suspended"}
    for mark in list(run.blocks.marks):
        item, is_suspended, moment = mark.rpartition(":suspended:")
        if is_suspended and moment in moments and f"{item}:suspended:" not in told:
            run.blocks.marks.discard(mark)


async def _take_up(leg: WorkerLeg, loaded: LoadedRun) -> None:
    if loaded.head.data.get("abort"):
        leg.run.stop.is_thrown = leg.has_aborted = True
    if loaded.head.status == "waiting":
        await leg.writer.update(RunChanges(status="running"), ("waiting",))


def _head_for_reader(leg: WorkerLeg) -> dict[str, Json] | None:
    """Return the columns of a run's head, for a process that cannot see our storage."""
    entry = leg.run.log.entries[-1]
    if entry is None or entry[0] is not Kind.FINISH:
        return None
    end, run, command = entry[2], leg.run, leg.command
    data: dict[str, Json] = {
        "initialState": command.initial_state,
        "path": list(run.path),
        **note_of(command.target.spec),
    }
    if end.tripwire is not None:
        data["tripwire"] = dict(end.tripwire)
    if end.has_result:
        data["hasResult"] = True
    return {
        "owner": leg.owner,
        "status": end.status,
        "input": run.input,
        "result": end.result,
        "error": end.error,
        "state": run.state.values,
        "data": data,
    }
