"""A branch: each arm has a condition, and a map brings the arms together again."""

import asyncio

from pydantic import BaseModel

from mastra import create_workflow, step


class Parcel(BaseModel):
    """What is to be sent."""

    grams: int


@step
async def by_letter(parcel: Parcel) -> str:
    return f"{parcel.grams} g by letter"


@step
async def by_van(parcel: Parcel) -> str:
    return f"{parcel.grams} g by van"


shipping = (
    create_workflow(id="shipping", input_schema=Parcel, output_schema=str)
    .branch(
        [
            (lambda ctx: ctx.input_data.grams <= 500, by_letter),
            (lambda ctx: ctx.input_data.grams > 500, by_van),
        ]
    )
    # A branch gives the results of the arms that ran, by step id.
    .map(lambda ctx: next(iter(ctx.input_data.values())))
    .commit()
)


async def main() -> None:
    for grams in (80, 2500):
        run = await shipping.create_run()
        result = await run.start(input_data=Parcel(grams=grams))
        print(result.unwrap())


if __name__ == "__main__":
    asyncio.run(main())
