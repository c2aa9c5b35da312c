"""The rules, in the order in which they are asked: where several fit, the first that tells opens the incident."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from console.control.rules.attempts import overlap, retry_storm
from console.control.rules.budgets import over_budget
from console.control.rules.drifts import drift
from console.control.rules.lengths import too_long, too_short
from console.control.rules.look import Look
from console.control.rules.outputs import output_shrank
from console.control.rules.starts import late_start, not_started
from console.control.rules.successes import n_in_a_row, too_long_since_success
from console.control.rules.waits import stuck_waiting
from console.model.findings import Finding, Rule


@dataclass(frozen=True, slots=True)
class Entry:
    """One rule of the list."""

    rule: Rule
    find: Callable[[Look], Iterator[Finding]]
    of_tasks: bool = False
    """Whether tasks are judged too: most things that a task does wrong show at its job."""


RULES = (
    # A run that never came leaves no row, no log and no error: the oldest pain, so it stands first.
    Entry(Rule.NOT_STARTED, not_started),
    # Fails each time: before all that asks how a single run went, for it says that waiting for the next helps nobody.
    Entry(Rule.N_IN_A_ROW, n_in_a_row),
    # At work and not getting done: each try ends and begins anew, so it is no "too long", which stands after it.
    Entry(Rule.RETRY_STORM, retry_storm),
    # Hangs: nothing is red before it ends, and the deadline may be gone by then.
    Entry(Rule.TOO_LONG, too_long),
    # Costs more than its owner allowed: an agent that goes on and on is at work, and each minute of it is paid for.
    Entry(Rule.OVER_BUDGET, over_budget),
    # Never got its turn: a pool without a slot is seen at the tasks.
    Entry(Rule.STUCK_WAITING, stuck_waiting, of_tasks=True),
    # Green, and half of the data is not there: what the three above cannot see, for all went well.
    Entry(Rule.OUTPUT_SHRANK, output_shrank),
    # The last net: whatever the reason, nothing good came for too long. After all that name a reason.
    Entry(Rule.TOO_LONG_SINCE_SUCCESS, too_long_since_success),
    # From here on hints, which explain another morning's trouble: it began late, …
    Entry(Rule.LATE_START, late_start),
    # … it did nothing, …
    Entry(Rule.TOO_SHORT, too_short),
    # … it ran into itself, …
    Entry(Rule.OVERLAP, overlap),
    # … somebody changed it. Last: `headway drift` tells it with all that may be done about it.
    Entry(Rule.DRIFT, drift),
)
