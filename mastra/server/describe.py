"""Workflows and agents as clients see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from mastra.jsonable import Json
from mastra.models.resolve import Fallback, ModelConfig
from mastra.schema import Schema
from mastra.server.schemas import DRAFT_7, json_schema_of, schema_text, tool_wire
from mastra.workflows.describe import describe_nodes
from mastra.workflows.spec import SleepNode, StepNode, Unit, WorkflowSpec
from mastra.workflows.workflow import Workflow

__all__ = ["agent_wire", "model_facts", "workflow_wire"]

_EMPTY: dict[str, Json] = {"type": "object", "properties": {}, "additionalProperties": False}


def workflow_wire(workflow: Workflow[Any, Any, Any]) -> dict[str, Json]:
    """Return a workflow with its steps, its graph and its schemas."""
    spec = workflow.spec
    steps: dict[str, Json] = {}
    everything: dict[str, Json] = {}
    _collect(spec, "", steps, everything)
    wire: dict[str, Json] = {"name": spec.id, "origin": "code"}
    if spec.version is not None:
        wire["version"] = spec.version
    if spec.kept:
        wire["versions"] = [kept.version for kept in spec.kept]
    if spec.description:
        wire["description"] = spec.description
    if spec.metadata:
        wire["metadata"] = dict(spec.metadata)
    wire |= {
        "steps": steps,
        "allSteps": everything,
        "stepGraph": describe_nodes(spec),
        "inputSchema": _text(spec.input_schema),
        "outputSchema": _text(spec.output_schema, "serialization"),
    }
    if spec.state_schema is not None:
        wire["stateSchema"] = _text(spec.state_schema)
    if spec.request_context_schema is not None:
        wire["requestContextSchema"] = _text(spec.request_context_schema)
    wire["options"] = {"validateInputs": spec.validate_inputs, "emitStepEvents": True}
    wire["isProcessorWorkflow"] = False
    return wire


def _text(schema: Schema[Any], mode: str = "validation") -> str:
    return schema_text(json_schema_of(schema, mode), DRAFT_7)


def _collect(
    spec: WorkflowSpec, prefix: str, steps: dict[str, Json], everything: dict[str, Json]
) -> None:
    for node in spec.nodes:
        if isinstance(node, SleepNode):
            _add_sleep(node, prefix, steps, everything)
        for unit in node.units:
            described = _unit(unit)
            nested = unit.inner
            if not prefix:
                steps[unit.id] = described
            everything[prefix + unit.id] = {**described, "isWorkflow": nested is not None}
            if nested is not None:
                _collect(nested, f"{prefix}{unit.id}.", steps, everything)


def _add_sleep(
    node: SleepNode, prefix: str, steps: dict[str, Json], everything: dict[str, Json]
) -> None:
    text = schema_text(_EMPTY, DRAFT_7)
    described: dict[str, Json] = {"id": node.id, "inputSchema": text, "outputSchema": text}
    if not prefix:
        steps[node.id] = described
    everything[prefix + node.id] = {**described, "isWorkflow": False}


def _unit(unit: Unit) -> dict[str, Json]:
    described: dict[str, Json] = {"id": unit.id}
    source = unit.step if isinstance(unit, StepNode) else unit.spec
    if source.description:
        described["description"] = source.description
    described["inputSchema"] = _text(source.input_schema)
    described["outputSchema"] = _text(source.output_schema, "serialization")
    if not isinstance(unit, StepNode):
        described["component"] = "WORKFLOW"
        return described
    step = unit.step
    schemas = {
        "resumeSchema": step.resume_schema,
        "suspendSchema": step.suspend_schema,
        "stateSchema": step.state_schema,
    }
    described |= {name: _text(schema) for name, schema in schemas.items() if schema is not None}
    if step.metadata:
        described["metadata"] = dict(step.metadata)
    if step.component:
        described["component"] = step.component
    return described


# -- agents ------------------------------------------------------------------------------------


def model_facts(model: Any) -> tuple[str | None, str | None]:
    """Return the provider and the model that an agent is set up with, where that can be told."""
    if isinstance(model, Fallback):
        return model_facts(model.model)
    if isinstance(model, list | tuple):
        for one in cast("list[Any]", model):
            if not isinstance(one, Fallback) or one.enabled:
                return model_facts(one)
        return None, None
    if isinstance(model, ModelConfig):
        model = model.id
    name = model if isinstance(model, str) else getattr(model, "id", None)
    if not isinstance(name, str):
        # A model's own object says it as the chunks of its answers do.
        own = (getattr(model, fact, None) for fact in ("provider", "model_name"))
        provider, name = (fact if isinstance(fact, str) else None for fact in own)
        return provider, name
    provider, slash, rest = name.partition("/")
    return (provider, rest) if slash else (None, name)


async def agent_wire(agent: Any, context: Any, *, key: str | None = None) -> dict[str, Json]:
    """Return an agent with its tools and instructions.

    Args:
        agent: The agent.
        context: Values of the request, for settings that are functions of it.
        key: Its key, where it is one of a list.
    """
    tools = await agent.list_tools(context)
    provider, model_id = model_facts(agent.spec.model)
    wire: dict[str, Json] = {} if key is None else {"id": agent.id}
    wire |= {
        "name": agent.name,
        "description": agent.description,
        "instructions": _instructions(await agent.get_instructions(context)),
        "agents": {
            name: {"id": sub.id, "name": sub.name}
            for name, sub in _mapping(agent.spec.agents).items()
        },
        "tools": {name: tool_wire(tool) for name, tool in tools.items()},
        "workflows": {
            name: {"name": sub.id} | ({} if key is not None else {"steps": _briefly(sub.spec)})
            for name, sub in _mapping(agent.spec.workflows).items()
        },
        "skills": [],
        "workspaceTools": [],
        "browserTools": [],
        "hasBrowser": False,
        "inputProcessors": _processors(agent.spec.input_processors),
        "outputProcessors": _processors(agent.spec.output_processors),
        "provider": provider,
        "modelId": model_id,
        "modelVersion": "v2",
        "supportsMemory": agent.spec.memory is not None,
        "defaultOptions": {},
        "defaultGenerateOptionsLegacy": {},
        "defaultStreamOptionsLegacy": {},
        "source": "code",
    }
    if key is not None:
        wire["hasDraft"] = False
    return wire


def _briefly(spec: WorkflowSpec) -> dict[str, Json]:
    """Return the steps of a workflow, by id, with what they are for."""
    steps: dict[str, Json] = {}
    _collect(spec, "", steps, {})
    facts = ("id", "description")
    return {
        name: {fact: step[fact] for fact in facts if fact in step} for name, step in steps.items()
    }


def _mapping(given: Any) -> dict[str, Any]:
    # What is a function of the request is not asked for here.
    return dict(cast("Mapping[str, Any]", given)) if isinstance(given, Mapping) else {}


def _instructions(given: Any) -> Json:
    if isinstance(given, str) or given is None:
        return given or ""
    parts = cast("list[Any]", given if isinstance(given, list | tuple) else [given])
    texts = [part if isinstance(part, str) else _text_of(part) for part in parts]
    return "\n\n".join(texts)


def _text_of(message: Any) -> str:
    if isinstance(message, dict):
        return str(cast("dict[str, Any]", message).get("content", ""))
    return str(getattr(message, "text", message))


def _processors(given: Any) -> list[Json]:
    if not isinstance(given, list | tuple):
        return []
    found = cast("list[Any]", given)
    return [
        {"id": getattr(item, "id", type(item).__name__), "name": type(item).__name__}
        for item in found
    ]
