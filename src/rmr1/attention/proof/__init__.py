"""The self-check of a loaded model: no list of names says which fast ways are right for it."""
