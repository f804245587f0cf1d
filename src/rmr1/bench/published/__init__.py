"""The published field: figures of other judges, and where a new one stands among them."""

from rmr1.bench.published.rows import THREE, TITLES, Printed, PublishedRow, RowKind, load_rows, read_rows
from rmr1.bench.published.standing import Standing, average_three, explain_rows, place

__all__ = ["THREE", "TITLES", "Printed", "PublishedRow", "RowKind", "Standing", "average_three"]
__all__ += ["explain_rows", "load_rows", "place", "read_rows"]
