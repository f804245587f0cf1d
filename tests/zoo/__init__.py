"""Tiny random models of every architecture that transformers registers, and what each path of rmr1 makes of them.

`configs` builds them, `truth` says what a model computes by its own forward, one text at a time; `paths` computes
the same as the product does; `table` lays the two beside each other. `python -m tests.zoo` prints the table.
"""
