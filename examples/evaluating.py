"""The planner scored over ten forecasts, and the judge itself put to the test.

The embedded model stands in for a judge. A judge is worth something only where it tells good from
bad, so it also sees each plan as one for another city. Where both get the same scores, as from a
model this small, throw the judge away and keep the scorers that measure by code.
"""

import asyncio
import os
from typing import Literal

from typing_extensions import TypedDict

from agents.planning_agent import build_planning_agent
from mastra.evals import Dataset, Experiment, StageContext, compare_experiments, create_scorer

MODEL = os.environ.get("MASTRA_MODEL", "local/smollm2-135m")
CITIES = ["Rome", "Oslo", "Bonn", "Lima", "Kyiv", "Riga", "Bern", "Nice", "Pisa", "Cork"]
SHORT = {"model_settings": {"max_output_tokens": 40, "seed": 1}}


class Verdict(TypedDict):
    """What the judge answers."""

    is_for_the_city: Literal["yes", "no"]


def text_of(ctx: StageContext) -> str:
    return (
        ctx.run.output
        if isinstance(ctx.run.output, str)
        else ctx.run.output[-1]["content"]["content"]
    )


names_city = create_scorer(id="names-city", description="Whether the plan names the city.")
names_city = names_city.generate_score(lambda ctx: ctx.run.ground_truth in text_of(ctx))

judge = create_scorer(id="judge", description="Whether the plan is for the city.", judge=MODEL)
judge = judge.analyze(
    output_schema=Verdict,
    create_prompt=lambda ctx: f"Is this a plan for {ctx.run.ground_truth}? {text_of(ctx)}",
).generate_score(lambda ctx: ctx.results.analyze_step_result["is_for_the_city"] == "yes")

forecasts = Dataset(
    "forecasts",
    [
        {
            "id": city,
            "input": f"Plan one day in {city}: {'rain' if at % 2 else 'sunny'}, {10 + at} °C.",
            "ground_truth": city,
        }
        for at, city in enumerate(CITIES)
    ],
)


async def main() -> None:
    planner = build_planning_agent(MODEL)
    scorers = [names_city, judge]
    made = await Experiment(
        "plans", dataset=forecasts, target=planner, scorers=scorers, target_options=SHORT
    ).run()
    print(len(made.items), "plans", {name: round(score, 2) for name, score in made.scores.items()})

    others = [
        {"id": item.item_id, "input": item.output, "ground_truth": CITIES[at - 1]}
        for at, item in enumerate(made.items)
    ]
    wrong = await Experiment(
        "wrong", dataset=Dataset("wrong", others), target=str.strip, scorers=scorers
    ).run()
    told = compare_experiments(made, wrong).scorers["judge"]
    print(f"the same as plans for other cities: judge {told.candidate:.2f}, p = {told.p_value:.2f}")
    print("The judge", "is worth nothing." if told.is_chance() else "tells them apart.")


if __name__ == "__main__":
    asyncio.run(main())
