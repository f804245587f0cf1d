"""Judging at scale: the pairs of one run over many engines. Nothing here is imported unless a cluster is asked for."""
