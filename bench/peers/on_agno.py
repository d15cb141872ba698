"""agno: `Workflow` of function steps. It checks no payloads between steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agno.workflow import Condition, Loop, Parallel, Step, Workflow
from agno.workflow.types import StepInput, StepOutput

from bench.measure import Subject
from bench.peers.model import Number
from bench.peers.timing import main


async def same(given: StepInput) -> StepOutput:
    return StepOutput(content=given.previous_step_content or given.input)


async def one_more(given: StepInput) -> StepOutput:
    value: Any = given.previous_step_content or given.input
    return StepOutput(content=Number(n=value.n + 1))


def steps(size: int) -> list[Any]:
    return [Step(name=f"step-{place}", executor=same) for place in range(size)]


def work(parts: list[Any], size: int) -> Subject:
    workflow = Workflow(name="bench", steps=parts, telemetry=False)

    async def run() -> None:
        result: Any = await workflow.arun(input=Number(n=1))
        if str(result.status) not in ("RunStatus.completed", "COMPLETED"):
            raise RuntimeError(result.status)

    return Subject(run, size)


def chain(size: int, _: Path) -> Subject:
    return work(steps(size), size)


def parallel(size: int, _: Path) -> Subject:
    return work([Parallel(*steps(size))], size)


def loop(size: int, _: Path) -> Subject:
    body = Loop(
        steps=[Step(name="step", executor=one_more)],
        max_iterations=size,
        end_condition=lambda outputs: outputs[-1].content.n > size,
        forward_iteration_output=True,
    )
    return work([body], size)


def branch(size: int, _: Path) -> Subject:
    first, positive, other = steps(3)
    arms = Condition(
        steps=[positive],
        else_steps=[other],
        evaluator=lambda given: (given.previous_step_content or given.input).n > 0,
    )
    return work([first, arms], size)


if __name__ == "__main__":
    main(
        {
            "chain of 10, a step": chain,
            "chain of 100, a step": chain,
            "parallel of 50, a branch": parallel,
            "loop of 1,000, an iteration": loop,
            "step and branch of two, a run": branch,
        }
    )
