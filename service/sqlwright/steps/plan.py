"""From a draft to what will run: every step's contract looked up, every value validated, before any BEGIN."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from sqlwright.config import Settings
from sqlwright.contract import Contract, Contracts
from sqlwright.crud import Operation, Tables
from sqlwright.diagnostic import ParameterFault
from sqlwright.errors import CallError, InvalidParameters, QueryInvalid
from sqlwright.parameters import FAULTS_MAX
from sqlwright.plan import Plan, make_bulk_plan, make_plan
from sqlwright.query import Access, Cardinality, Isolation, Query, Window
from sqlwright.steps.draft import KEYED, Draft, QueryDraft, StepDraft, TableDraft
from sqlwright.steps.references import Shape
from sqlwright.transaction import strongest


@dataclass(frozen=True, slots=True)
class Sources:
    """Where steps are looked up. `find` gives the query that a caller may run, or raises `UnknownQuery`."""

    find: Callable[[str], Query]
    contracts: Contracts
    tables: Tables


@dataclass(frozen=True, slots=True)
class Step:
    """What runs: plans in order, of which the last one's result is the step's, or a table's operation."""

    work: Plan | Operation
    place: str
    """Where in the caller's body the parameters of a failing statement stand."""
    waits: bool
    """Some values come from earlier steps."""

    @property
    def plans(self) -> tuple[Plan, ...]:
        return (self.work,) if isinstance(self.work, Plan) else self.work.plans


@dataclass(frozen=True, slots=True)
class Steps:
    """A transaction, decided."""

    steps: tuple[Step, ...]
    isolation: Isolation | None
    dry_run: bool

    @property
    def read_only(self) -> bool:
        return all(plan.access is Access.READ for step in self.steps for plan in step.plans)


Ground = Contract | Operation | None
"""What a step stands on, None where that cannot be told because the draft is wrong."""


async def look_up(draft: Draft, sources: Sources) -> tuple[list[Ground], list[ParameterFault]]:
    """The contract of each query and the operation of each table, and what is wrong with the operations' values.

    Raises `UnknownQuery`, `UnknownTable` and `QueryInvalid` with the step, and what a lease raises when the database
    has to be asked and is away.
    """
    faults: list[ParameterFault] = []
    queries = [_find(index, step, sources) for index, step in enumerate(draft.steps)]  # before the database is asked
    grounds: list[Ground] = []
    for index, (step, query) in enumerate(zip(draft.steps, queries, strict=True)):
        ground: Ground = None
        if query is not None:
            ground = sources.contracts.ready(query) or await _described(index, sources.contracts.get(query))
        elif isinstance(step, TableDraft) and len(faults) < FAULTS_MAX:
            try:
                ground = await _operation(step, sources.tables)
            except InvalidParameters as error:
                faults += _placed(error.faults, step)
            except CallError as error:
                error.step = index
                raise
        grounds.append(ground)
    return grounds, faults


def _find(index: int, step: StepDraft | None, sources: Sources) -> Query | None:
    if not isinstance(step, QueryDraft):
        return None
    try:
        return sources.find(step.query)
    except CallError as error:
        error.step = index
        raise


async def _described(index: int, contract: Awaitable[Contract]) -> Contract:
    try:
        return await contract
    except QueryInvalid as error:
        # One refusal is raised to all who ask, so the step is told on a copy.
        told = QueryInvalid(str(error), error.diagnostic)
        told.step = index
        try:
            raise told from error
        finally:
            del told  # its traceback leads back here: a cycle would keep all of the call


async def _operation(step: TableDraft, tables: Tables) -> Operation:
    name, key, values = step.table, step.key, step.values
    match step.kind:
        case "get":
            return await tables.get(name, key)
        case "list":
            return await tables.list(name, values, sort=step.sort, limit=step.limit, paged=False)
        case "create" if step.rows is not None:
            return await tables.create_many(name, list(step.rows))
        case "create":
            return await tables.create(name, values)
        case "update":
            return await tables.update(name, key, values)
        case "replace":
            return await tables.replace(name, key, values)
        case "delete":
            return await tables.delete(name, key)


