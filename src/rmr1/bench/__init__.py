"""Benchmarks: official data in, official scores out, from a live judge or from judgments that exist."""
