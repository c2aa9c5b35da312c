"""Paths of Airflow's REST API below its base, each part percent-encoded. Pure."""

from __future__ import annotations

from urllib.parse import quote


def dag_path(dag: str) -> str:
    """Path of a DAG below /api/v2."""
    return f"/dags/{part(dag)}"


def run_path(dag: str, run: str) -> str:
    """Path of a run below /api/v2, each part percent-encoded."""
    return f"{dag_path(dag)}/dagRuns/{part(run)}"


def task_path(dag: str, run: str, task: str) -> str:
    """Path of a task in a run below /api/v2, each part percent-encoded."""
    return f"{run_path(dag, run)}/taskInstances/{part(task)}"


def question_path(dag: str, run: str, task: str, map_index: int) -> str:
    """Path of what a task asks a person."""
    return f"{task_path(dag, run, task)}/{map_index}/hitlDetails"


def part(raw: str) -> str:
    """One path part. "." and ".." would be folded away by URL libraries: they are not valid Airflow ids anyway."""
    return quote(raw, safe="") if raw not in (".", "..") else quote(raw, safe="").replace(".", "%2E")
