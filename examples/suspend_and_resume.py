"""Wait for a person: the run suspends, and goes on when somebody answers, whenever that is."""

import asyncio

from pydantic import BaseModel

from mastra import Mastra, StepContext, WorkflowSuspended, create_step, create_workflow


class Expense(BaseModel):
    """What somebody wants to spend."""

    what: str
    amount: float


class Answer(BaseModel):
    """What somebody else decides."""

    approved: bool


async def ask(ctx: StepContext[Expense]) -> str:
    expense = ctx.input_data
    if ctx.resume_data is None:
        await ctx.suspend({"question": f"Pay {expense.amount:.2f} for {expense.what}?"})
    return "paid" if ctx.resume_data.approved else "refused"


approve = create_step(
    id="approve", input_schema=Expense, output_schema=str, resume_schema=Answer, execute=ask
)
expenses = (
    create_workflow(id="expenses", input_schema=Expense, output_schema=str).then(approve).commit()
)
# With a SQLStorage in place of memory, another process could resume it next week.
mastra = Mastra(workflows={"expenses": expenses})


async def main() -> None:
    workflow = mastra.get_workflow("expenses")
    run = await workflow.create_run()
    waiting = await run.start(input_data=Expense(what="a chair", amount=120))
    if isinstance(waiting, WorkflowSuspended):
        print(waiting.status, waiting.suspend_payload["approve"])

    again = await workflow.create_run(run_id=run.run_id)
    result = await again.resume(resume_data={"approved": True}, step="approve")
    print(result.status, result.unwrap())


if __name__ == "__main__":
    asyncio.run(main())
