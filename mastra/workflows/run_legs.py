"""How the legs of a run begin: checked, claimed, launched."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from mastra.errors import ResumeClaimedError, RunClaimedError, RunStateError, StorageError
from mastra.jsonable import Json
from mastra.request_context import RequestContext
from mastra.schema import ANY
from mastra.services import AS_AROUND
from mastra.storage.base import RunChanges, RunHead
from mastra.workflows.active import Reopening
from mastra.workflows.answer import Answer, first_kept, kept_beside
from mastra.workflows.engines.base import RunHandle, check_open
from mastra.workflows.engines.commands import Command
from mastra.workflows.engines.journal import LoadedRun
from mastra.workflows.engines.lifecycle import call_on_start
from mastra.workflows.engines.resume import reopening_after_crash, stored_reopening
from mastra.workflows.engines.travel import travel_to
from mastra.workflows.events import Kind
from mastra.workflows.option_checks import check_call
from mastra.workflows.run_input import (
    check_context,
    check_same_start,
    checked_input,
    checked_state,
    start_changes,
)
from mastra.workflows.run_view import RunView
from mastra.workflows.runtime import in_surroundings, within
from mastra.workflows.spec import WorkflowSpec
from mastra.workflows.versions.choice import check_definition
from mastra.workflows.versions.graph import note_of

__all__ = ["RunLegs"]

Out = TypeVar("Out")
_UNDER_WAY = ("running", "waiting")
_START_LOOK_S = 0.005
_LOOKS, _LOOK_S = 4, 0.05
"""How often, and how far apart, a run under way is looked at for a step that was suspended."""


class RunLegs(RunView[Out]):
    """What `Run` begins legs with."""

    # -- start -------------------------------------------------------------------------------

    def _start(
        self,
        input_data: Any,
        initial_state: Any,
        request_context: RequestContext | Mapping[str, Any] | None,
        per_step: bool,
        is_read: bool,
    ) -> Coroutine[Any, Any, RunHandle]:
        """Begin the run, or join one that was begun before, by the clock and with the ids of its application.

        It is not `in_surroundings`, which packs what it is given and unpacks it again for each run.
        """
        starting = self._begin(input_data, initial_state, request_context, per_step, is_read)
        around = self._runtime.surroundings()
        return starting if around is AS_AROUND else within(around, starting)

    async def _begin(
        self,
        input_data: Any,
        initial_state: Any,
        request_context: RequestContext | Mapping[str, Any] | None,
        per_step: bool,
        is_read: bool,
    ) -> RunHandle:
        """Do what `_start` does, in the surroundings that are there.

        Args:
            input_data: What `start` takes.
            initial_state: See above.
            request_context: See above.
            per_step: See above.
            is_read: Whether somebody is about to read its events.
        """
        if per_step is not False:
            check_call(self.run_id, per_step=per_step)
        if self._is_starting or self._handle is not None:
            handle = await self._joined(input_data, initial_state)
            if handle is not None:
                return handle
        self._is_starting = True
        try:
            spec, runtime, is_stored = self._spec, self._runtime, self._is_stored
            engine = runtime.engine
            closings = engine.closings
            if self._may_be_started:
                head = await runtime.store.get_run(spec.id, self.run_id)
                if head is not None and head.status != "pending":
                    return await self._again(input_data, initial_state)
            self._may_be_started = is_stored
            command = self._to_begin(spec, input_data, initial_state, request_context)
            command.per_step, command.is_created, command.closings = per_step, is_stored, closings
            if spec.on_start is not None:
                await call_on_start(command)
            changes = start_changes(command) if is_stored else None
            is_quiet = not is_read and self._watchers is None
            handle = engine.begin(command, changes) if changes and is_quiet else None
            if handle is None:
                handle = await self._launch(command, changes)
                if handle is None:
                    return await self._again(input_data, initial_state)
            self._began = (command.input, command.initial_state)
            return self._join(handle)
        finally:
            self._is_starting = False

    def _to_begin(
        self,
        spec: WorkflowSpec,
        input_data: Any,
        initial_state: Any,
        request_context: RequestContext | Mapping[str, Any] | None,
    ) -> Command:
        """Return what begins the run, where what it is given is as its schemas say."""
        data, state = checked_input(spec, input_data), checked_state(spec, initial_state)
        context = RequestContext.of(request_context)
        if spec.request_context_schema is not None:
            check_context(spec, context)
        return Command("start", self._target, self.resource_id, data, state, context)

    async def _joined(self, input_data: Any, initial_state: Any) -> RunHandle | None:
        """Join a run that is being begun or was; `None` where it is still to be begun."""
        # So that `on_start` is called once. Whoever is at it may have another event loop.
        while self._is_starting:  # noqa: ASYNC110
            await asyncio.sleep(_START_LOOK_S)
        if self._handle is not None and self._handle.has_given_up:
            self._handle = self._began = None  # the run is as storage has it
            self._may_be_started = self._is_stored
        if self._handle is None:
            return None
        return await self._again(input_data, initial_state)

    async def _again(self, input_data: Any, initial_state: Any) -> RunHandle:
        """Join a run that was started before, where this call asks for the same."""
        known = self._began
        if known is None:
            head = await self._runtime.store.get_run(self._spec.id, self.run_id)
            if head is not None and "initialState" in head.data:  # else it was never started
                known = (head.input, head.data["initialState"])
                self._go_by(head)
        if known is not None:
            check_same_start(self._target, known, (input_data, initial_state))
        if self._handle is None:
            return self._join(self._runtime.engine.attach(self._target))
        return self._seen_here() or self._runtime.engine.attach(self._target)

    async def _launch(
        self, command: Command, changes: RunChanges | None, seen: RunHead | None = None
    ) -> RunHandle | None:
        """Put the run under a claim and launch a leg; `None` where somebody else was first.

        What is to be written before is written together with the claim, where the run is as it was
        `seen`, or still pending: a whole leg of somebody else's may lie between, which leaves it
        suspended too.
        """
        engine, store = self._runtime.engine, self._runtime.store
        hold = await engine.hold(store)
        try:
            check_open(engine, command)
            if changes is not None:
                if hold is not None:
                    changes["owner"], changes["lease_until"] = hold.owner, 0
                if not await store.update_run(
                    self._spec.id,
                    self.run_id,
                    changes,
                    expected_status=("pending" if seen is None else seen.status,),
                    expected_updated_at=None if seen is None else seen.updated_at,
                ):
                    if hold is not None:
                        hold.drop()
                    return None
            return await engine.launch(command if hold is None else replace(command, hold=hold))
        except BaseException:
            # Whatever of it is stored: the run must not wait for a leg that is not there.
            if hold is not None:
                hold.give_up()
            raise

    def _join(self, handle: RunHandle) -> RunHandle:
        self._handle = handle
        if self._watchers is not None:
            self._watchers.begin(handle)
        return handle

    # -- go on -------------------------------------------------------------------------------

    async def _resume(
        self,
        resume_data: Any,
        step: Any,
        label: str | None,
        for_each_index: int | None,
        request_context: RequestContext | Mapping[str, Any] | None,
        *,
        per_step: bool = False,
    ) -> tuple[RunHandle, int]:
        """Go on with the run by an answer; return the leg and where its events begin."""
        check_call(self.run_id, label=label, for_each_index=for_each_index, per_step=per_step)
        answer = Answer(
            self._spec,
            resume_data,
            step,
            label,
            for_each_index,
            context=RequestContext.of(request_context),
            per_step=per_step,
        )
        looks = 0
        while True:
            loaded = await self._loaded()
            if answer.is_taken(loaded):
                handle = self._join(self._runtime.engine.attach(self._target))
                return handle, handle.first_seq or _start_of_leg(loaded)
            if loaded.head.status not in _UNDER_WAY:
                await self._check_free(answer, loaded)
                try:
                    handle = await self._answer(loaded, answer)
                except ResumeClaimedError:
                    # Somebody else went on with it: with this very step, or with another one.
                    if answer.asked is None:
                        raise
                    await asyncio.sleep(0)
                else:
                    return handle, handle.first_seq
            elif answer.is_expected(loaded):
                await self._keep(answer)
            elif looks < _LOOKS:
                # Readers are told of a suspension a moment before it is in storage.
                looks += 1
                await asyncio.sleep(_LOOK_S)
            else:
                raise answer.refusal(loaded)

    async def _check_free(self, answer: Answer, loaded: LoadedRun) -> None:
        """Refuse an answer to what somebody else has answered; see to it that that one is taken."""
        try:
            answer.check_still_asked(loaded)
        except ResumeClaimedError:
            await self._take_kept(loaded)
            raise

    async def _keep(self, answer: Answer) -> None:
        """Keep an answer with the run; once it is kept, wait for the end of the leg under way."""
        runtime = self._runtime
        if answer.is_kept:
            with contextlib.suppress(RunClaimedError):  # whoever has it now ends the leg
                await runtime.engine.attach(self._target).result()
        else:
            answer.is_kept = await runtime.store.keep_answer(
                self._spec.id, self.run_id, answer.to_stored(), expected_status=_UNDER_WAY
            )

    async def _answer(self, loaded: LoadedRun, answer: Answer) -> RunHandle:
        status = loaded.head.status
        reopening = Reopening()
        if status in ("suspended", "paused"):
            check_definition(self._spec, loaded)
        if status == "suspended":
            reopening = Reopening(target=answer.target(loaded))
        elif status != "paused" or answer.step is not None or answer.label is not None:
            begun = (
                ""
                if status != "pending"
                else " It was not started. If another process did, both need one storage that "
                "outlives them: Mastra(storage=SQLStorage(...))."
            )
            raise RunStateError(
                f"Run {self.run_id!r} of workflow {self._spec.id!r} is {status}, not suspended, so "
                f"there is nothing to resume.{begun}",
                code="RUN_NOT_SUSPENDED",
                details={"runId": self.run_id, "status": status},
            )
        return await self._reopen(
            "resume", loaded, reopening, answer.context, per_step=answer.per_step
        )

    async def take_kept(self) -> bool:
        """Go on with a run that is suspended by an answer that is kept for it.

        Returns:
            Whether there was one, and nobody else was first.

        Raises:
            DefinitionChangedError: The workflow was changed before the place that the run has
                reached. The answer stays kept.
        """
        return await self._take_kept(await self._loaded())

    async def _take_kept(self, loaded: LoadedRun) -> bool:
        if loaded.head.status != "suspended" or not loaded.head.answers:
            return False
        kept = first_kept(loaded)
        if kept is None:
            await self._runtime.store.update_run(
                self._spec.id,
                self.run_id,
                RunChanges(answers=[]),
                expected_status=("suspended",),
                expected_updated_at=loaded.head.updated_at,
            )
            return False
        check_definition(self._spec, loaded)
        reopening = Reopening(target=kept.target)
        try:
            await self._reopen("resume", loaded, reopening, kept.context, per_step=kept.per_step)
        except ResumeClaimedError:
            return False
        return True

    @in_surroundings
    async def _reopen(
        self,
        kind: Any,
        loaded: LoadedRun,
        reopening: Reopening,
        request_context: RequestContext | Mapping[str, Any] | None,
        *,
        per_step: bool = False,
    ) -> RunHandle:
        head = loaded.head
        context = RequestContext(head.request_context)
        for key, value in RequestContext.of(request_context).items():
            context.set(key, value)
        command = Command(
            kind=kind,
            target=self._target,
            resource_id=head.resource_id,
            input=head.input,
            initial_state=loaded.initial_state,
            request_context=context,
            reopening=reopening,
            per_step=per_step,
            closings=loaded.closings,
        )
        changes = None
        if kind != "restart":
            noted = note_of(self._spec) | {"reopening": stored_reopening(loaded, reopening)}
            changes = RunChanges(
                status="running",
                result=None,
                error=None,
                input=head.input,
                request_context=context.to_json(),
                data=head.data | noted,
            )
            if head.answers:
                changes["answers"] = kept_beside(loaded, reopening)
        try:
            handle = await self._launch(command, changes, head)
        except Exception:
            if head.answers:  # where the run is as it was, so are they
                with contextlib.suppress(StorageError):
                    await self._put_back(head.answers)
            raise
        if handle is None:
            raise ResumeClaimedError(
                f"Run {self.run_id!r} of workflow {self._spec.id!r} was resumed by somebody "
                "else first.",
                details={"runId": self.run_id},
            )
        return self._join(handle)

    async def _put_back(self, answers: list[Json]) -> None:
        """Keep answers again of a leg that has not begun, beside those that came since."""
        store, key = self._runtime.store, (self._spec.id, self.run_id)
        head = await store.get_run(*key)
        if head is not None:
            later = [answer for answer in head.answers if answer not in answers]
            await store.update_run(
                *key,
                RunChanges(answers=[*answers, *later]),
                expected_status=("suspended",),
                expected_updated_at=head.updated_at,
            )

    async def _restart(
        self, request_context: RequestContext | Mapping[str, Any] | None = None
    ) -> RunHandle:
        loaded = await self._loaded()
        status = loaded.head.status
        if status not in (*_UNDER_WAY, "paused"):
            raise RunStateError(
                f"Run {self.run_id!r} of workflow {self._spec.id!r} is {status}; only a run that "
                "was running or waiting can be restarted.",
                code="RUN_NOT_ACTIVE",
                details={"runId": self.run_id, "status": status},
            )
        check_definition(self._spec, loaded)
        reopening = reopening_after_crash(self._spec, loaded)
        kind = "resume" if status == "paused" else "restart"
        return await self._reopen(kind, loaded, reopening, request_context)

    @in_surroundings
    async def _travel(
        self,
        *,
        step: Any,
        input_data: Any = ...,
        resume_data: Any = None,
        initial_state: Any = None,
        context: Mapping[str, Any] | None = None,
        nested_steps_context: Mapping[str, Any] | None = None,
        request_context: RequestContext | Mapping[str, Any] | None = None,
        per_step: bool = False,
    ) -> RunHandle:
        check_call(
            self.run_id,
            per_step=per_step,
            context=context,
            nested_steps_context=nested_steps_context,
        )
        loaded = await self._loaded()
        if loaded.head.status in _UNDER_WAY:
            raise RunStateError(
                f"Run {self.run_id!r} of workflow {self._spec.id!r} is {loaded.head.status}: cancel "
                "it or wait for its end before going back in time.",
                code="RUN_ALREADY_RUNNING",
            )
        state = None if initial_state is None else checked_state(self._spec, initial_state)
        travel = travel_to(
            self._spec,
            loaded,
            step,
            input_data=input_data,
            resume_data=resume_data,
            state=state,
            context=context,
            nested_context=nested_steps_context,
        )
        check_definition(self._spec, loaded, goes_back_to=travel.op_id)
        if context and "input" in context:
            loaded.head.input = ANY.pack(context["input"], what="Input in the context")
        return await self._reopen(
            "travel",
            loaded,
            Reopening(travel=travel),
            request_context,
            per_step=per_step,
        )


def _start_of_leg(loaded: LoadedRun) -> int:
    """Return where the events of a run's latest leg begin."""
    starts = [seq for seq, entry in enumerate(loaded.entries) if entry and entry[0] is Kind.START]
    return starts[-1] if starts else 0
