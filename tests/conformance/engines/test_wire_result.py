"""Results as Mastra writes them: the same calls on the original gave these answers."""

from __future__ import annotations

from typing import Any

from mastra import StepContext, create_step, create_workflow
from tests.support.engines import Calls, Env
from tests.support.flows import Number, adding, chain, failing

TIME = "a time"


def start(**options: Any) -> Any:
    return create_workflow(**{"id": "w", "input_schema": Number, "output_schema": Any, **options})


def v(value: int) -> dict[str, int]:
    return {"value": value}


def done(output: Any, payload: Any = None, **more: Any) -> dict[str, Any]:
    """Return a step that succeeded, as it is written."""
    step = {"status": "success", "output": output, "startedAt": TIME, "endedAt": TIME, **more}
    return step if payload is None else {**step, "payload": payload}


def timeless(value: Any) -> Any:
    """Return the data with every moment replaced by one text."""
    if isinstance(value, dict):
        return {
            key: TIME if key.endswith("At") and isinstance(part, int) else timeless(part)
            for key, part in value.items()
        }
    return [timeless(part) for part in value] if isinstance(value, list) else value


async def wire(env: Env, workflow: Any, value: Any = None, **options: Any) -> dict[str, Any]:
    result = await env.start(workflow, v(0) if value is None else value, **options)
    written = timeless(result.to_wire())
    assert written.pop("runId") == result.run_id
    return written


async def test_chain(env: Env) -> None:
    assert await wire(env, chain("w", adding("a"), adding("b")), v(1)) == {
        "status": "success",
        "steps": {"input": v(1), "a": done(v(2)), "b": done(v(3))},
        "input": v(1),
        "stepExecutionPath": ["a", "b"],
        "result": v(3),
    }


async def test_parallel(env: Env) -> None:
    async def both(ctx: StepContext[Any]) -> Any:
        return ctx.input_data

    workflow = start().parallel([adding("a"), adding("b")])
    workflow.then(create_step(id="c", execute=both)).commit()
    outputs = {"a": v(2), "b": v(2)}
    assert await wire(env, workflow, v(1)) == {
        "status": "success",
        "steps": {
            "input": v(1),
            "a": done(v(2), v(1)),
            "b": done(v(2), v(1)),
            "c": done(outputs, outputs),
        },
        "input": v(1),
        "stepExecutionPath": ["c"],
        "result": outputs,
    }


async def test_foreach(env: Env) -> None:
    workflow = start(input_schema=list[Number]).foreach(adding("a")).commit()
    assert await wire(env, workflow, [v(1), v(2)]) == {
        "status": "success",
        "steps": {"input": [v(1), v(2)], "a": done([v(2), v(3)], [v(1), v(2)])},
        "input": [v(1), v(2)],
        "stepExecutionPath": [],
        "result": [v(2), v(3)],
    }


async def test_dountil(env: Env) -> None:
    workflow = start().dountil(adding("a"), lambda ctx: ctx.input_data.value >= 3).commit()
    assert await wire(env, workflow) == {
        "status": "success",
        "steps": {"input": v(0), "a": done(v(3), v(2), metadata={"iterationCount": 3})},
        "input": v(0),
        "stepExecutionPath": [],
        "result": v(3),
    }


async def test_map(env: Env) -> None:
    first = adding("a")
    workflow = start().then(first)
    workflow.map({"value": {"step": first, "path": "value"}, "k": {"value": 7}}).then(adding("b"))
    assert await wire(env, workflow.commit()) == {
        "status": "success",
        "steps": {
            "input": v(0),
            "a": done(v(1)),
            "mapping_w_0": done({"value": 1, "k": 7}),
            "b": done(v(2)),
        },
        "input": v(0),
        "stepExecutionPath": ["a", "mapping_w_0", "b"],
        "result": v(2),
    }


async def test_nested(env: Env) -> None:
    workflow = chain("w", chain("inner", adding("x")), adding("y"))
    assert await wire(env, workflow) == {
        "status": "success",
        "steps": {"input": v(0), "inner": done(v(1)), "y": done(v(2))},
        "input": v(0),
        "stepExecutionPath": ["inner", "y"],
        "result": v(2),
    }


