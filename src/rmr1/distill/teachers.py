"""Teachers by name: which engine, what they cost, and what identifies them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rmr1.distill.recipe import PassRecipe
from rmr1.engines import Engine, is_scorer, load_engine, parse_model_name
from rmr1.engines.options import check_options
from rmr1.errors import ConfigError
from rmr1.forecast.prices import Price, choose_price, compute_cost

BATCH = "batch:"
"""In front of the name of a model that is only asked by batch files."""
_BATCH_OPTIONS = ("price_in", "price_out", "extra_body", "use_max_completion_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """What is known of a teacher before it is loaded."""

    name: str
    """The teacher's name as it was typed."""
    served: str | None
    """What a server calls it, if one is asked."""
    is_batch: bool
    """Whether it is asked by batch files alone."""
    price: Price | None
    """None if it is not known, or nobody bills."""
    options: dict[str, Any]

    @property
    def is_billed(self) -> bool:
        return self.served is not None

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """USD; None without a price."""
        if self.price is None:
            return None
        cost = compute_cost(self.price, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)
        return round(cost, 6)

    def identify(self) -> dict[str, object] | None:
        """What a run is recognised by; None if that takes the engine. The address is not among it, so that a
        pass may begin with a batch and end on the live server, or on another port."""
        if self.served is None:
            return None
        return {"model": self.served, "extra_body": self.options.get("extra_body") or {}}


def find_teacher(recipe: PassRecipe) -> Teacher:
    """Read a teacher's name and options; nothing is loaded."""
    served, price = None, None
    options = dict(recipe.engine)
    if is_batch := recipe.teacher.startswith(BATCH):
        served = recipe.teacher.removeprefix(BATCH)
        if not served:
            raise ConfigError("teacher 'batch:' names no model; expected batch:NAME, such as batch:gpt-4.1")
        unknown = [key for key in options if key not in _BATCH_OPTIONS]
        if unknown:
            raise ConfigError(
                f"unknown key 'engine.{unknown[0]}' for a batch teacher; it has {', '.join(_BATCH_OPTIONS)}"
            )
    elif (name := parse_model_name(recipe.teacher)).scheme == "openai":
        from rmr1.engines.openai import parse_openai_name

        options = check_options("openai", options)
        served = parse_openai_name(name.rest)[0]
    if served is not None:
        price = choose_price(served, options.get("price_in"), options.get("price_out"))
    return Teacher(name=recipe.teacher, served=served, is_batch=is_batch, price=price, options=options)


def open_teacher(recipe: PassRecipe) -> Engine:
    """The engine of a teacher."""
    from rmr1.models import resolve_model

    model = resolve_model(recipe.teacher)
    if is_scorer(model, recipe.engine):
        raise ConfigError(f"teacher {recipe.teacher!r} is a scalar reward model: it writes no judgments")
    engine = load_engine(model, recipe.engine)
    if model != recipe.teacher:
        engine.name = recipe.teacher  # as it was typed, not where it lies
    return engine
