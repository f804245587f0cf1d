"""Judgments in a browser: an index beside the run, and the pages that are read through it."""
