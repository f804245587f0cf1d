"""How rows that share something attend: packed texts, shared prompts, decoding; and the self-check that proves them."""
