"""Any OpenAI-compatible server: chat completions as an engine, and decision endpoints."""

from rmr1.engines.openai.decider import DecisionModel
from rmr1.engines.openai.engine import OpenAIEngine, parse_openai_name

__all__ = ["DecisionModel", "OpenAIEngine", "parse_openai_name"]
