"""What the engine of tests does where a durable one meets trouble."""

from __future__ import annotations

from typing import Any

import pytest

from mastra import InMemoryStorage, InProcessEngine, Mastra, create_workflow
from mastra.errors import StorageError
from mastra.storage.in_process import InMemoryWorkflowStore
from mastra.testing import ReplayEngine
from tests.support.flows import Number, adding

pytestmark = pytest.mark.anyio


class Failing(InMemoryWorkflowStore):
    """Is away when it is first to keep something."""

    is_away = True

    def append(self, *arguments: Any, **options: Any) -> None:
        """Raise once."""
        if self.is_away:
            self.is_away = False
            raise StorageError("away")
        super().append(*arguments, **options)


@pytest.mark.parametrize("make_engine", [InProcessEngine, ReplayEngine])
@pytest.mark.parametrize("side_by_side", [False, True])
async def test_a_run_whose_storage_fails_once_is_left_as_it_is(
    make_engine: Any, side_by_side: bool
) -> None:
    workflow = create_workflow(id="w", input_schema=Number, output_schema=Any)
    steps = [adding("a"), adding("b")]
    for step in () if side_by_side else steps:
        workflow.then(step)
    if side_by_side:
        workflow.parallel(steps)
    storage = InMemoryStorage()
    storage.workflows = Failing()
    async with Mastra(
        workflows=[workflow.commit()], engine=make_engine(), storage=storage
    ) as mastra:
        run = await mastra.get_workflow("w").create_run()
        with pytest.raises(StorageError):
            await run.start({"value": 1})
        found = await mastra.get_workflow("w").get_run(run.run_id)
        assert found is not None
        assert found.status == "running"
