"""A second model turns the first one's text into the object that was asked for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

from mastra.agents.loop.ending import show_object
from mastra.agents.output import OutputReader, StructuredOutput
from mastra.agents.run.agent_run import AgentRun
from mastra.models.base import ModelRequest
from mastra.models.calling import open_answer
from mastra.models.chunks import FinishChunk, ModelChunk, TextDelta
from mastra.models.messages import Message
from mastra.models.resolve import resolve_models

__all__ = ["structure"]

_INSTRUCTIONS: Final = (
    "You turn text into JSON. Take every fact from the text that you are given and make up none. "
    "Answer with the JSON alone."
)


async def structure(run: AgentRun, output: StructuredOutput[Any]) -> AsyncGenerator[None, None]:
    """Ask the second model, streaming the object as far as it goes.

    Raises:
        ModelError: It failed, or its answer does not fit and the caller wants that raised.
    """
    entries = await resolve_models(output.model or "", run.context)
    instructions = output.instructions or _INSTRUCTIONS
    injects = output.json_prompt_injection
    request = ModelRequest(
        messages=[
            Message("system", f"{instructions}\n{output.prompt()}" if injects else instructions),
            Message("user", run.transcript.text),
        ],
        response_format=None if injects else output.response_format(),
    )
    reader = OutputReader(output)
    text = ""
    answer = await open_answer(
        entries,
        request,
        default_retries=run.spec.max_retries,
        before=run.meter.before_request,
    )
    batch: Sequence[ModelChunk] = answer.first
    try:
        while batch:
            for chunk in batch:
                if isinstance(chunk, TextDelta):
                    text += chunk.text
                elif isinstance(chunk, FinishChunk):
                    run.transcript.usage = run.transcript.usage + chunk.usage
                    run.meter.answered(answer.entry.name, chunk.usage)
            found = reader.partial(text) if reader.is_due(len(text)) else None
            if found is not None:
                run.emit("object", found)
                yield
            run.switch.check()
            batch = await answer.source.read()
    finally:
        await answer.source.aclose()
    show_object(run, output, reader, text)
