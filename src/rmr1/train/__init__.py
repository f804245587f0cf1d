"""Training judges: supervised fine-tuning, from a recipe to a model folder.

    recipe (TOML) ──> examples ──> packed rows ──> loss ──> checkpoints ──> Hugging Face folder

`run_sft` is what `rmr1 sft` calls, `merge_adapter` what `rmr1 merge` calls. Nothing here is imported before
it is needed: torch, accelerate and peft come with the modules that use them.
"""
