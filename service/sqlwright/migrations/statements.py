"""One migration's text → what is run, in which order, and what of it in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlwright.diagnostic import Diagnostic
from sqlwright.query import Access, Cardinality, Query, SourceFile, Statement, Text
from sqlwright.sql.blocks import split
from sqlwright.sql.dialect import Dialect
from sqlwright.sql.directives import as_directive
from sqlwright.sql.lexer import BLOCK_COMMENT, COMMENT, WORD, Token, lex

NO_TRANSACTION = "no_transaction"
"""`-- @no_transaction` above the first statement: each statement is committed by itself."""

_BEGINS = frozenset({"begin", "start"})
_ENDS = frozenset({"commit", "end", "rollback", "abort"})
_TRANSACTION = _BEGINS | _ENDS | {"savepoint", "release"}


@dataclass(frozen=True, slots=True)
class Step:
    """What is sent in one go: a statement, or a transaction that the file begins and ends itself."""

    verb: str
    """Its first word, lower case."""
    start: int
    end: int

    def query(self, source: SourceFile) -> Query:
        """As a script, the text as it is."""
        statement = Statement((Text(source.text[self.start : self.end], self.start),), self.verb)
        return Query(
            name="migration",
            cardinality=Cardinality.SCRIPT,
            access=Access.SCRIPT,
            statement=statement,
            parameters=(),
            source=source,
            offset=self.start,
        )


@dataclass(frozen=True, slots=True)
class Script:
    """`inside` runs in one transaction when `atomic`; `before` and `after` never do (PRAGMA and VACUUM refuse one)."""

    before: tuple[Step, ...]
    inside: tuple[Step, ...]
    after: tuple[Step, ...]
    atomic: bool


def read_script(source: SourceFile, dialect: Dialect) -> Script | list[Diagnostic]:
    lexed = lex(source.text, dialect)
    # Native placeholders and the like are the database's business here: nothing of this text is ours.
    faults = [fault for fault in lexed.faults if fault.code == "unterminated"]
    if faults:
        return [source.diagnostic(f.code, f.offset, f.message, f.hint, length=f.length) for f in faults]
    # Without comments, because `-- name: x` begins a query in other files but not in these.
    code = [token for token in lexed.tokens if token.kind not in (COMMENT, BLOCK_COMMENT)]
    block = split(source.text, code)[0]
    if block.body_open_at is not None:
        return [source.diagnostic("unterminated", block.body_open_at, "this BEGIN is never ended", "add END;")]
    steps = [_step(tokens) for tokens in block.statements()]
    if not steps:
        hint = "write a statement, or begin the file's name with _ to skip it"
        return [source.diagnostic("empty", 0, "there is no SQL in this file", hint)]
    found = _directives(source, [token for token in lexed.tokens if token.end <= steps[0].start])
    if not isinstance(found, frozenset):
        return found
    if any(step.verb == "delimiter" for step in steps):
        place = next(step for step in steps if step.verb == "delimiter")
        hint = "leave it out: a body between BEGIN and END is understood as it is"
        return [
            _at(source, place, "delimiter", "DELIMITER is a command of the mysql client, not of the database", hint)
        ]
    if NO_TRANSACTION in found or any(dialect.undoable is not None and s.verb not in dialect.undoable for s in steps):
        return Script((), tuple(_grouped(steps)), (), atomic=False)
    return _atomic(source, steps, dialect)


def _atomic(source: SourceFile, steps: list[Step], dialect: Dialect) -> Script | list[Diagnostic]:
    first, last = 0, len(steps)
    while first < last and steps[first].verb in dialect.outside_transaction:
        first += 1
    while last > first and steps[last - 1].verb in dialect.outside_transaction:
        last -= 1
    wrong = []
    for step in steps[first:last]:
        shown = step.verb.upper()
        if step.verb in _TRANSACTION:
            message = f"{shown} in a file that is run in one transaction anyway"
            hint = f"leave it out, or write `-- @{NO_TRANSACTION}` at the top of the file"
            wrong.append(_at(source, step, "transaction", message, hint))
        elif step.verb in dialect.outside_transaction:
            message = f"{shown} has no place inside a transaction"
            hint = f"move it to the start or the end, or write `-- @{NO_TRANSACTION}` at the top of the file"
            wrong.append(_at(source, step, "transaction", message, hint))
    return wrong or Script(tuple(steps[:first]), tuple(steps[first:last]), tuple(steps[last:]), atomic=True)


def _step(tokens: Sequence[Token]) -> Step:
    first = tokens[0]
    return Step(first.value if first.kind is WORD else "", first.start, tokens[-1].end)


def _grouped(steps: Sequence[Step]) -> Iterator[Step]:
    """From a BEGIN to its end is one step, because an engine may want to see both."""
    begun: Step | None = None
    for step in steps:
        if begun is not None:
            if step.verb in _ENDS:
                yield Step(begun.verb, begun.start, step.end)
                begun = None
        elif step.verb in _BEGINS:
            begun = step
        else:
            yield step
    if begun is not None:
        yield Step(begun.verb, begun.start, steps[-1].end)


def _directives(source: SourceFile, comments: Sequence[Token]) -> frozenset[str] | list[Diagnostic]:
    """The `-- @words` above the first statement."""
    found, wrong = set(), []
    for token in comments:
        directive = as_directive(source.text[token.start : token.end], token.start)
        if directive is None:
            continue
        word = directive.word.replace("-", "_")
        if word == NO_TRANSACTION:
            found.add(word)
        else:
            message = f"@{directive.word} means nothing in a migration"
            hint = f"known is `-- @{NO_TRANSACTION}`"
            length = token.end - token.start
            wrong.append(source.diagnostic("directive", token.start, message, hint, length=length))
    return wrong or frozenset(found)


def _at(source: SourceFile, step: Step, code: str, message: str, hint: str) -> Diagnostic:
    return source.diagnostic(code, step.start, message, hint, length=len(step.verb))
