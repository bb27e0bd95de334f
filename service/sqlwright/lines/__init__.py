"""Rows as lines of text, the same over HTTP and on the command line. They come as JSON, a row a line."""

from sqlwright.lines.csv import CsvWriter
from sqlwright.lines.members import cell, members, split

__all__ = ["CsvWriter", "cell", "members", "split"]
