"""What a query gives and whether it reads or writes, from its header's word and its statement's verb."""

from __future__ import annotations

from sqlwright.query import Access, Cardinality, Statement
from sqlwright.sql.dialect import Dialect
from sqlwright.sql.directives import Directives
from sqlwright.sql.report import Report
from sqlwright.sql.structure import CHANGING_VERBS, Structure

_WITH_ROWS = frozenset([Cardinality.MANY, Cardinality.ONE, Cardinality.ONE_OR_NONE, Cardinality.VALUE])
_TRANSACTION = frozenset(["begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release"])
_INSERTING = frozenset(["insert", "replace"])


class ResultRules:
    """Settles the cardinality and the access mode of one query; pairs that cannot be are reported.

    `offset` is where to point when the header says no word.
    """

    def __init__(
        self, directives: Directives, statement: Statement, structure: Structure, offset: int, report: Report
    ) -> None:
        self.directives = directives
        self.statement = statement
        self.reads = structure.reads and not directives.writes
        self.offset = directives.cardinality_offset if directives.cardinality else offset
        self.report = report
        self.verb = statement.verb.upper()

    def settle(self, dialect: Dialect, *, has_header: bool) -> tuple[Cardinality, Access]:
        said = self.directives.cardinality
        cardinality = said or Cardinality.MANY
        access = Access.READ if self.reads else Access.WRITE
        if cardinality is Cardinality.SCRIPT:
            access = Access.SCRIPT
        elif self.statement.verb in _TRANSACTION:
            message = f"{self.verb} cannot be a query: every call is a transaction of its own"
            hint = "statements that belong together are one script: `:script`, or `#` behind the name"
            first = self.statement.parts[0].offset
            self.report.error("transaction", first, message, hint, len(self.verb))
        elif cardinality in (Cardinality.RETURNING, Cardinality.INSERT):
            cardinality = self._returned(cardinality, dialect)
        elif cardinality is Cardinality.BULK and self.reads:
            message = f":bulk runs a write once for every item, and this {self.verb} reads"
            self._error(message, "make it :many, or write `-- @write` if it writes")
        elif cardinality in _WITH_ROWS and self.statement.verb in CHANGING_VERBS and not self.statement.has_returning:
            where = "write `:exec` or `!` behind the name" if has_header else "write `-- :result :exec` above it"
            because = f"so it cannot be :{said}" if said else "and a query without a result word is :many"
            self._error(f"this {self.verb} gives no rows, {because}", f"{where}, or add RETURNING")
        self._check_limit(cardinality, access)
        if self.directives.isolation is not None and access is Access.SCRIPT:
            message = "@isolation is for a query; a script begins its transactions itself"
            hint = "remove the line, and write BEGIN with its isolation in the script"
            self.report.error("directive", self.directives.isolation_offset, message, hint)
        if self.directives.batch_offset is not None and access is not Access.READ:
            message = "@batch is for queries that read; those that write are never run together"
            self.report.error("directive", self.directives.batch_offset, message, "remove the line")
        if self.directives.plan_mode is not None and access is Access.SCRIPT:
            message = "@plan-mode is for a query; the statements of a script are planned once each"
            self.report.error("directive", self.directives.plan_mode_offset, message, "remove the line")
        return cardinality, access

    def _error(self, message: str, hint: str) -> None:
        self.report.error("result", self.offset, message, hint)

    def _returned(self, said: Cardinality, dialect: Dialect) -> Cardinality:
        """RETURNING where the statement gives a row; else, for an INSERT on engines that tell its key, INSERT."""
        verb = self.statement.verb
        if self.reads:
            message = f":{said} is for a statement that writes, and this {self.verb} reads"
            self._error(message, "make it :one, or write `-- @write` if it writes")
        elif verb not in CHANGING_VERBS or self.statement.has_returning:
            return Cardinality.RETURNING
        elif dialect.last_insert_id and verb in _INSERTING:
            return Cardinality.INSERT
        elif said is Cardinality.INSERT and verb in _INSERTING:
            # Files of PugSQL and sqlc say so for every engine: they load, and give what there is to give.
            message = f"without RETURNING {dialect.name} does not tell the key, so this gives the number of rows"
            self.report.warning("result", self.offset, message, "add RETURNING and the key's name, or make it :exec")
            return Cardinality.EXEC
        else:
            message = f"this {self.verb} has no RETURNING, so it gives no row"
            self._error(message, "add RETURNING, or make it :exec")
        return said

    def _check_limit(self, cardinality: Cardinality, access: Access) -> None:
        paged = cardinality is Cardinality.MANY and access is Access.READ
        if self.directives.page_rows is not None and not paged:
            message = "@limit sets the rows of a page, and only reads of many rows have pages"
            hint = "remove the line; LIMIT in the SQL limits this query"
            self.report.error("directive", self.directives.limit_offset, message, hint)
