"""The offline vLLM engine."""

from rmr1.engines.vllm.engine import VLLMEngine

__all__ = ["VLLMEngine"]
