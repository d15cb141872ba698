"""One run of a workflow, as its caller holds it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from mastra.errors import ResumeClaimedError, RunStateError
from mastra.names import python_names
from mastra.request_context import RequestContext
from mastra.schema import ANY
from mastra.storage.base import RunChanges
from mastra.sync import sync_twin
from mastra.workflows.active import Reopening
from mastra.workflows.answer import Answer
from mastra.workflows.engines.base import RunHandle
from mastra.workflows.engines.commands import Command
from mastra.workflows.engines.journal import LoadedRun
from mastra.workflows.engines.lifecycle import call_on_start
from mastra.workflows.engines.reopen import (
    reopening_after_crash,
    stored_reopening,
    travel_to,
)
from mastra.workflows.graph import note_of
from mastra.workflows.results import WorkflowResult
from mastra.workflows.run_input import (
    check_context,
    check_same_start,
    checked_input,
    checked_state,
    start_changes,
)
from mastra.workflows.run_stream import RunStream
from mastra.workflows.run_view import RunView
from mastra.workflows.versions import check_definition

__all__ = ["Run"]

Out = TypeVar("Out")
_UNDER_WAY = ("running", "waiting")
_LOOKS, _LOOK_S = 4, 0.05
"""How often, and how far apart, a run under way is looked at for a step that was suspended."""


@python_names
class Run(RunView[Out]):
    """One run. Made by `workflow.create_run()`; may also stand for a run of another process."""

    # -- start -------------------------------------------------------------------------------

    async def start(
        self,
        input_data: Any = None,
        *,
        initial_state: Any = None,
        request_context: RequestContext | Mapping[str, Any] | None = None,
        per_step: bool = False,
    ) -> WorkflowResult[Out]:
        """Run the workflow and return its result.

        A run that was started before is not started again: the call, with the same input or
        none, waits for its result.
        A caller that is cancelled while it waits does not stop the run.

        Args:
            input_data: A value of the input type, or data that validates into it.
            initial_state: A value of the state type, or data that validates into it.
            request_context: Values for steps, tools and agents.
            per_step: Run one entry only and end as `paused`.

        Raises:
            InputValidationError: The input or the initial state does not meet its schema. The
                run stays pending.
            RunStateError: The run was started before, with another input or initial state.
        """
        handle = await self._start(input_data, initial_state, request_context, per_step=per_step)
        return await handle.result()

    start_sync = sync_twin(start)

    async def start_async(
        self,
        input_data: Any = None,
        *,
        initial_state: Any = None,
        request_context: RequestContext | Mapping[str, Any] | None = None,
        per_step: bool = False,
    ) -> str:
        """Start the run and return its id at once. Takes and raises what `start` does."""
        await self._start(input_data, initial_state, request_context, per_step=per_step)
        return self.run_id

    def stream(
        self,
        input_data: Any = None,
        *,
        initial_state: Any = None,
        request_context: RequestContext | Mapping[str, Any] | None = None,
        per_step: bool = False,
    ) -> RunStream[Out]:
        """Return the run as a stream of events; it starts when the stream is first used.

        Takes what `start` does; what that raises comes out of the stream.
        """

        async def begin() -> tuple[RunHandle, int]:
            handle = await self._start(
                input_data, initial_state, request_context, per_step=per_step
            )
            return handle, handle.first_seq

        return RunStream(self.run_id, self._spec.id, begin)

    async def _start(
        self,
        input_data: Any,
        initial_state: Any,
        request_context: RequestContext | Mapping[str, Any] | None,
        *,
        per_step: bool,
    ) -> RunHandle:
        async with self._start_lock:  # so that `on_start` is called once
            if self._handle is not None:
                return await self._again(input_data, initial_state)
            if self._is_stored:
                head = await self._runtime.store.get_run(self._spec.id, self.run_id)
                if head is not None and head.status != "pending":
                    self._go_by(head)
                    return await self._again(input_data, initial_state)
            data = checked_input(self._spec, input_data)
            state = checked_state(self._spec, initial_state)
            context = RequestContext.of(request_context)
            check_context(self._spec, context)
            command = Command(
                kind="start",
                target=self._target,
                resource_id=self.resource_id,
                input=data,
                initial_state=state,
                request_context=context,
                per_step=per_step,
                is_created=self._is_stored,
            )
            await call_on_start(command)
            changes = start_changes(command) if self._is_stored else None
            handle = await self._launch(command, changes, "pending")
            if handle is None:
                return await self._again(input_data, initial_state)
            self._began = (data, state)
            return self._join(handle)

    async def _again(self, input_data: Any, initial_state: Any) -> RunHandle:
        """Join a run that was started before, where this call asks for the same."""
        known = self._began
        if known is None:
            head = await self._runtime.store.get_run(self._spec.id, self.run_id)
            if head is not None and "initialState" in head.data:  # else it was never started
                known = (head.input, head.data["initialState"])
        if known is not None:
            check_same_start(self._target, known, (input_data, initial_state))
        return self._handle or self._join(self._runtime.engine.attach(self._target))

    async def _launch(
        self, command: Command, changes: RunChanges | None, expected_status: str
    ) -> RunHandle | None:
        """Put the run under a claim and launch a leg; `None` where somebody else was first.

        What is to be written before is written together with the claim, in an expected status.
        """
        engine, store = self._runtime.engine, self._runtime.store
        hold = await engine.hold(store)
        try:
            if changes is not None:
                if hold is not None:
                    changes["owner"], changes["lease_until"] = hold.owner, 0
                if not await store.update_run(
                    self._spec.id, self.run_id, changes, expected_status=(expected_status,)
                ):
                    if hold is not None:
                        hold.drop()
                    return None
            return await engine.launch(replace(command, hold=hold))
        except BaseException:
            # Whatever of it is stored: the run must not wait for a leg that is not there.
            if hold is not None:
                hold.give_up()
            raise

    def _join(self, handle: RunHandle) -> RunHandle:
        self._handle = handle
        self._watchers.begin(handle)
        return handle

    # -- go on -------------------------------------------------------------------------------

    async def resume(
        self,
        resume_data: Any = None,
        *,
        step: Any = None,
        label: str | None = None,
        for_each_index: int | None = None,
        request_context: RequestContext | Mapping[str, Any] | None = None,
        per_step: bool = False,
    ) -> WorkflowResult[Out]:
        """Go on with a suspended run and return its next result.

        An answer that comes while other steps still work is kept until they have ended or are
        suspended too; the call waits for that.

        Args:
            resume_data: What the suspended step gets as `ctx.resume_data`.
            step: Which suspended step: the step, its id, `"nested.step"`, or a list of ids. May
                be left out where only one is suspended.
            label: Which, by the label that it suspended with.
            for_each_index: Which item of a foreach, from 0; left out, all that are suspended.
            request_context: Laid over what the run was started with.
            per_step: Run one entry only and end as `paused`.

        Raises:
            RunNotFoundError: There is no such run.
            NotFoundError: The workflow has no such step.
            RunStateError: The run is not suspended, or not there, or at several places of which
                none was named.
            ResumeValidationError: The data does not meet the step's resume schema. The run
                stays suspended.
            ResumeClaimedError: Somebody else resumed it first.
            DefinitionChangedError: The workflow was changed before the place that the run has
                reached. The run stays suspended.
        """
        handle = await self._resume(
            resume_data, step, label, for_each_index, request_context, per_step=per_step
        )
        return await handle.result()

    resume_sync = sync_twin(resume)

    async def resume_async(self, resume_data: Any = None, **options: Any) -> str:
        """Resume and return the run's id at once. Takes and raises what `resume` does."""
        asked = ("step", "label", "for_each_index", "request_context")
        await self._resume(resume_data, *(options.pop(name, None) for name in asked), **options)
        return self.run_id

    def resume_stream(
        self,
        resume_data: Any = None,
        *,
        step: Any = None,
        label: str | None = None,
        for_each_index: int | None = None,
        request_context: RequestContext | Mapping[str, Any] | None = None,
        per_step: bool = False,
    ) -> RunStream[Out]:
        """Return the resumed run as a stream of its events from there on."""

        async def begin() -> tuple[RunHandle, int]:
            handle = await self._resume(
                resume_data, step, label, for_each_index, request_context, per_step=per_step
            )
            return handle, handle.first_seq

        return RunStream(self.run_id, self._spec.id, begin)

    async def _resume(
        self,
        resume_data: Any,
        step: Any,
        label: str | None,
        for_each_index: int | None,
        request_context: RequestContext | Mapping[str, Any] | None,
        *,
        per_step: bool = False,
    ) -> RunHandle:
        answer = Answer(self._spec, resume_data, step, label, for_each_index)
        while True:
            loaded = await self._settled(answer)
            try:
                return await self._answer(loaded, answer, request_context, per_step=per_step)
            except ResumeClaimedError:
                # Somebody else went on with it: with this very step, or with another one.
                if answer.asked is None:
                    raise
                await asyncio.sleep(0)

    async def _settled(self, answer: Answer) -> LoadedRun:
        """Return the run, once no leg is under way beside a step that waits for the answer.

        Raises:
            ResumeClaimedError: Somebody else has resumed it.
            RunStateError: It is under way, and nothing in it waits for the answer.
        """
        looks = 0
        while True:
            loaded = await self._loaded()
            if loaded.head.status not in _UNDER_WAY:
                answer.check_still_asked(loaded)
                return loaded
            if answer.is_expected(loaded):
                await self._runtime.engine.attach(self._target).result()
            elif looks < _LOOKS:
                # Readers are told of a suspension a moment before it is in storage.
                looks += 1
                await asyncio.sleep(_LOOK_S)
            else:
                raise answer.refusal(loaded)

    async def _answer(
        self,
        loaded: LoadedRun,
        answer: Answer,
        request_context: RequestContext | Mapping[str, Any] | None,
        *,
        per_step: bool,
    ) -> RunHandle:
        status = loaded.head.status
        reopening = Reopening()
        if status in ("suspended", "paused"):
            check_definition(self._spec, loaded)
        if status == "suspended":
            reopening = Reopening(target=answer.target(loaded))
        elif status != "paused" or answer.step is not None or answer.label is not None:
            raise RunStateError(
                f"Run {self.run_id!r} of workflow {self._spec.id!r} is {status}, not suspended, so "
                "there is nothing to resume.",
                code="RUN_NOT_SUSPENDED",
                details={"runId": self.run_id, "status": status},
            )
        return await self._reopen("resume", loaded, reopening, request_context, per_step=per_step)

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
        handle = await self._launch(command, changes, head.status)
        if handle is None:
            raise ResumeClaimedError(
                f"Run {self.run_id!r} of workflow {self._spec.id!r} was resumed by somebody "
                "else first.",
                details={"runId": self.run_id},
            )
        return self._join(handle)

    async def restart(
        self, *, request_context: RequestContext | Mapping[str, Any] | None = None
    ) -> WorkflowResult[Out]:
        """Go on, after a crash, from the last finished operation; return the result.

        Raises:
            RunNotFoundError: There is no such run.
            RunStateError: The run is not one that was under way.
            RunClaimedError: Another process drives it and is alive.
            DefinitionChangedError: The workflow was changed before the place that the run has
                reached. The run stays as it is.
        """
        return await (await self._restart(request_context)).result()

    async def restart_async(
        self, *, request_context: RequestContext | Mapping[str, Any] | None = None
    ) -> str:
        """Restart and return the run's id at once. Takes and raises what `restart` does."""
        await self._restart(request_context)
        return self.run_id

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

    async def time_travel(self, **options: Any) -> WorkflowResult[Out]:
        """Run again from a step, with the results that the steps before it have.

        Args:
            options: `step` (required): the step, its id, `"nested.step"`, or a list of ids.
                `input_data`: its input; left out, what the step before it gave. `resume_data`:
                given to it as if it were resumed. `initial_state`: in place of the run's.
                `context`: results of steps before it, by id, each `{"output": …}` or a whole
                step result. `nested_steps_context`: the same for steps of nested workflows, by
                workflow id. `request_context`, `per_step`: as in `start`.

        Raises:
            NotFoundError: The workflow has no such step.
            RunStateError: The run is under way.
            DefinitionChangedError: The workflow was changed before that step.
        """
        return await (await self._travel(**options)).result()

    def time_travel_stream(self, **options: Any) -> RunStream[Out]:
        """Return the same as a stream of its events."""

        async def begin() -> tuple[RunHandle, int]:
            handle = await self._travel(**options)
            return handle, handle.first_seq

        return RunStream(self.run_id, self._spec.id, begin)

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

    async def cancel(self) -> None:
        """Cancel the run, wherever it is driven, and wait until it has stopped where that is here.

        A step that holds `ctx.abort_signal` gets a second to end by itself. Cancelling a run that
        has ended changes nothing.

        Raises:
            RunNotFoundError: There is no such run.
        """
        if await self._runtime.engine.cancel(self._target):
            return
        await self._loaded()
        await self._runtime.store.update_run(
            self._spec.id,
            self.run_id,
            RunChanges(status="canceled"),
            expected_status=("pending", "running", "waiting", "suspended", "paused"),
        )
