"""Policies proposed for failures that people repaired often in the same way, and with success.

Only reruns by people count that a policy could have sent: where no policy of the config decides.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from console.control.policies.selection import matches
from console.domain.failure import FailureMemory, FailureSignature, RepairTry
from console.domain.incident_record import CauseKind
from console.domain.job import RepairedJob, Safety
from console.domain.policy import Policy, PolicyMatch

FEWEST_TRIES, LEAST_SUCCESS, NAME_LENGTH = 5, 0.8, 40


@dataclass(frozen=True, slots=True)
class ProposedPolicy:
    """A policy, and the repairs by people for which it is proposed."""

    policy: Policy
    failure: FailureSignature
    tries: int
    successes: int
    by: Mapping[str, int]
    """Person -> tries, the most first."""
    unsafe: Mapping[str, Safety]
    """The jobs that no policy may rerun, if too few repairs remain without theirs: the policy waits for their cards."""


def propose_policies(
    memories: Iterable[FailureMemory], jobs: Mapping[str, RepairedJob], policies: Sequence[Policy]
) -> list[ProposedPolicy]:
    """The policies to add to `policies`, in the order of the memories. `jobs`: those still watched, by name."""
    proposed = list[ProposedPolicy]()
    for memory in memories:
        tries = dict.fromkeys(_comparable_tries(memory, jobs, policies))  # two incidents of one run may share a try
        safe = [(job, attempt) for job, attempt in tries if jobs[job].rerun is Safety.SAFE]
        for known in (safe, [*tries]):
            good = sum(attempt.good is not None for _, attempt in known)
            if len(known) >= FEWEST_TRIES and good / len(known) >= LEAST_SUCCESS:
                names = {policy.name for policy in (*policies, *(earlier.policy for earlier in proposed))}
                policy = Policy(_new_name(memory.signature, names), "rerun", PolicyMatch(signatures=(memory.id,)))
                by = dict(Counter(attempt.by for _, attempt in known).most_common())
                unsafe = {job: jobs[job].rerun for job, _ in known if jobs[job].rerun is not Safety.SAFE}
                proposed.append(ProposedPolicy(policy, memory.signature, len(known), good, by, unsafe))
                break
    return proposed


def _comparable_tries(
    memory: FailureMemory, jobs: Mapping[str, RepairedJob], policies: Sequence[Policy]
) -> Iterator[tuple[str, RepairTry]]:
    """The job and the try, of each rerun that a person sent and a policy could have sent."""
    failure = memory.signature
    if failure.cause != CauseKind.RUN or failure.is_cancelled:
        return
    for past in memory.incidents:
        job, tries = jobs.get(past.job), past.ended_tries
        if job and not any(matches(policy.match, failure, past.job, job.services) for policy in policies):
            yield from ((past.job, sent) for sent in tries if sent.method == "rerun" and sent.origin == "person")


def _new_name(failure: FailureSignature, names: Set[str]) -> str:
    """ "rerun-connection-refused": from the error, else the task; "rerun-connection-refused-2" if that is taken."""
    text = re.sub("[^a-z]+", " ", f"rerun {failure.error or failure.task}".lower())
    name = textwrap.shorten(text, NAME_LENGTH, placeholder="").replace(" ", "-")
    numbered = (f"{name}-{number}" if number > 1 else name for number in range(1, len(names) + 2))
    return next(free for free in numbered if free not in names)
