"""What the identity may see, found out by trying: AWS has no question "what may I?" that needs no right itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice

from connectors.contract import AccessRefused, ConnectorError, Right
from connectors.step_functions import parse
from connectors.step_functions.client import Reply, StepFunctionsClient
from connectors.step_functions.errors import Gone, right_of

UNTRIED = "AWS tells only when it is tried"
ACTS = (
    Right(
        "rerun or start an execution",
        None,
        UNTRIED,
        "allow states:StartExecution on the state machines and states:RedriveExecution on their executions",
        needed_for="act",
    ),
    Right("stop an execution", None, UNTRIED, "allow states:StopExecution on the executions", needed_for="act"),
    Right(
        "hold and release schedules",
        None,
        UNTRIED,
        "allow scheduler:UpdateSchedule on the schedules and iam:PassRole on the roles that they name",
        needed_for="act",
    ),
)
NO_SCHEDULES = Right(
    "scheduler:ListSchedules",
    False,
    "endpoint_url is the address of Step Functions alone",
    "give scheduler_endpoint_url as well",
    needed_for="act",
)


def listed(machines: Callable[[], Iterable[Reply]]) -> tuple[list[Reply], tuple[Right, ...]]:
    """The state machines, and whether they may be listed."""
    try:
        return list(machines()), (_held("ListStateMachines"),)
    except AccessRefused as error:
        return [], (_refused("ListStateMachines", error),)


def tried(client: StepFunctionsClient, machines: Sequence[Reply]) -> Iterator[Right]:
    """Each call that watching needs, tried on the first state machine and execution that there are."""
    arns = [str(one.get("stateMachineArn")) for one in machines if one.get("type") != parse.EXPRESS]
    if not arns:
        return
    executions: list[Reply] = []

    def list_one() -> None:
        executions.extend(client.executions(arns[0], 1).get("executions", []))

    yield _tried("DescribeStateMachine", partial(client.state_machine, arns[0]))
    yield _tried("ListExecutions", list_one)
    for one in executions[:1]:
        yield _tried("DescribeExecution", partial(client.execution, str(one.get("executionArn"))))
        yield _tried("GetExecutionHistory", partial(client.history, str(one.get("executionArn")), 1, None))


def schedules(client: StepFunctionsClient) -> Iterator[Right]:
    """The calls that reading schedules needs, tried; without them nothing can be held."""
    rows: list[Reply] = []

    def list_one() -> None:
        rows.extend(islice(client.schedules(), 1))

    def get_one() -> None:
        with suppress(Gone):
            client.schedule(str(rows[0].get("GroupName") or "default"), str(rows[0].get("Name")))

    yield replace(_tried("ListSchedules", list_one), needed_for="act")
    if rows:
        yield replace(_tried("GetSchedule", get_one), needed_for="act")


def identity(client: StepFunctionsClient) -> str:
    """Who asks, in words; an endpoint of Step Functions alone does not know."""
    try:
        return f"asks as {client.identity()}"
    except ConnectorError as error:
        return f"who asks is not known: {error}"


def express_note(machines: Sequence[Reply]) -> tuple[str, ...]:
    """A warning where there are state machines whose runs nobody can list."""
    names = [str(one.get("name")) for one in machines if one.get("type") == parse.EXPRESS]
    words = f"EXPRESS state machines keep no list of executions, their runs cannot be seen: {', '.join(names[:20])}"
    return (words,) if names else ()


def _tried(call: str, do: Callable[[], object]) -> Right:
    try:
        do()
    except AccessRefused as error:
        return _refused(call, error)
    return _held(call)


def _held(call: str) -> Right:
    return Right(right_of(call), True)


def _refused(call: str, error: AccessRefused) -> Right:
    return Right(right_of(call), False, str(error), f"allow {right_of(call)} to this identity")
