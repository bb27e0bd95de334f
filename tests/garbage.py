"""What only the garbage collector would free: a service whose collector runs rarely must leave none behind."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept() -> Iterator[set[str]]:
    """Afterwards the set has the names of the types of all objects made since that a cycle has kept."""
    names: set[str] = set()
    gc.collect()
    gc.freeze()  # what a thread or a timer of an earlier test lets go of meanwhile is not ours
    gc.disable()
    try:
        yield names
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        names.update(type(each).__name__ for each in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
        gc.unfreeze()