def plan_steps(draft: Draft, grounds: Sequence[Ground], faults: Sequence[ParameterFault], settings: Settings) -> Steps:
    """Validate everything and decide what will run. Pure. Raises `InvalidParameters` with all faults of all steps."""
    found = [*draft.faults, *faults]
    shapes = [_shape(ground) for ground in grounds]
    steps = []
    for step, ground in zip(draft.steps, grounds, strict=True):
        if step is not None:
            found += islice(_references(step, shapes), FAULTS_MAX)
        if isinstance(step, QueryDraft) and isinstance(ground, Contract):
            try:
                steps.append(_query_step(step, ground, settings))
            except InvalidParameters as error:
                found += _placed(error.faults, step)
        elif isinstance(step, TableDraft) and isinstance(ground, Operation):
            steps.append(Step(_bounded(ground), f"{step.place}.{step.kind}", bool(step.laters)))
    if found:
        raise _invalid(found)
    # A query's own @isolation holds inside a transaction too: all of it takes the strongest that anyone asks for.
    asked = [plan.contract.query.isolation for step in steps for plan in step.plans]
    return Steps(tuple(steps), strongest([draft.isolation, *asked]), draft.dry_run)


def _query_step(step: QueryDraft, contract: Contract, settings: Settings) -> Step:
    validator, below = contract.validator, f"{step.place}.params"
    if contract.query.cardinality is Cardinality.BULK:
        plan = make_bulk_plan(contract, validator.bulk(step.params, settings.bulk_items_max))
        return Step(plan, below, bool(step.laters))
    call = validator.from_json(step.params)
    if call.next is not None:
        detail = "a read in a transaction has no pages; ask for more rows with limit"
        raise InvalidParameters([ParameterFault("body", "next", "unknown", detail)])
    plan = make_plan(contract, call, paged=False)
    if contract.query.is_paged:
        rows = call.limit or contract.page_rows_max
        plan = replace(plan, window=Window(rows, bytes_max=contract.page_bytes_max))
    return Step(plan, below, bool(step.laters))


def _bounded(operation: Operation) -> Operation:
    """A list without a limit gives no more rows than a page may have."""
    plan = operation.plans[-1]
    if operation.kind != "list" or plan.window is not None:
        return operation
    window = Window(plan.contract.page_rows_max, bytes_max=plan.contract.page_bytes_max)
    return replace(operation, plans=(replace(plan, window=window),))


def _shape(ground: Ground) -> Shape | None:
    if isinstance(ground, Operation):
        ground = ground.plans[-1].contract
    return None if ground is None else Shape.of(ground.query.cardinality, ground.columns)


def _references(step: StepDraft, shapes: Sequence[Shape | None]) -> Iterable[ParameterFault]:
    for later in step.laters:
        shape = shapes[later.step]
        detail = shape.refusal(later.path) if shape is not None else ""
        if detail:
            yield ParameterFault("body", later.place, "reference", detail)


def _placed(faults: Iterable[ParameterFault], step: StepDraft) -> list[ParameterFault]:
    return [replace(fault, parameter=_place(fault, step), place="body", index=None) for fault in faults]


def _place(fault: ParameterFault, step: StepDraft) -> str:
    """Where in the caller's body a parameter stands."""
    item = "" if fault.index is None else f"[{fault.index}]"
    name = f".{fault.parameter}" if fault.parameter else ""
    if isinstance(step, QueryDraft):
        return f"{step.place}.params{item}{name}"
    if fault.parameter in ("sort", "limit") and step.kind == "list" and fault.parameter not in step.values:
        return f"{step.place}{name}"
    # Of a row that is replaced, values may be missing as well.
    of_key = fault.code != "missing" or step.kind != "replace"
    if step.kind in KEYED and fault.parameter not in step.values and of_key:
        return f"{step.place}.key{name if isinstance(step.key, dict) else ''}"
    return f"{step.place}.{step.kind}{item}{name}"


def _invalid(faults: Sequence[ParameterFault]) -> InvalidParameters:
    error = InvalidParameters(list(dict.fromkeys(faults))[:FAULTS_MAX])
    steps = {_step_of(fault) for fault in error.faults}
    if len(steps) == 1:
        error.step = steps.pop()
    return error


def _step_of(fault: ParameterFault) -> int | None:
    head, _, rest = fault.parameter.partition("[")
    number, _, _ = rest.partition("]")
    return int(number) if head == "steps" and number.isdigit() else None
