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
        ("pod load-7f9c4d5b6f-x2k9p killed", "pod load-6c8d9f7b5d-zqwxk killed"),
        ("ERROR: lock 7fa2c is missing", "ERROR: lock 81bdd is missing"),
        ("2026-11-20 03:12:09 ERROR 4711 --- disk full", "2026-11-21 03:12:09 ERROR 912 --- disk full"),
        ("Nov 20 03:12:09 etl-3 load[17]: ERROR: bad file", "Dec  1 03:12:09 etl-4 load[9]: ERROR: bad file"),
        ("ValidationError: 56 rows are late", "ValidationError: 7 rows are late"),
    ],
)
def test_dates_ids_and_paths_do_not_make_another_failure(now: str, before: str) -> None:
    assert of(now) == of(before)
    assert of(now).id == of(before).id


@each_row("name", ["load_20261128", "load_2026_11_28", "load-20261128T0300", "load-7f9c4d5b6f-x2k9p"])
def test_dates_and_pod_names_do_not_make_another_task(name: str) -> None:
    assert of("bad", name).task in {"load_#", "load-#"}


@each_row(
    "error, other",
    [
        ("HTTP error 503", "HTTP error 404"),
        ("SQL error 23505", "SQL error 40001"),
        ("SQLSTATE[42S02]: failed", "SQLSTATE[42P01]: failed"),
        ("error E1001 in step", "error E1002 in step"),
        ("2026-11-20 03:12:09 ERROR E1001 in step", "2026-11-20 03:12:09 ERROR E1002 in step"),
        ("ORA-01555: bad", "ORA-00001: bad"),
        ("failed (TS2307)", "failed (TS2322)"),
        ("error: killed, exit code 137", "error: killed, exit code 139"),
        ("error 0x80070005", "error 0x80004005"),
    ],
)
def test_the_code_of_an_error_makes_another_failure(error: str, other: str) -> None:
    assert of(error) != of(other)


@each_row(
    "log, cause",
    [
        ("ERROR at line 1:\nABC-01555: too old: rollback segment\nABC-06512: at \"P.K\", line 8\nABC-06512: at line 1",
         "ABC-01555: too old: rollback segment"),
        ("ERROR: File X locked.\nNOTE: stopped\nERROR: Errors printed on page 12.", "ERROR: File X locked"),
        ("100038 (22018): Value not recognized\n  Part 'a', line 3\n  Row 3, column 5", "(): Value not recognized"),
        ("Completed with 1 error:\n\nFailure in test unique_id\n  Got 3, to fail if != 0\nDone. PASS=1 ERROR=1",
         "Failure in test unique_id"),
        ('  File "a.py", line 3, in f\n    raise ValueError("invalid: not found")\nValueError: bad', "ValueError: bad"),
        ("DbError: no such table: a\n[SQL: SELECT error]\n(See error at: https://example.org/e)",
         "DbError: no such table: a"),
        ("a.c:3: error: bad\na.c:4: error: worse\nmake: failed with 2 errors", "a.c:: error: bad"),
        ("ERROR: rejected by peer\nERROR: 3 failed, 12 passed", "ERROR: rejected by peer"),
    ],
)  # fmt: skip
def test_the_error_is_that_of_the_cause_and_not_of_a_frame_or_summary(log: str, cause: str) -> None:
    assert cause == of(log).error


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
