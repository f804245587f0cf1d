"""Training scalar reward models: from a recipe of pairs to a model folder that judges by two scores.

    recipe (TOML) ──> pairs ──> tokens of both conversations ──> one training for each rate ──> the best of them

`run_scalar` is what `rmr1 scalar` calls. Conversations are read by the same reader as when the model judges
(`rmr1.engines.hf.scorer.ConversationReader`), so what is trained is what is asked.
"""
