"""Data in and out: rows of files, pairs and candidates of datasets, run folders."""

from rmr1.data.files import Row, read_rows
from rmr1.data.read import list_formats, read_candidates, read_pairs
from rmr1.data.sources import Reader, recognise

__all__ = [
    "Reader",
    "Row",
    "list_formats",
    "read_candidates",
    "read_pairs",
    "read_rows",
    "recognise",
]
