"""Models that run in this process, by transformers: those that write and those that score."""
