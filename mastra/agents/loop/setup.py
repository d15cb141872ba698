"""From a call to its first request, and from one step to the next request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from mastra.agents.calls.delegation import Asking, agent_tool
from mastra.agents.context import resolve_dynamic
from mastra.agents.limits import UsageLimits
from mastra.agents.loop.recall import memory_of, offer_notes, recall
from mastra.agents.option_checks import setting_of
from mastra.agents.options import (
    PreparedStep,
    StepPreparation,
    merged,
    output_of,
)
from mastra.agents.output import OutputReader, StructuredOutput
from mastra.agents.prompt import system_messages
from mastra.agents.records.ledger import Ledger
from mastra.agents.run.agent_run import AgentRun
from mastra.agents.run.pipeline import Pipeline, is_called
from mastra.errors import ConfigError, InputValidationError, ToolError
from mastra.failures import call_user
from mastra.models.base import ModelRequest, ProviderTool, ToolChoice
from mastra.models.calling import ModelEntry
from mastra.models.history import acceptable
from mastra.models.message_forms import messages_from
from mastra.models.messages import DataPart, Message, TextPart
from mastra.models.prices import load_prices
from mastra.models.resolve import ModelInput, resolve_models
from mastra.models.settings import ModelSettings
from mastra.models.stored_messages import split_results
from mastra.processors.base import METHODS, method_of
from mastra.schema import SchemaMismatch, schema_of
from mastra.tools.named import add_tools, check_names, named_provider_tools, named_tools
from mastra.tools.tool import Tool

__all__ = ["StepPlan", "offered_tools", "plan_step", "plan_to_settle", "replanned", "set_up"]

MOST_AT_ONCE: Final = 3
"""How often an agent may be at work in one chain of agents that ask each other."""


@dataclass(slots=True)
class StepPlan:
    """What one step asks of which model."""

    entries: Sequence[ModelEntry]
    """The models to try."""
    request: ModelRequest
    """What to ask."""
    tools: dict[str, Tool[Any, Any]]
    """What may be called in this step."""
    output: StructuredOutput[Any] | None
    """What the answer must be, if the model itself is to answer so."""
    reader: OutputReader | None
    """Reads it."""
    second: StructuredOutput[Any] | None
    """What a model of its own makes of the answer, if the run ends with it."""
    is_cached: bool = False
    """Whether a processor answered in the model's place."""
    changes: PreparedStep = field(default_factory=PreparedStep)
    """What `prepare_step` and processors have changed for it."""

    @property
    def model_name(self) -> str:
        """The first model's name."""
        return self.entries[0].name


async def set_up(run: AgentRun) -> None:
    """Work out what holds for the whole run.

    Raises:
        ConfigError: The agent or the call is set up wrongly.
        InputValidationError: What was passed is not valid.
        ToolError: The agent waits for this answer itself, too often.
    """
    _refuse_circles(run)
    spec, context = run.spec, run.context
    if spec.default_options is not None:
        defaults: Mapping[str, Any] = await setting_of(spec, "default_options", context) or {}
        run.options = merged(defaults, run.options)
    options = run.options
    run.settings = ModelSettings.of(options.get("model_settings"))
    run.listen()
    await _limit(run)
    if spec.request_context_schema is not None:
        _check_context(run)
    run.entries = await resolve_models(options.get("model") or spec.model, context)
    instructions = options.get("instructions")
    if instructions is None:
        instructions = await resolve_dynamic(spec.instructions, context)
    told = system_messages(instructions, cache=spec.cache_instructions)
    run.transcript.system = [*told, *system_messages(options.get("system"))]
    run.memory = await memory_of(run)
    run.tools = await _tools(run)
    run.pipeline = await _pipeline(run)
    if run.pipeline is not None and run.pipeline.sees_chunks:
        run.has_hooks = True
    if run.goes_on:
        if run.memory is not None:
            await offer_notes(run, run.memory)
        return
    given = messages_from(run.given)
    if not any(_says_anything(message) for message in given):
        raise InputValidationError(f"Agent {spec.id!r} was called without a message.")
    # System messages among the input belong with the instructions: providers want them first.
    run.transcript.system += [message for message in given if message.role == "system"]
    shown = options.get("context")
    extra = messages_from(shown) if shown else []
    said = [message for message in given if message.role != "system"]
    run.transcript.messages = split_results([*extra, *said])
    run.transcript.shown = {message.id for message in extra}
    if run.memory is not None:
        await recall(run, run.memory)
    if run.pipeline is not None:
        await run.pipeline.input()
    run.transcript.input_count = len(run.transcript.messages)


