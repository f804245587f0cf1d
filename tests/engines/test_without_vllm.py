"""The vLLM engine where vLLM is not installed."""

from __future__ import annotations

import pytest

from rmr1.engines import load_engine
from rmr1.errors import ConfigError
from tests.engines.conftest import HAS_VLLM


@pytest.mark.skipif(HAS_VLLM, reason="vllm is installed here")
def test_it_is_said_what_to_install() -> None:
    pytest.importorskip("transformers")
    with pytest.raises(ConfigError, match=r"^the vllm engine needs vllm, .* pip install 'rmr1\[vllm\]'$"):
        load_engine("vllm:some/model")
