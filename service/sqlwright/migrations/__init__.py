"""Numbered `.sql` files, run once each, in order: the schema's history, kept in the database itself."""

from sqlwright.migrations.files import Migration, read_migrations
from sqlwright.migrations.history import Entry, State, refuse_what_is_wrong
from sqlwright.migrations.runner import Progress, initialise, look, migrate, resolve

__all__ = [
    "Entry",
    "Migration",
    "Progress",
    "State",
    "initialise",
    "look",
    "migrate",
    "read_migrations",
    "refuse_what_is_wrong",
    "resolve",
]