def _refuse_circles(run: AgentRun) -> None:
    # Each round may cost several times the one before, and no limit of steps counts them.
    chain = run.meter.asked()
    if chain.count(run.spec.id) > MOST_AT_ONCE:
        raise ToolError(
            f"Agent {run.spec.id!r} is not asked, since it waits for this answer {MOST_AT_ONCE} times "
            f"over: {' → '.join(chain)}. Answer without it.",
            code="DELEGATION_CIRCLE",
        )


def _says_anything(message: Message) -> bool:
    return any(
        part.text if isinstance(part, TextPart) else not isinstance(part, DataPart)
        for part in message.parts
    )


async def _limit(run: AgentRun) -> None:
    given = run.options.get("limits")
    if given is not None:
        run.meter.limits = UsageLimits.of(given)
        if run.meter.limits.cost_usd is not None:
            await load_prices()


def _check_context(run: AgentRun) -> None:
    try:
        schema_of(run.spec.request_context_schema).load(run.request_context.to_dict())
    except SchemaMismatch as mismatch:
        raise mismatch.into(
            InputValidationError, f"The request context of agent {run.spec.id!r}"
        ) from None


def _processor(item: Any) -> Any:
    if not hasattr(item, "create_run"):
        return item
    from mastra.processors.steps import WorkflowProcessor  # noqa: PLC0415 - only for workflows

    return WorkflowProcessor(item)


async def _pipeline(run: AgentRun) -> Pipeline | None:
    """Return the run's processors, or `None` where there are none."""
    spec, options, context = run.spec, run.options, run.context
    lists: list[list[Any]] = []
    for key in ("input_processors", "output_processors", "error_processors"):
        given: Any = options.get(key)
        found = given if given is not None else await setting_of(spec, key, context)
        lists.append([_processor(item) for item in found or ()])
        for item in lists[-1]:
            if isinstance(item, type):
                raise ConfigError(f"{item.__name__} in {key} is a class: make an object of it.")
            if not any(method_of(item, name) for name in METHODS):
                raise ConfigError(
                    f"{item!r} in {key} is not a processor: it has none of its methods."
                )
    inputs, outputs, errors = lists
    _refuse_idle([*inputs, *errors], outputs, "input_processors", "output_processors")
    _refuse_idle(outputs, [*inputs, *errors], "output_processors", "input_processors")
    if not any((inputs, outputs, errors)):
        return None
    return Pipeline(run, [*inputs, *errors], outputs)


def _refuse_idle(given: list[Any], others: list[Any], key: str, other: str) -> None:
    """Refuse a processor that would never be called, since it has methods of the other side alone."""
    names = [name for name in METHODS if is_called(name, at_output=key == "output_processors")]
    for item in given:
        if item not in others and not any(method_of(item, name) for name in names):
            raise ConfigError(
                f"{type(item).__name__} in {key} would never be called: what it has is for {other}."
            )


