"""`init(client)`: the builders of workflows that an Inngest server drives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mastra.inngest.engine import InngestEngine
from mastra.inngest.options import OPTIONS, function_options
from mastra.workflows.step import clone_step, create_step
from mastra.workflows.workflow import Workflow, clone_workflow, create_workflow

if TYPE_CHECKING:
    import inngest

__all__ = ["MastraInngest", "init"]


class MastraInngest:
    """What `init` gives: the builders, bound to one client's engine."""

    create_step = staticmethod(create_step)
    clone_step = staticmethod(clone_step)
    clone_workflow = staticmethod(clone_workflow)

    def __init__(self, engine: InngestEngine) -> None:
        self.engine = engine
        """What drives the workflows."""

    @property
    def client(self) -> inngest.Inngest:
        """The SDK's client."""
        return self.engine.client

    @property
    def create_tool(self) -> Any:
        """Make a tool; the same as `mastra.create_tool`."""
        from mastra.tools.tool import create_tool  # noqa: PLC0415 - only where tools are used

        return create_tool

    def create_workflow(
        self, *given: Any, served_elsewhere: bool = False, **options: Any
    ) -> Workflow[Any, Any, Any]:
        """Begin a workflow that runs on Inngest.

        Args:
            given: What `mastra.create_workflow` takes by position.
            served_elsewhere: Whether a program of the original's packages (`@mastra/inngest`) serves
                it. Here it is started, streamed, resumed and cancelled: its steps say what there
                is, and never run.
            options: What `mastra.create_workflow` takes, and Inngest's flow control:
                `concurrency` (a number, a dict or `inngest.Concurrency`, or a list of them),
                `throttle`, `rate_limit`, `debounce`, `priority`, `timeouts`, `singleton` (a dict
                or the SDK's class each; durations in seconds, as `timedelta` or as "10s"),
                `idempotency` (an expression), `retries` (of a request that was lost, 10 by
                default), and `cron` with `input_data` and `initial_state`.

        Raises:
            ConfigError: A flow-control option is not of its form.
        """
        flow = {name: options.pop(name) for name in OPTIONS if name in options}
        function_options(flow)
        made = create_workflow(*given, **options).use_engine(self.engine, flow_control=flow)
        if served_elsewhere:
            self.engine.originals.workflow_ids.add(made.id)
        return made


def init(client: inngest.Inngest, **options: Any) -> MastraInngest:
    """Return the builders of workflows for a client.

    Args:
        client: The SDK's client.
        options: What `InngestEngine` takes beside it.
    """
    return MastraInngest(InngestEngine(client, **options))
