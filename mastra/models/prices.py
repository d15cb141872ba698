"""What tokens cost, by the price list of `genai-prices`.

The list is part of that package: nothing is fetched. It is imported on first use, since that takes
a few tenths of a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from mastra.extras import needs
from mastra.models.chunks import Usage
from mastra.models.providers import PROVIDERS, provider_name

if TYPE_CHECKING:
    from genai_prices.types import PriceCalculation

__all__ = [
    "Spending",
    "cost_usd",
    "cost_usd_by_side",
    "kept_for_an_hour",
    "load_prices",
    "total_cost_usd",
]


@dataclass(frozen=True, slots=True)
class Spending:
    """One model request: who answered, and what it took."""

    model: str
    """`provider/model`, as it was asked for."""
    usage: Usage
    """Its tokens."""
    answered_by: str | None = None
    """The model's name, as the provider told it."""

    @property
    def cost_usd(self) -> float | None:
        """What it cost, in US dollars; `None` where no price is known."""
        return cost_usd(self.model, self.usage, self.answered_by)


def cost_usd(model: str, usage: Usage, answered_by: str | None = None) -> float | None:
    """Return what tokens cost, in US dollars; `None` where no price is known.

    Args:
        model: `provider/model`.
        usage: The tokens of one request: prices may depend on how long it was.
        answered_by: The model's name as the provider told it, tried where `model` is not listed.
    """
    found = _price(model, usage, answered_by)
    return None if found is None else float(found.total_price)


def cost_usd_by_side(
    model: str, usage: Usage, answered_by: str | None = None
) -> tuple[float, float] | None:
    """Return what the tokens of a prompt cost and what those of its answer did, in US dollars.

    `None` where no price is known. The arguments are those of `cost_usd`.
    """
    found = _price(model, usage, answered_by)
    return None if found is None else (float(found.input_price), float(found.output_price))


def total_cost_usd(spent: Iterable[Spending]) -> float | None:
    """Return what requests cost together; `None` where one of them has no known price."""
    total = Decimal(0)
    is_known = False
    for item in spent:
        price = _price(item.model, item.usage, item.answered_by)
        if price is None:
            return None
        total += price.total_price
        is_known = True
    return float(total) if is_known else None


async def load_prices() -> None:
    """Import the price list, without holding up the event loop."""
    await asyncio.to_thread(_import)


def _import() -> None:
    with needs("openai", "A limit of cost"):
        import genai_prices  # noqa: F401, PLC0415  # pyright: ignore[reportUnusedImport] - see above


def kept_for_an_hour(usage: Usage) -> int:
    """Return how many of the written tokens are kept for an hour, which Anthropic charges more for.

    Args:
        usage: With what the provider said, of one request.
    """
    found: Any = usage.raw
    for name in ("raw", "cache_creation", "ephemeral_1h_input_tokens"):
        found = cast("dict[str, Any]", found).get(name) if isinstance(found, dict) else None
    return min(found, usage.cache_creation_input_tokens or 0) if isinstance(found, int) else 0


def _price(model: str, usage: Usage, answered_by: str | None) -> PriceCalculation | None:
    provider, slash, name = model.partition("/")
    if not slash or (usage.input_tokens is None and usage.output_tokens is None):
        return None
    try:
        import genai_prices  # noqa: PLC0415 - see above
    except ModuleNotFoundError:
        return None  # no list, no known price; it comes with the extras of models

    known = PROVIDERS.get(provider_name(provider))
    priced_as = provider if known is None else known.price_name or provider_name(provider)
    for asked in dict.fromkeys((name, answered_by)):
        if not asked:
            continue
        try:
            return genai_prices.calc_price(
                genai_prices.Usage(
                    # Both with what was cached, written and thought, as the list counts too.
                    input_tokens=usage.input_tokens or 0,
                    output_tokens=usage.output_tokens or 0,
                    cache_read_tokens=usage.cached_input_tokens or 0,
                    cache_write_tokens=usage.cache_creation_input_tokens or 0,
                    cache_write_1h_tokens=kept_for_an_hour(usage),
                    output_reasoning_tokens=usage.reasoning_tokens or 0,
                ),
                asked,
                provider_id=priced_as,
            )
        except LookupError:  # neither the provider nor the model is listed
            continue
        except ValueError:  # counts that cannot be, such as more cached tokens than there were
            return None
    return None