async def _tools(run: AgentRun) -> dict[str, Tool[Any, Any]]:
    own = await setting_of(run.spec, "tools", run.context)
    tools, run.provider_tools = named_tools(own), named_provider_tools(own)
    of = f"agent {run.spec.id!r}"
    agents: Mapping[str, Any] = await setting_of(run.spec, "agents", run.context) or {}
    asking = Asking(
        run.spec.id, run.spec.name, run.options.get("delegation") or {}, run.memory, run.state
    )
    for key, agent in agents.items():
        name = f"agent-{key}"
        add_tools(tools, {name: agent_tool(key, agent, asking)}, "agents", of=of)
    workflows: Mapping[str, Any] = await setting_of(run.spec, "workflows", run.context) or {}
    for key, workflow in workflows.items():
        from mastra.tools.from_workflow import workflow_tool  # noqa: PLC0415 - only what is used

        name = f"workflow-{key}"
        add_tools(tools, {name: workflow_tool(key, workflow)}, "workflows", of=of)
    elsewhere = list(run.provider_tools.values())
    for key, toolset in (run.options.get("toolsets") or {}).items():
        add_tools(tools, named_tools(toolset), f"toolset {key!r}", of=of)
        elsewhere += named_provider_tools(toolset).values()
    if len(elsewhere) > len(run.provider_tools):
        run.provider_tools = named_provider_tools(elsewhere)
    for name, tool in named_tools(run.options.get("client_tools")).items():
        known = tools.get(name)
        if known is not None and known.call is None:
            del tools[name]  # the client runs it in any case, and says what it takes
        add_tools(tools, {name: replace(tool, call=None, function=None)}, "client_tools", of=of)
    check_names(tools, run.provider_tools, of)
    return tools


async def plan_step(run: AgentRun) -> StepPlan:
    """Work out the next request."""
    options = run.options
    changes, entries = await _changes(run)
    tools, elsewhere = _tools_of_step(run, changes)
    settings = run.settings
    own_settings = changes.get("model_settings")
    if own_settings is not None:
        settings = ModelSettings.of(own_settings).over(settings)
    output = output_of(options)
    if "structured_output" in changes:
        output = StructuredOutput.of(changes["structured_output"])
    own_output = output if output is None or output.model is None else None
    request = ModelRequest(
        messages=_conversation(run, changes, own_output),
        tools=tuple(tool.spec(name) for name, tool in tools.items()),
        provider_tools=tuple(elsewhere.values()),
        tool_choice=_choice(run, changes, tools, elsewhere),
        response_format=_response_format(own_output),
        settings=settings,
        provider_options={
            **(options.get("provider_options") or {}),
            **(changes.get("provider_options") or {}),
        },
        include_raw=bool(options.get("include_raw_chunks")),
    )
    return StepPlan(
        entries,
        request,
        tools,
        own_output,
        None if own_output is None else OutputReader(own_output),
        output if own_output is None else None,
        changes=changes,
    )


def replanned(run: AgentRun, plan: StepPlan, *, is_told_anew: bool) -> ModelRequest:
    """Return the request of a step again, after the conversation was changed to mend it.

    Args:
        run: The run.
        plan: The step's plan.
        is_told_anew: Whether the instructions were changed, too.
    """
    changes = cast("dict[str, Any]", dict(plan.changes))
    changes.pop("messages", None)
    if is_told_anew:
        changes.pop("system", None)
    messages = _conversation(run, cast("PreparedStep", changes), plan.output)
    return replace(plan.request, messages=messages)


def plan_to_settle(run: AgentRun) -> StepPlan:
    """Return the plan of a step that has been asked, and only settles its calls."""
    output = output_of(run.options)
    second = output if output is not None and output.model is not None else None
    return StepPlan(run.entries, ModelRequest([]), run.tools, None, None, second)


async def offered_tools(run: AgentRun, ledger: Ledger) -> Mapping[str, Tool[Any, Any]]:
    """Return the tools that the last model call of a durable run was offered."""
    names: list[str] = ledger.facts["tools"]
    found = run.tools
    if any(name not in found for name in names):
        # Given for this step alone, by `prepare_step` or a processor.
        found = (await plan_step(run)).tools
    return {name: found[name] for name in names if name in found}


