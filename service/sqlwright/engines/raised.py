"""A driver's error, raised as ours."""

from __future__ import annotations

from typing import NoReturn


def raise_ours(ours: Exception | None, error: BaseException) -> NoReturn:
    """Raise `ours` because of `error`, or `error` itself where it has no translation.

    For a translation that has no name where it is raised: an error in a variable of a frame that its traceback leads to
    keeps itself, and all of the call, until the garbage collector comes.
    """
    try:
        if ours is None or ours is error:
            raise error
        raise ours from error
    finally:
        del ours, error
