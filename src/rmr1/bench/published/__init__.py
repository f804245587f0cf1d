"""The published field: figures of other judges, checked, and where a new one stands among them."""

from rmr1.bench.published.checks import (
    PrintedDifference,
    TableDisagreement,
    check_rows,
    find_disagreements,
    follow,
)
from rmr1.bench.published.footnotes import MARKS, marks_of
from rmr1.bench.published.rows import (
    THREE,
    TITLES,
    Printed,
    PublishedRow,
    RowKind,
    find_rows,
    load_rows,
    read_rows,
)
from rmr1.bench.published.standing import Standing, average_three, place

__all__ = [
    "MARKS",
    "THREE",
    "TITLES",
    "Printed",
    "PrintedDifference",
    "PublishedRow",
    "RowKind",
    "Standing",
    "TableDisagreement",
    "average_three",
    "check_rows",
    "find_disagreements",
    "find_rows",
    "follow",
    "load_rows",
    "marks_of",
    "place",
    "read_rows",
]