async def _changes(run: AgentRun) -> tuple[PreparedStep, Sequence[ModelEntry]]:
    """Return what `prepare_step` and processors want changed for a step, and its models."""
    changes = await _prepared(run)
    model: ModelInput | None = changes.get("model")
    entries = run.entries if model is None else await resolve_models(model, run.context)
    pipeline = run.pipeline
    if pipeline is None:
        return changes, entries
    for processor in pipeline.at_steps:
        tools, _ = _tools_of_step(run, changes)
        known = cast("Mapping[str, Any]", changes)
        more = await pipeline.input_step(processor, known, entries[0].name, list(tools))
        changes = cast("PreparedStep", cast("object", more))
        if changes.get("model") is not model:
            model = changes.get("model")
            entries = run.entries if model is None else await resolve_models(model, run.context)
    return changes, entries


def _tools_of_step(
    run: AgentRun, changes: PreparedStep
) -> tuple[dict[str, Tool[Any, Any]], dict[str, ProviderTool]]:
    """Return the tools that a step is offered: those that run here, and the provider's."""
    tools, elsewhere = run.tools, run.provider_tools
    if "tools" in changes:
        tools, elsewhere = named_tools(changes["tools"]), named_provider_tools(changes["tools"])
        check_names(tools, elsewhere, f"agent {run.spec.id!r}")
    active = changes.get("active_tools", run.options.get("active_tools"))
    if active is not None:
        _check_active(run, active, {**tools, **elsewhere})
        tools = {name: tool for name, tool in tools.items() if name in active}
        elsewhere = {name: tool for name, tool in elsewhere.items() if name in active}
    return tools, elsewhere


async def _prepared(run: AgentRun) -> PreparedStep:
    function = run.options.get("prepare_step")
    if function is None:
        return {}
    preparation = StepPreparation(
        len(run.transcript.steps),
        run.transcript.steps,
        run.transcript.messages,
        run.entries[0].name,
        list(run.tools),
        run.request_context,
    )
    return await call_user(function, preparation) or {}


def _check_active(run: AgentRun, active: Sequence[str], tools: Mapping[str, object]) -> None:
    unknown = [name for name in active if name not in tools]
    if unknown:
        raise ConfigError(
            f"active_tools of agent {run.spec.id!r} names {unknown[0]!r}, which it does not have. "
            f"It has: {', '.join(sorted(tools)) or 'none'}."
        )


def _conversation(
    run: AgentRun, changes: PreparedStep, output: StructuredOutput[Any] | None
) -> list[Message]:
    system = system_messages(changes["system"]) if "system" in changes else run.transcript.system
    messages = run.transcript.messages
    if "messages" in changes:
        messages = [m for m in messages_from(changes["messages"]) if m.role != "system"]
    if output is not None and output.json_prompt_injection:
        if output.json_prompt_injection == "inline":
            messages = [*messages, Message("user", output.prompt())]
        else:
            system = [*system, Message("system", output.prompt())]
    if run.pipeline is not None:
        return [*system, *acceptable(messages)]  # processors may have changed any of them
    return run.transcript.history.conversation(system, messages)


def _response_format(output: StructuredOutput[Any] | None) -> Any:
    if output is None or output.json_prompt_injection:
        return None
    return output.response_format()


def _choice(
    run: AgentRun,
    changes: PreparedStep,
    tools: Mapping[str, Tool[Any, Any]],
    elsewhere: Mapping[str, ProviderTool],
) -> ToolChoice:
    choice = changes.get("tool_choice", run.options.get("tool_choice", "auto"))
    if not isinstance(choice, str):
        name = choice.get("tool_name") or choice.get("toolName", "")
        if name not in tools:
            # By the key that it was given under, or as its provider calls it.
            found = [elsewhere[name]] if name in elsewhere else elsewhere.values()
            names = [tool.name for tool in found if name in {tool.name, *elsewhere}]
            if not names:
                raise ConfigError(
                    f"tool_choice of agent {run.spec.id!r} names {name!r}, which it does not have. "
                    f"It has: {', '.join(sorted({*tools, *elsewhere})) or 'none'}."
                )
            return {"type": "tool", "tool_name": names[0]}
    return choice
