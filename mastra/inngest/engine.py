"""`InngestEngine`: an Inngest server drives the runs; this is how they are begun and watched."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, cast
from weakref import WeakValueDictionary

import inngest

from mastra.clock import Clock
from mastra.errors import (
    DefinitionChangedError,
    RunError,
    RunStateError,
    SerializationError,
    WorkflowDefinitionError,
)
from mastra.failures import error_to_json
from mastra.ids import random_id
from mastra.inngest.carried import run_to_carry
from mastra.inngest.feed import Feed
from mastra.inngest.functions import WorkflowFunctions
from mastra.inngest.handle import InngestHandle
from mastra.inngest.inquiry import ACTIVE, Inquiry, Sent
from mastra.inngest.leg_table import LegTable, key_of
from mastra.inngest.limits import check_engine, check_limits
from mastra.inngest.mail import READ, Mail, RunKey
from mastra.inngest.originals import Originals
from mastra.inngest.publisher import Publisher
from mastra.inngest.server_endings import keep_changed
from mastra.inngest.wire.api import InngestApi, not_sent
from mastra.inngest.wire.leg_event import encode_leg
from mastra.inngest.wire.names import cancel_event, function_id
from mastra.inngest.worker_leg import LegSuperseded, WorkerLeg, owner_of
from mastra.jsonable import Json
from mastra.logs import get_logger
from mastra.request_context import RequestContext
from mastra.services import Services
from mastra.storage.base import RunChanges, RunHead, WorkflowStore
from mastra.workflows.active import ActiveRun
from mastra.workflows.engines.base import Recoverable, RunHandle, check_open
from mastra.workflows.engines.commands import Command, RunTarget
from mastra.workflows.engines.journal import load_run
from mastra.workflows.engines.journal_writer import JournalWriter
from mastra.workflows.engines.lifecycle import begin
from mastra.workflows.engines.outcome import Outcome
from mastra.workflows.engines.recovery import take_answer
from mastra.workflows.spec import WorkflowSpec
from mastra.workflows.versions.choice import spec_for

__all__ = ["InngestEngine"]

CANCEL_WAIT_S = 5.0

_IN_VAIN = "sentInVain"
"""What a suspended run's head calls how often it was resumed by an event that went nowhere."""

END_S = 1.0
"""For how long after its end a run is followed: its record may come after the word of it."""