async def test_bail(env: Env) -> None:
    async def leave(ctx: StepContext[Number]) -> Number:
        ctx.bail(v(99))

    assert await wire(env, chain("w", create_step(id="a", execute=leave), adding("b"))) == {
        "status": "success",
        "steps": {"input": v(0), "a": done(v(99))},
        "input": v(0),
        "stepExecutionPath": ["a"],
        "result": v(99),
    }


async def test_retry(env: Env, calls: Calls) -> None:
    async def execute(number: Number) -> Number:
        if calls.add("a") < 2:
            raise ValueError("again")
        return Number(value=2)

    assert await wire(env, chain("w", create_step(id="a", execute=execute, retries=2))) == {
        "status": "success",
        "steps": {"input": v(0), "a": done(v(2))},
        "input": v(0),
        "stepExecutionPath": ["a"],
        "result": v(2),
    }


async def test_a_branch_that_takes_no_arm(env: Env) -> None:
    workflow = start().branch([(lambda ctx: False, adding("a"))]).commit()
    assert await wire(env, workflow) == {
        "status": "success",
        "steps": {"input": v(0)},
        "input": v(0),
        "stepExecutionPath": [],
        "result": {},
    }


async def test_a_branch_that_takes_both_arms(env: Env) -> None:
    workflow = start().branch([(lambda ctx: True, adding("a")), (lambda ctx: True, adding("b"))])
    assert await wire(env, workflow.commit()) == {
        "status": "success",
        "steps": {"input": v(0), "a": done(v(1), v(0)), "b": done(v(1), v(0))},
        "input": v(0),
        "stepExecutionPath": [],
        "result": {"a": v(1), "b": v(1)},
    }


async def test_a_parallel_step_that_fails(env: Env) -> None:
    workflow = start().parallel([adding("a"), failing("b", ValueError("bad"))]).commit()
    error = {"message": "bad", "name": "ValueError"}
    assert await wire(env, workflow, v(1)) == {
        "status": "failed",
        "steps": {
            "input": v(1),
            "a": done(v(2), v(1)),
            "b": {
                "status": "failed",
                "payload": v(1),
                "error": error,
                "startedAt": TIME,
                "endedAt": TIME,
            },
        },
        "input": v(1),
        "stepExecutionPath": [],
        "error": error,
    }


async def test_sleep(env: Env) -> None:
    workflow = start().sleep(0.001).then(adding("a")).sleep(0.001, id="nap").commit()
    assert await wire(env, workflow, v(1)) == {
        "status": "success",
        "steps": {"input": v(1), "sleep_w_0": done(v(1)), "a": done(v(2)), "nap": done(v(2))},
        "input": v(1),
        "stepExecutionPath": ["sleep_w_0", "a", "nap"],
        "result": v(2),
    }


async def test_state_is_written_on_request(env: Env) -> None:
    async def execute(ctx: StepContext[Number]) -> Number:
        await ctx.set_state({"c": 2})
        return ctx.input_data

    result = await env.start(chain("w", create_step(id="a", execute=execute)), v(1))
    assert "state" not in result.to_wire()
    assert result.to_wire(state=True)["state"] == {"c": 2}


async def test_a_step_whose_input_does_not_fit(env: Env) -> None:
    workflow = start().map(lambda ctx: {"nope": 1}, id="a").then(adding("b")).commit()
    written = await wire(env, workflow, v(1))
    assert written["status"] == "failed"
    assert written["error"]["code"] == "WORKFLOW_STEP_INPUT_VALIDATION_FAILED"
    assert written["error"] == written["steps"]["b"]["error"]
    assert set(written["steps"]["b"]) == {"status", "error", "startedAt", "endedAt"}
    assert written["stepExecutionPath"] == ["a", "b"]


async def test_a_parallel_step_that_suspends(env: Env) -> None:
    async def ask(ctx: StepContext[Number]) -> Number:
        await ctx.suspend({"why": 1})

    workflow = start().parallel([adding("a"), create_step(id="s", execute=ask)]).commit()
    assert await wire(env, workflow, v(1)) == {
        "status": "suspended",
        "steps": {
            "input": v(1),
            "a": done(v(2), v(1)),
            "s": {
                "status": "suspended",
                "payload": v(1),
                "suspendPayload": {"why": 1},
                "startedAt": TIME,
                "suspendedAt": TIME,
            },
        },
        "input": v(1),
        "stepExecutionPath": [],
        "suspended": [["s"]],
        "suspendPayload": {"s": {"why": 1}},
    }
