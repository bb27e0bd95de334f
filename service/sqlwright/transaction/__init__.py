"""Transactions: begun, committed and undone in one way for every engine, whatever happens in between.

One connection serves one statement at a time. A statement that fails makes its level (the transaction, or the
savepoint around it) failed, on every engine: nothing of a failed level is ever kept. Giving the connection back never
awaits; what is still open on it then is rolled back by the pool's own task.
"""

from sqlwright.transaction.begin import begin
from sqlwright.transaction.deadline import Deadline, deadline
from sqlwright.transaction.isolation import check_isolation, strongest
from sqlwright.transaction.open import OpenTransaction
from sqlwright.transaction.retry import retry, retry_collided

__all__ = [
    "Deadline",
    "OpenTransaction",
    "begin",
    "check_isolation",
    "deadline",
    "retry",
    "retry_collided",
    "strongest",
]