class InngestEngine:
    """Runs workflows on an Inngest server.

    A step that has finished is not run again, whatever happens to the worker. Steps run one
    after the other in the request that the server keeps open, and each result is posted to it
    before the next starts; where that is not possible, the SDK's own steps do the same with a
    request each.

    Args:
        client: The SDK's client.
        checkpoint: Whether steps may run in the open request. Without, each is a request.
        max_request: For how long, in seconds or as a `timedelta`, steps are begun in one request.
        buffered_steps: How many finished steps may still be on their way to the server while the
            next one runs. With 0 no step begins before everything that it follows is safe there.
            With more, steps that are quicker than a post go several to a post; if the worker dies,
            up to so many steps that had finished run again, unless its storage knows them.
        steps_per_run: After how many steps and sleeps a run goes on in another run of the server,
            990 at most. Fewer keep the requests small, each of which has all results before it.
        watched: Whether every run tells its events on its realtime channel, each by itself, for
            readers of the original's packages. Runs that such a program begins do so anyway.
        clock: What its runs go by; left out, the application's clock, else the machine's.
    """

    name = "inngest"
    has_server = True

    def __init__(
        self,
        client: inngest.Inngest,
        *,
        checkpoint: bool = True,
        max_request: float | timedelta = 60.0,
        buffered_steps: int = 0,
        steps_per_run: int | None = None,
        watched: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self.client = client
        """The SDK's client."""
        self.clock = clock
        """What its runs go by, where it has a clock of its own."""
        seconds = check_engine(locals())
        self.api = InngestApi(client)
        self._feeds: dict[RunKey, list[weakref.ref[Feed]]] = {}
        """Those that somebody reads, or that storage needs."""
        self._needed: set[Feed] = set()
        """Those by which a storage hears of runs whose worker has another one."""
        self._sent: dict[RunKey, Sent] = {}
        """The latest leg that was begun through this engine, of runs that have not ended."""
        self._ends = 0
        """How many runs are being ended that nobody drives."""
        self.closings = 0
        """How often it was closed."""
        self.mail = Mail(
            self.api,
            listeners=self._feeds_of,
            take=self._take,
            on_gap=self._has_missed,
            watched=watched,
        )
        self.legs = LegTable(self.api, self.mail)
        self.originals = Originals(self.api, self.mail)
        """The workflows that programs of the original serve."""
        self._workflows: WeakValueDictionary[tuple[int, str], Recoverable] = WeakValueDictionary()
        self._functions = WorkflowFunctions(
            client,
            self.api,
            self.legs,
            self.mail,
            self.take_answer,
            self._send,
            max_request_s=seconds if checkpoint else None,
            buffered_steps=buffered_steps,
            steps_per_run=steps_per_run,
            clock=clock,
        )

    def functions(
        self, spec: WorkflowSpec, store: WorkflowStore, services: Services | None
    ) -> list[inngest.Function[Any]]:
        """Return the functions that answer the server's requests for a workflow."""
        return self._functions.of(spec, store, services)

    async def _take(self, message: dict[str, Any]) -> None:
        """Take what came for a run: what its worker tells, or who wants to be told."""
        key = (str(message.get("workflowId")), str(message.get("runId")))
        if message.get("type") == READ:
            await self.legs.add_reader(key, str(message.get("inbox")))
            return
        for feed in self._feeds_of(key):
            await feed.take(message)

    def _has_missed(self) -> None:
        for key in list(self._feeds):
            for feed in self._feeds_of(key):
                feed.has_missed()

    def _feeds_of(self, key: RunKey) -> list[Feed]:
        found = [one() for one in self._feeds.get(key, ())]
        return [feed for feed in found if feed is not None]

    # -- beginning -----------------------------------------------------------------------------

    async def hold(self, store: WorkflowStore) -> None:
        """Return nothing: the leg that the server knows is what a run belongs to."""
        del store

    def serve(self, workflow: Recoverable, store: WorkflowStore) -> None:
        """Take note of a workflow, for answers that are kept for its runs.

        With runs whose worker has died, the server goes on.
        """
        self._workflows[id(store), workflow.id] = workflow

    async def take_answer(self, target: RunTarget) -> None:
        """Go on with a run that is suspended, where an answer is kept whose caller is gone."""
        workflow = self._workflows.get((id(target.store), target.workflow_id))
        if workflow is not None:
            await take_answer(workflow, target.store, target.run_id)

    async def open(self, store: WorkflowStore, *, restarts: bool = True) -> None:
        """Do nothing: the server goes on with runs whose worker has died."""
        del store, restarts

    def begin(self, command: Command, changes: RunChanges) -> None:
        """Do nothing: the server has to be told, which takes `launch`."""
        del command, changes

    async def launch(self, command: Command) -> RunHandle:
        """Send the event that begins a leg.

        A run that is to be restarted and that the server has not forgotten goes on by itself.

        Raises:
            RunStateError: The run is to be restarted, and a step of it runs here; or the engine was
                closed since the leg was asked for.
            RunError: The server could not be reached.
            WorkflowDefinitionError: The server could not run the workflow to its end.
        """
        target, store = command.target, command.target.store
        await self._check(command)
        check_open(self, command)
        key = key_of(target)
        # One that the server sent here by itself, after a crash, is what the caller asks for.
        if command.kind == "restart" and self.legs.get(key) and key[1:] in self._sent:
            raise RunStateError(
                f"Run {target.run_id!r} of workflow {target.workflow_id!r} is being driven already.",
                code="RUN_ALREADY_RUNNING",
            )
        self.legs.is_closed = False
        token, number, first_seq = random_id(), 0, 0
        reopening = carried = None
        event_id = f"{target.run_id}:{command.kind}:{token}"
        if command.kind != "start":
            loaded = await load_run(store, target.workflow_id, target.run_id)
            if loaded is not None:
                number, first_seq = loaded.legs, len(loaded.entries)
                reopening = cast("Any", loaded.head.data.get("reopening"))
                carried = None if store.is_shared else run_to_carry(loaded)
                if command.kind == "restart" and await self._is_known(loaded.head):
                    feed = self._feed(target, first_seq)
                    await self.mail.inbox.open()
                    return InngestHandle(self, feed, first_seq)
                # Of callers without a common storage the server takes one, and for a day no other
                # event of this id.
                if command.kind == "resume":
                    times = loaded.head.data.get(_IN_VAIN, 0)
                    event_id = f"{target.run_id}:{loaded.head.created_at}:resume:{number}.{times}"
        if command.is_created:
            changes = RunChanges(status="running", owner=owner_of(token), lease_until=0)
            await store.update_run(
                target.workflow_id, target.run_id, changes, expected_status=(*ACTIVE, "paused")
            )
        feed = self._feed(target, first_seq)
        try:
            check_open(self, command)
            encode = partial(encode_leg, command, token, number, reopening, carried=carried)
            await self._send_leg(feed, command, token, encode, event_id)
        except Exception as error:
            self._drop(feed)
            self.originals.forget(feed.key)
            await self.take_back(command, error)
            raise
        return InngestHandle(self, feed, first_seq)

    async def _send_leg(
        self,
        feed: Feed,
        command: Command,
        token: str,
        encode: Callable[[str], dict[str, Json]],
        event_id: str,
    ) -> None:
        """Send the event of a leg, once its worker would be heard here."""
        name, owner = function_id(feed.target.workflow_id), owner_of(token)
        again: Callable[[], Awaitable[None]] | None = None
        if feed.target.workflow_id in self.originals.workflow_ids:
            data = await self.originals.follow(command, owner)
            sent_id = await self._send(name, data, event_id)
        else:
            await self.mail.inbox.open()
            data = encode(self.mail.inbox.channel)
            sent_id = await self._send(name, data, event_id)
            if not feed.target.store.is_shared:
                again = partial(self._send_again, name, data, event_id)
        if not feed.target.store.is_shared:
            self._needed.add(feed)
            feed.when_ended = partial(self._let_go, feed.key)
        sent = Sent(command, sent_id, owner, again, time.monotonic())
        self._sent[feed.key] = feed.inquiry.sent = sent

    async def _send_again(self, name: str, data: dict[str, Json], event_id: str) -> None:
        await self._send(name, data, f"{event_id}:again")

    async def _check(self, command: Command) -> None:
        if command.kind == "start":
            try:
                check_limits(command.target.spec)
            except WorkflowDefinitionError as error:
                await self.take_back(command, error)
                raise

    async def _send(self, name: str, data: dict[str, Json], event_id: str = "") -> str:
        """Send an event; return the id that the server gave it."""
        try:
            ids = await self.client.send(inngest.Event(name=name, data=data, id=event_id))
        except SerializationError:
            raise
        except Exception as error:
            raise not_sent(name, self.client.event_api_origin, error) from error
        return ids[0] if ids else ""

    async def take_back(self, command: Command, error: Exception) -> None:
        """Undo the claim of a leg that did not begin: its event was not sent, or went nowhere."""
        target = command.target
        if not command.is_created:
            return
        head = await target.store.get_run(target.workflow_id, target.run_id)
        if head is None:
            return
        if command.kind == "travel":  # how it stood before is gone
            await self.end(target, head, Outcome("failed", error=error_to_json(error)))
            return
        status = {"start": "pending", "resume": "suspended"}.get(command.kind, "running")
        if command.kind == "resume" and command.reopening.target is None:
            status = "paused"
        # What it was to go on with waits again, for whoever answers next.
        data = {name: value for name, value in head.data.items() if name != "reopening"}
        if command.kind == "resume":
            data[_IN_VAIN] = cast("int", data.get(_IN_VAIN, 0)) + 1
        await target.store.update_run(
            target.workflow_id,
            target.run_id,
            RunChanges(status=status, owner=None, data=data),
            expected_status=("running",),
            expected_owner=head.owner,
        )

    async def _is_known(self, head: RunHead) -> bool:
        """Return whether the server still has a run, and so goes on with it by itself."""
        known: Any = head.data.get("inngest")
        return bool(known and head.owner and await self.api.is_known(known))

    # -- looking -------------------------------------------------------------------------------

    def _feed(self, target: RunTarget, first_seq: int) -> Feed:
        key = (target.workflow_id, target.run_id)
        inquiry = Inquiry(target, self.api, self, self._sent.get(key))
        feed = Feed(target, self.mail, first_seq, inquiry)
        feeds = self._feeds_of(key)
        if any(old.has_ended for old in feeds):
            self._sent.pop(key, None)
        going_on = [old for old in feeds if not old.has_ended]
        self._feeds[key] = [weakref.ref(one) for one in (*going_on, feed)]
        weakref.finalize(feed, self._forget, key).atexit = False
        return feed

    def _forget(self, key: RunKey) -> None:
        """Keep nothing of a run that nobody here looks at any more."""
        if not self._feeds_of(key):
            self._feeds.pop(key, None)
            self._sent.pop(key, None)

    def _let_go(self, key: RunKey) -> None:
        """Keep no feed of a run that has ended, once storage has had time to hear of it."""

        def let_go() -> None:
            self._needed -= {feed for feed in self._feeds_of(key) if feed.has_ended}

        asyncio.get_running_loop().call_later(END_S, let_go)

    def _drop(self, feed: Feed) -> None:
        self._feeds[feed.key] = [one for one in self._feeds[feed.key] if one() is not feed]
        self._needed.discard(feed)
        feed.close()

    def attach(self, target: RunTarget) -> RunHandle:
        """Return a handle of a run that is under way, or has been."""
        feed = self._feed(target, 0)
        feed.is_attached = True
        return InngestHandle(self, feed, 0)

    def active(self, target: RunTarget) -> ActiveRun | None:
        """Return the run if this process drives it."""
        leg = self.legs.get(key_of(target))
        return None if leg is None else leg.run

    # -- ending --------------------------------------------------------------------------------

    async def cancel(self, target: RunTarget) -> bool:
        """Cancel a run that is under way, wherever its worker is."""
        key = key_of(target)
        leg = self.legs.get(key)
        head = await target.store.get_run(target.workflow_id, target.run_id)
        if leg is None and (head is None or head.status not in ("running", "waiting")):
            return False
        try:
            await self._send(cancel_event(target.workflow_id), {"runId": target.run_id})
        except RunError as error:
            # Storage is the truth: without the server, the run ends there all the same.
            get_logger().warning("The Inngest server was not told of a cancellation: %s", error)
        if leg is not None:
            leg.cancel()
            try:
                async with asyncio.timeout(CANCEL_WAIT_S):
                    await leg.ended.wait()
            except TimeoutError:
                head = await target.store.get_run(target.workflow_id, target.run_id)
            else:
                return True
        if head is None:  # what is not stored is only here, and ends once its step does
            return leg is not None
        return await self.end(target, head, Outcome("canceled"))

    async def take_end(self, target: RunTarget, owner: str, outcome: Outcome) -> None:
        """End a run in storage that the server has ended, if that leg is still under way there.

        Args:
            target: The run.
            owner: Who drives the leg that the server has ended.
            outcome: How.
        """
        leg = self.legs.get(key_of(target))
        if leg is not None and leg.owner == owner and outcome.status == "canceled":
            leg.cancel()  # the step under way may want to end by itself
            return
        head = await target.store.get_run(target.workflow_id, target.run_id)
        if head is not None and head.owner == owner and head.status in ACTIVE:
            try:
                await self.end(target, head, outcome)
            except DefinitionChangedError as error:
                get_logger({"run_id": target.run_id}).error("A run can be restarted. %s", error)

    async def end(self, target: RunTarget, head: RunHead, outcome: Outcome) -> bool:
        """End a run that no worker is answering requests for.

        Raises:
            DefinitionChangedError: The server gave the run up because its workflow was changed. It
                is left as it is, to be restarted once its definition is back.
        """
        self._ends += 1
        try:
            return await self._end(target, head, outcome)
        finally:
            self._ends -= 1

    async def _end(self, target: RunTarget, head: RunHead, outcome: Outcome) -> bool:
        loaded = await load_run(target.store, target.workflow_id, target.run_id)
        if loaded is None:
            return False
        target = replace(target, spec=spec_for(target.spec, loaded.head))
        if outcome.status == "failed":
            await keep_changed(target, loaded, outcome.error or {})
        command = Command(
            kind="restart",
            target=target,
            resource_id=head.resource_id,
            input=head.input,
            initial_state=loaded.initial_state,
            request_context=RequestContext(head.request_context),
        )
        run = begin(command, loaded)
        writer = JournalWriter(run, target.spec, target.store)
        key = (target.workflow_id, target.run_id)
        readers = self.mail.readers_noted(key, loaded.head.data.get("inngest"))
        publisher = Publisher(run, readers, self.mail.outbox, len(run.log.entries))
        leg = WorkerLeg(command, run, writer, publisher, self.api, loaded.head.owner or "")
        try:
            await leg.conclude(outcome)
        except LegSuperseded:
            return False
        finally:
            await publisher.flush()
            self.originals.forget(key)
            if run.span is not None:
                run.span.end()
        return True

    async def drain(self, time_limit_s: float) -> int:
        """Wait for nothing: what is cut off here the server sends again, here or elsewhere."""
        del time_limit_s
        return 0

    async def aclose(self) -> None:
        """Stop what goes on in this process; the server sends it again, here or elsewhere."""
        self.closings += 1  # whoever is about to begin a leg finds that it must not
        self.legs.is_closed = True
        for leg in self.legs.all():
            leg.stop()
        for _ in range(200):
            if self.legs.are_idle and not self._ends:
                break
            await asyncio.sleep(0.01)
        feeds = [feed for key in self._feeds for feed in self._feeds_of(key)]
        self._feeds.clear()
        self._needed.clear()
        for feed in feeds:
            feed.close()
        for part in (self.originals, self._functions.work, self.mail):
            await part.aclose()
