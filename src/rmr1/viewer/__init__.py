"""Runs in a browser (`rmr1 view`): an index beside each, search over it, and pages."""
