"""Any OpenAI-compatible chat-completions server as an engine."""

from rmr1.engines.openai.engine import OpenAIEngine, parse_openai_name

__all__ = ["OpenAIEngine", "parse_openai_name"]
