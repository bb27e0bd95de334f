"""sqlwright: put SQL in files, get a typed, fast, safe JSON API, tune each query by its name."""

__version__ = "0.1.0"
