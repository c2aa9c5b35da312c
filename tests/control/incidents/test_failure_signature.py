"""The signature of a failure is the same on each night and on each host of a system."""

from __future__ import annotations

from connectors.sdk.states import RunState
from console.control.snapshot.failures import failure_signature
from console.domain.failure import FailureSignature
from tests.rows import each_row


def of(log: str, task: str = "load", exit_code: int | None = 1, host: str = "") -> FailureSignature:
    return failure_signature("cron", RunState.FAILED, exit_code, log, task, host)


@each_row(
    "now, before",
    [
        ("2026-11-20 03:12:09 ERROR [4711] disk full", "2026-11-21 04:01:17 ERROR [912] disk full"),
        ("ERROR: cannot open '/data/2026-11-20.csv'", "ERROR: cannot open '/data/2026-11-21.csv'"),
        ("ERROR row 17 of batch 9f86d081884c7d65 is invalid", "ERROR row 4 of batch 60303ae22b998861 is invalid"),
        ("connecting\nERROR no space left\ncleanup", "starting\nERROR no space left\nexit 1"),
        ("", "Task exited with return code 1"),
    ],
)
def test_dates_ids_and_paths_do_not_make_another_failure(now: str, before: str) -> None:
    assert of(now) == of(before)
    assert of(now).id == of(before).id


def test_hosts_of_one_system_have_the_same_failure() -> None:
    alpha = of("ERROR: alpha.example.org refused the connection", "alpha:load", host="alpha")
    assert alpha == of("ERROR: beta.example.org refused the connection", "beta:load", host="beta")
    assert alpha != of("ERROR: alpha.example.org has no space left", "alpha:load", host="alpha")
    assert of("ERROR: Alpha refused it", host="alpha.example.org") == of("ERROR: beta refused it", host="beta")
    assert of("api.client.AuthError: retry", host="api") != of("api.client.RateLimitError: retry", host="api")


def test_another_error_task_or_kind_of_system_is_another_failure() -> None:
    full = of("ERROR no space left")
    others = (of("ERROR permission denied"), of("ERROR no space left", "extract"))
    airflow = failure_signature("airflow", RunState.FAILED, 1, "ERROR no space left", "load")
    assert 4 == len({signature.id for signature in (full, *others, airflow)})


@each_row(
    "log, exit_code, error_class",
    [
        ("ERROR no space left", 3, "failed"),
        ("", 3, "failed, exit 3"),
        ("", None, "failed"),
        ("ERROR no space left", 137, "failed, signal 9"),
        ("", -9, "failed, signal 9"),
        ("", 255, "failed, exit 255"),
    ],
)
def test_an_exit_code_counts_only_without_an_error_line(log: str, exit_code: int | None, error_class: str) -> None:
    assert error_class == of(log, exit_code=exit_code).error_class
