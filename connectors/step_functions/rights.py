"""What the identity may see, found out by trying: AWS has no question "what may I?" that needs no right itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice

from connectors.aws.rights import tried as tried_at
from connectors.aws.rights import untried
from connectors.contract import Right
from connectors.step_functions import parse
from connectors.step_functions.client import Reply, StepFunctionsClient

ACTS = (
    untried(
        "rerun or start an execution",
        "allow states:StartExecution on the state machines and states:RedriveExecution on their executions",
    ),
    untried("stop an execution", "allow states:StopExecution on the executions"),
    untried(
        "hold and release schedules",
        "allow scheduler:UpdateSchedule on the schedules and iam:PassRole on the roles that they name",
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
    found: list[Reply] = []
    right = _tried("ListStateMachines", lambda: found.extend(machines()))
    return found, (right,)


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
        client.schedule(str(rows[0].get("GroupName") or "default"), str(rows[0].get("Name")))

    yield tried_at("scheduler", "ListSchedules", list_one, needed_for="act")
    if rows:
        yield tried_at("scheduler", "GetSchedule", get_one, needed_for="act")


def express_note(machines: Sequence[Reply]) -> tuple[str, ...]:
    """A warning where there are state machines whose runs nobody can list."""
    names = [str(one.get("name")) for one in machines if one.get("type") == parse.EXPRESS]
    words = f"EXPRESS state machines keep no list of executions, their runs cannot be seen: {', '.join(names[:20])}"
    return (words,) if names else ()


def _tried(call: str, do: Callable[[], object]) -> Right:
    return tried_at("stepfunctions", call, do)
