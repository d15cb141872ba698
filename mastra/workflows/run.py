"""One run of a workflow, as its caller holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic

from typing_extensions import TypeVar

from mastra.names import python_names
from mastra.request_context import RequestContext
from mastra.storage.base import RunChanges
from mastra.sync import sync_twin
from mastra.workflows.engines.base import RunHandle
from mastra.workflows.results import WorkflowResult
from mastra.workflows.run_legs import RunLegs
from mastra.workflows.run_stream import RunStream

__all__ = ["Run"]

Out = TypeVar("Out", default=Any)
In = TypeVar("In", default=Any)


@python_names
class Run(RunLegs[Out], Generic[Out, In]):
    """One run. Made by `workflow.create_run()`; may also stand for a run of another process."""

    # -- start -------------------------------------------------------------------------------

    async def start(
        self,
        input_data: In | Mapping[str, Any] | None = None,
        *,
        initial_state: Any = None,
        request_context: RequestContext | Mapping[str, Any] | None = None,
        per_step: bool = False,
    ) -> WorkflowResult[Out]:
        """Run the workflow and return its result.

        A run that was started before is not started again: the call, with the same input or
        none, waits for its result. One that was not begun, as its error said, may be.
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
        handle = await self._start(input_data, initial_state, request_context, per_step, False)
        return await handle.result()

    start_sync = sync_twin(start)

    async def start_async(
        self,
        input_data: In | Mapping[str, Any] | None = None,
        *,
        initial_state: Any = None,
        request_context: RequestContext | Mapping[str, Any] | None = None,
        per_step: bool = False,
    ) -> str:
        """Start the run and return its id at once. Takes and raises what `start` does."""
        await self._start(input_data, initial_state, request_context, per_step, False)
        return self.run_id

    def stream(
        self,
        input_data: In | Mapping[str, Any] | None = None,
        *,
        initial_state: Any = None,
        request_context: RequestContext | Mapping[str, Any] | None = None,
        per_step: bool = False,
    ) -> RunStream[Out]:
        """Return the run as a stream of events; it starts when the stream is first used.

        Takes what `start` does; what that raises comes out of the stream.
        """

        async def begin() -> tuple[RunHandle, int]:
            handle = await self._start(input_data, initial_state, request_context, per_step, True)
            return handle, handle.first_seq

        return RunStream(self.run_id, self._spec.id, begin)

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

        An answer that comes while other steps still work is kept with the run until they have
        ended or are suspended too; the call waits for that. It is taken then even if the caller,
        or its process, is gone.

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
        handle, _ = await self._resume(
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
            return await self._resume(
                resume_data, step, label, for_each_index, request_context, per_step=per_step
            )

        return RunStream(self.run_id, self._spec.id, begin)

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

    async def cancel(self) -> None:
        """Cancel the run, wherever it is driven, and wait until it has stopped where that is here.

        A step that holds `ctx.abort_signal` gets a second to end by itself. Cancelling a run that
        has ended changes nothing.

        Raises:
            RunNotFoundError: There is no such run.
        """
        engine, store = self._runtime.engine, self._runtime.store
        # A leg that was ending already has left the run waiting.
        states = ("suspended", "paused")
        if not await engine.cancel(self._target):
            await self._loaded()
            states = ("pending", "running", "waiting", *states)
        if await store.update_run(
            self._spec.id, self.run_id, RunChanges(status="canceled"), expected_status=states
        ):
            await engine.cancel(self._target)  # a leg that has begun since
