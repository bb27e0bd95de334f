"""PostgreSQL's plans: EXPLAIN of the statement as the file has it, with the values of one call.

The plan is asked for once, as JSON, and written as people know it: asking again as text would run an analyzed
statement twice, and show two different runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import asyncpg

from sqlwright.engines.postgres import transaction
from sqlwright.engines.postgres.compile import PostgresProgram
from sqlwright.engines.postgres.session import Session
from sqlwright.errors import StatementFailed
from sqlwright.query import Access, Explanation, Values

_MARK = "sqlwright_explained"
_PLAIN = "VERBOSE, SETTINGS, FORMAT JSON"
_ANALYZED = "ANALYZE, BUFFERS, VERBOSE, SETTINGS, FORMAT JSON"

# What stands in the first line of a node, or would say nothing to people.
_IN_HEAD = frozenset({
    "Node Type", "Join Type", "Strategy", "Partial Mode", "Operation", "Command", "Scan Direction", "Parallel Aware",
    "Async Capable", "Parent Relationship", "Subplan Name", "Custom Plan Provider", "Relation Name", "Schema", "Alias",
    "Index Name", "Function Name", "CTE Name", "Startup Cost", "Total Cost", "Plan Rows", "Plan Width",
    "Actual Startup Time", "Actual Total Time", "Actual Rows", "Actual Loops", "Plans", "Output", "Workers",
})  # fmt: skip
_KILOBYTES = frozenset({"Sort Space Used", "Peak Memory Usage", "Disk Usage"})
_COUNTS = (" Blocks", " Read Time", " Write Time")
_JOINS = {"Nested Loop": "Nested Loop {} Join", "Hash Join": "Hash {} Join", "Merge Join": "Merge {} Join"}
_STRATEGIES = {"Hashed": "HashAggregate", "Sorted": "GroupAggregate", "Mixed": "MixedAggregate"}
_CAVEAT = (
    "This is the plan for these values. A statement that runs often on a connection may get one for any values\n"
    "(plan_cache_mode says when)."
)


async def explain(session: Session, program: PostgresProgram, values: Values, *, analyze: bool) -> Explanation:
    """Raises `StatementFailed` for statements that have no plan."""
    options = _ANALYZED if analyze else _PLAIN
    try:
        answer = await session.fetchval(f"EXPLAIN ({options}) {program.plain}", *values)
    except asyncpg.PostgresSyntaxError as error:  # the statement itself has been described before
        verb = program.query.statement.verb.upper()
        raise StatementFailed(f"PostgreSQL has no plan for {verb}") from error
    plan = json.loads(answer)[0]
    return Explanation("\n".join(_text(plan)), plan, analyze)


async def explain_and_undo(session: Session, program: PostgresProgram, values: Values, *, joins: bool) -> Explanation:
    """Run the statement to see what it does. `joins`: in the transaction that is open."""
    if joins:
        await transaction.savepoint(session, _MARK)
    else:
        await transaction.begin(session, None, read_only=program.query.access is Access.READ)
    found = await explain(session, program, values, analyze=True)
    if joins:
        await transaction.rollback_to_savepoint(session, _MARK)
    else:
        await transaction.rollback(session)
    return found


def _text(plan: Mapping[str, Any]) -> Iterator[str]:
    yield from _node(plan["Plan"], 0)
    for trigger in plan.get("Triggers", ()):
        yield f"Trigger {trigger.get('Trigger Name')}: time={trigger.get('Time')} calls={trigger.get('Calls')}"
    if buffers := _buffers(plan.get("Planning", {})):
        yield f"Planning Buffers: {buffers}"
    for key, value in plan.items():
        if key not in ("Plan", "Triggers", "Planning") and value not in ([], {}):
            yield _fact(key, value)
    yield ""
    yield _CAVEAT


def _node(node: Mapping[str, Any], depth: int) -> Iterator[str]:
    """A node, what is known of it, and the nodes below it, indented as PostgreSQL does."""
    outer, inner = " " * (6 * depth - 4), " " * (6 * depth + 2)
    if "Subplan Name" in node:
        yield outer + node["Subplan Name"]
    yield f"{outer}{'->  ' if depth else ''}{_head(node)}"
    for key, value in node.items():
        says_nothing = value in (False, 0, [], {}) and key != "Heap Fetches"
        if not (says_nothing or key in _IN_HEAD or key.endswith(_COUNTS)):
            yield inner + _fact(key, value)
    buffers = _buffers(node)
    if buffers:
        yield f"{inner}Buffers: {buffers}"
    for below in node.get("Plans", ()):
        yield from _node(below, depth + 1)


def _head(node: Mapping[str, Any]) -> str:
    kind = _kind(node)
    if node.get("Parallel Aware"):
        kind = f"Parallel {kind}"
    if node.get("Scan Direction") == "Backward":
        kind += " Backward"
    if "Index Name" in node:
        kind += f" using {node['Index Name']}" if "Relation Name" in node else f" on {node['Index Name']}"
    where = node.get("Relation Name") or node.get("Function Name") or node.get("CTE Name")
    alias = node.get("Alias")
    if where or alias:
        kind += f" on {where or alias}" + (f" {alias}" if where and alias != where and alias else "")
    if "Total Cost" in node:
        kind += (
            f"  (cost={node['Startup Cost']:.2f}..{node['Total Cost']:.2f}"
            f" rows={node['Plan Rows']} width={node['Plan Width']})"
        )
    if "Actual Loops" not in node:
        return kind
    if not node["Actual Loops"]:
        return f"{kind} (never executed)"
    time = ""
    if "Actual Total Time" in node:
        time = f"time={node['Actual Startup Time']:.3f}..{node['Actual Total Time']:.3f} "
    return f"{kind} (actual {time}rows={_value(node['Actual Rows'])} loops={node['Actual Loops']})"


def _kind(node: Mapping[str, Any]) -> str:
    kind = str(node["Node Type"])
    if kind == "ModifyTable":
        return str(node.get("Operation", kind))
    if kind == "Aggregate":
        partial = node.get("Partial Mode", "Simple")
        return ("" if partial == "Simple" else f"{partial} ") + _STRATEGIES.get(node.get("Strategy", ""), kind)
    if kind == "SetOp":
        return f"{'Hash' if node.get('Strategy') == 'Hashed' else ''}{kind} {node.get('Command', '')}".rstrip()
    join = node.get("Join Type", "Inner")
    return _JOINS[kind].format(join) if kind in _JOINS and join != "Inner" else kind


def _buffers(node: Mapping[str, Any]) -> str:
    """`shared hit=3 read=1`, as the text form has it."""
    said = []
    for place in ("Shared", "Local", "Temp"):
        counts = [
            f"{what.lower()}={node[f'{place} {what} Blocks']}"
            for what in ("Hit", "Read", "Dirtied", "Written")
            if node.get(f"{place} {what} Blocks")
        ]
        if counts:
            said.append(f"{place.lower()} {' '.join(counts)}")
    return ", ".join(said)


def _fact(key: str, value: Any) -> str:
    unit = " ms" if key.endswith(" Time") else " kB" if key in _KILOBYTES else ""
    return f"{key}: {_value(value)}{unit}"


def _value(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():  # rows, which 18 gives as an average over loops
        return str(int(value))
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} = {_value(inner)}" for key, inner in value.items())
    return str(value)
