"""Runs commands of Airflow's own CLI side by side: each is a fork of this process, which has imported what they need.

Alone each imports for some 3 s of CPU. argv: a JSON object, name -> [log file, word of the command, ...], and the file
that is written when all run: name -> process id, JSON. Each is the leader of a session of its own; this process stays
until the last one has ended.
"""

# mypy: ignore-errors
from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

from airflow.exceptions import AirflowOptionalProviderFeatureException

NEEDED = (
    "airflow.__main__",
    "airflow.models",
    "airflow.jobs.scheduler_job_runner",
    "airflow.dag_processing.manager",
    "airflow.executors.local_executor",
    "airflow.api_fastapi.core_api.app",
    "airflow.api_fastapi.core_api.routes.public",
    "airflow.api_fastapi.core_api.routes.ui",
    "airflow.api_fastapi.execution_api.app",
    "airflow.api_fastapi.execution_api.routes",
    "airflow.api_fastapi.execution_api.versions",
    "airflow.sdk.execution_time.task_runner",
    "airflow.providers.standard.operators.hitl",
    "alembic.command",
    "uvicorn",
)


def fork(log: str, texts: list[str]) -> int:
    """The process id of that command, which runs from now on."""
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    sys.argv = ["airflow", *texts]
    sys.exit(sys.modules["airflow.__main__"].main())


def main(parameters: dict[str, list[str]], answer: Path) -> None:
    gc.disable()
    for name in NEEDED:
        with suppress(AirflowOptionalProviderFeatureException):  # questions to people: 3.0 has none
            importlib.import_module(name)
    gc.freeze()  # to walk through what is imported again and again takes a tenth of the CPU
    gc.enable()
    gc.set_threshold(20_000, 20, 20)
    assert threading.active_count() == 1, threading.enumerate()  # a fork would not take them along
    record = {name: fork(log, texts) for name, (log, *texts) in parameters.items()}
    fresh = answer.with_suffix(".new")
    fresh.write_text(json.dumps(record))
    fresh.rename(answer)
    for _ in record:
        os.wait()


main(json.loads(sys.argv[1]), Path(sys.argv[2]))
