"""How well the signature of a failure groups failures of one cause, on 2,000 tails of ten tools.

Purity: the share of tails in whose group their own cause is the most frequent one, weighed by tail. Split: the share of
tails outside of the largest group of their cause. Rules may be made on the tools of the half "tuning" only.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence

from connectors.sdk.states import RunState
from console.control.snapshot.failures import failure_signature
from tests.bench.failure_logs import FailureLog, failure_logs
from tests.bench.figures import Figure, Scale, arguments, emit

SEED = 40


def signature(failure: FailureLog) -> Hashable:
    """The signature that an incident stores, of a failure whose log is known."""
    return failure_signature(failure.system_kind, RunState.FAILED, failure.exit_code, failure.log, failure.failed_task)


def exit_code(failure: FailureLog) -> Hashable:
    """The anchor: what a scheduler reports without a log."""
    return failure.system_kind, failure.failed_task, failure.exit_code


def purity(failures: Iterable[FailureLog], key: Callable[[FailureLog], Hashable]) -> float:
    groups = _groups(failures, key)
    return sum(max(causes.values()) for causes in groups) / sum(map(Counter.total, groups))


def split(failures: Iterable[FailureLog], key: Callable[[FailureLog], Hashable]) -> float:
    largest, total = Counter[Hashable](), 0
    for causes in _groups(failures, key):
        total += causes.total()
        for cause, number in causes.items():
            largest[cause] = max(largest[cause], number)
    return 1 - largest.total() / total


def _groups(failures: Iterable[FailureLog], key: Callable[[FailureLog], Hashable]) -> Sequence[Counter[Hashable]]:
    groups: defaultdict[Hashable, Counter[Hashable]] = defaultdict(Counter)
    for failure in failures:
        groups[key(failure)][failure.tool, failure.cause] += 1
    return list(groups.values())


def measure(quick: Scale) -> list[Figure]:
    failures = failure_logs(SEED)
    failures = failures[:: quick.of(1, 1, 4)]
    parts = {"whole": failures, **{half.replace(" ", "_"): of_half(failures, half) for half in ("held out", "tuning")}}
    return [
        Figure(f"{name}_{part}", judge(chosen, signature), "share", "exit code", judge(chosen, exit_code))
        for part, chosen in parts.items()
        for name, judge in (("purity", purity), ("split", split))
    ]


def of_half(failures: Iterable[FailureLog], half: str) -> list[FailureLog]:
    return [failure for failure in failures if failure.half == half]


if __name__ == "__main__":
    given = arguments(__doc__ or "")
    emit("signatures", measure(given.quick), given.json)
