"""How the tests talk to the lab's Airflow through the connector, and a relay that loses answers."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from connectors.airflow.connector import CONNECTOR
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionSpec, Connector
from connectors.sdk.records import RunRecord
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import RunState, Verb
from tests.lab.airflow import AirflowServer
from tests.lab.process import HANGS_SECONDS, wait_until

T = TypeVar("T")
PAUSE = 0.25
"""Between two looks: one through the connector is a dozen requests, of 10 ms of CPU each on Airflow's side."""
CALL_SECONDS = 60.0
"""For each call: what Airflow does is judged here and not how fast it is on a machine that runs the whole suite."""


def connect(url: str, user: str = "headway") -> Connector:
    options = CONNECTOR.options(url=url, username=user, password={"env": f"HEADWAY_AF_{user.upper()}"})
    return CONNECTOR.open(options, "api", SecretStore())


def ran(airflow: AirflowServer, dag: str, how: str, state: str) -> str:
    """Native id of a run of this DAG that ended in `state` just now."""
    if how in ("succeed", "fail"):
        airflow.behave(dag, "fail" if how == "fail" else "succeed")
    run = f"lab__{new_key()}"
    airflow.trigger(dag, run)
    airflow.wait_for(dag, run, state)
    return run


def every(connector: Connector, cursor: str = "") -> list[RunRecord]:
    """The last word on each attempt since the cursor."""
    runs: dict[tuple[str, str], RunRecord] = {}
    more = True
    while more:
        poll = connector.poll(cursor, (), CALL_SECONDS)
        runs |= {(run.job, run.attempt_key): run for run in poll.runs}
        cursor, more = poll.cursor, poll.more
    return list(runs.values())


def attempt(connector: Connector, job: str, run: str) -> RunRecord:
    """The latest attempt of one run of a DAG or task."""

    def result() -> RunRecord | None:
        runs = [
            run_record
            for run_record in every(connector)
            if run_record.job == job and run_record.context.get("run_id", run_record.period_key) == run
        ]
        return runs[-1] if runs else None

    return until(f"an attempt of {job} {run}", result)


def until(what: str, query: Callable[[], T | None]) -> T:
    return wait_until(query, what, pause=PAUSE)


def action_spec_of(run: RunRecord) -> ActionSpec:
    return ActionSpec(Verb.RERUN, ref(run), run.state)


def running(airflow: AirflowServer, connector: Connector, dag: str, task: str) -> RunRecord:
    """A fresh run of a DAG that obeys, whose task hangs."""
    airflow.behave(dag, "hang")
    run = f"lab__{new_key()}"
    airflow.trigger(dag, run)
    running_task = "SELECT 1 FROM task_instance WHERE dag_id = ? AND run_id = ? AND task_id = ? AND state = 'running'"
    until(f"{task} of {dag} to run", lambda: airflow.rows(running_task, dag, run, task))

    def hanging() -> RunRecord | None:
        runs = {run_record.job: run_record for run_record in every(connector) if run_record.period_key == run}
        both = [runs.get(dag), runs.get(f"{dag}.{task}")]
        return runs.get(dag) if all(run and run.state is RunState.RUNNING for run in both) else None

    return until(f"{task} of {dag} to hang", hanging)


@contextmanager
def eating_answers(port: int, to: bytes) -> Iterator[int]:
    """Port of a relay to `port` that closes instead of passing on the answer to a request whose first line has `to`."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        thread = threading.Thread(target=relay, args=(listener, port, to, over), daemon=True)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            over.set()
            thread.join(HANGS_SECONDS)


def relay(listener: socket.socket, port: int, to: bytes, over: threading.Event) -> None:
    while not over.is_set():
        with suppress(TimeoutError):
            near = listener.accept()[0]
            far = socket.create_connection(("127.0.0.1", port))
            pair = (near, far, to, over)
            threading.Thread(target=pass_on, args=pair, daemon=True).start()


def pass_on(near: socket.socket, far: socket.socket, to: bytes, over: threading.Event) -> None:
    eat = False
    with near, far, suppress(OSError):
        while not over.is_set():
            for connection in select.select([near, far], [], [], 0.1)[0]:
                data = connection.recv(65536)
                eat = eat or (connection is near and to in data.partition(b"\r\n")[0])
                if not data or (connection is far and eat):
                    return
                (far if connection is near else near).sendall(data)
