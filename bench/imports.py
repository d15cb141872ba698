"""How long until a program can work: each sample is a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median, quantiles

from bench.measure import FEWEST_TURNS, Options, Row

__all__ = ["measure"]

GROUP = "imports"
LONGEST_S = 30.0
ROOT = Path(__file__).parents[1]

NOTHING = "pass"
PYDANTIC = "import pydantic; pydantic.BaseModel"
# What no workflow library of asyncio can do without, as in the bare chain.
PYDANTIC_ASYNCIO = "import asyncio, pydantic; pydantic.BaseModel"
MASTRA = "import mastra"
MASTRA_USED = "from mastra import Mastra, StepContext, create_step, create_workflow"

MODEL = """
import asyncio
from pydantic import BaseModel

class Number(BaseModel):
    n: int

async def same(value: Number) -> Number:
    return value
"""

BARE_CHAIN = (
    MODEL
    + """
async def main():
    data = {"n": 1}
    for _ in range(10):
        data = (await same(Number.model_validate(data))).model_dump()
    assert data == {"n": 1}

asyncio.run(main())
"""
)

OUR_CHAIN = (
    MODEL
    + """
from mastra import clone_step, create_step, create_workflow

step = create_step(id="same", input_schema=Number, output_schema=Number, execute=same)
workflow = create_workflow(id="chain", input_schema=Number, output_schema=Number)
for place in range(10):
    workflow.then(clone_step(step, id=f"step-{place}"))
workflow.commit()

async def main():
    run = await workflow.create_run()
    result = await run.start(input_data={"n": 1})
    assert result.unwrap() == Number(n=1)

asyncio.run(main())
"""
)


def process_s(program: str, python: str = sys.executable) -> float:
    """Return the seconds from the start of a Python process to its end."""
    command = [python, "-c", program]
    # Installed packages have their byte code; here the first, unmeasured process writes ours.
    environment = {key: os.environ[key] for key in os.environ if key != "PYTHONDONTWRITEBYTECODE"}
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, cwd=ROOT, env=environment)
    return time.perf_counter() - begun


def _turns(programs: dict[str, str], turns: int) -> dict[str, list[float]]:
    for program in programs.values():
        process_s(program)  # writes the byte code
    samples: dict[str, list[float]] = {name: [] for name in programs}
    begun = time.perf_counter()
    for turn in range(turns):
        if turn >= FEWEST_TURNS and time.perf_counter() - begun > LONGEST_S:
            break
        for name, program in programs.items():
            samples[name].append(process_s(program))
    return samples


def _row(
    name: str, samples: tuple[list[float], list[float]], base: list[float], target: float
) -> Row:
    ours = [sample - least for sample, least in zip(samples[0], base, strict=True)]
    limit = [sample - least for sample, least in zip(samples[1], base, strict=True)]
    low, middle, high = quantiles(limit, n=4)
    return Row(
        GROUP,
        name,
        "ms",
        median(ours) * 1e3,
        median(limit) * 1e3,
        median(a / b for a, b in zip(ours, limit, strict=True)),
        target,
        f"{target} x",
        ours_least=min(ours) * 1e3,
        limit_least=min(limit) * 1e3,
        spread=(high - low) / middle,
    )


async def measure(options: Options) -> list[Row]:
    """Measure the group."""
    programs = {
        "nothing": NOTHING,
        "pydantic": PYDANTIC,
        "pydantic and asyncio": PYDANTIC_ASYNCIO,
        "mastra": MASTRA,
        "used": MASTRA_USED,
        "bare chain": BARE_CHAIN,
        "our chain": OUR_CHAIN,
    }
    samples = _turns(programs, options.turns(24))
    nothing = samples["nothing"]
    no_base = [0.0] * len(nothing)
    chains = (samples["our chain"], samples["bare chain"])
    return [
        _row("import mastra", (samples["mastra"], samples["pydantic"]), nothing, 1.4),
        _row(
            "import what workflows need, beside pydantic and asyncio",
            (samples["used"], samples["pydantic and asyncio"]),
            nothing,
            1.4,
        ),
        _row("process start to the end of a chain of 10", chains, no_base, 1.3),
    ]
