"""Two steps in a row: what the first gives, the second takes; both are checked."""

import asyncio

from pydantic import BaseModel

from mastra import create_workflow, step


class Order(BaseModel):
    """What the workflow is given."""

    item: str
    quantity: int


class Priced(BaseModel):
    """What the first step hands to the second."""

    item: str
    total: float


@step
async def price(order: Order) -> Priced:
    prices = {"tea": 3.5, "cake": 4.0}
    if order.item not in prices:
        raise ValueError(f"We sell no {order.item}.")
    return Priced(item=order.item, total=order.quantity * prices[order.item])


@step
async def describe(priced: Priced) -> str:
    return f"{priced.item}: {priced.total:.2f}"


orders = (
    create_workflow(id="orders", input_schema=Order, output_schema=str)
    .then(price)
    .then(describe)
    .commit()
)


async def main() -> None:
    run = await orders.create_run()
    result = await run.start(input_data={"item": "tea", "quantity": 2})
    print(result.status, result.unwrap())

    failed = await (await orders.create_run()).start(input_data={"item": "soup", "quantity": 1})
    print(failed.status, failed.steps["price"].error)


if __name__ == "__main__":
    asyncio.run(main())
