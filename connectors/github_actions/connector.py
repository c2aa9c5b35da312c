"""GitHub Actions (REST API, version 2022-11-28). Source: docs.github.com, REST API; GitHub's OpenAPI description."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import ParamSpec, TypeVar

import httpx

from connectors.contract import Capability, Connector, ConnectorKind, Proof, Secrets, Verb
from connectors.github_actions.acts import Acts
from connectors.github_actions.attempts import AttemptReader
from connectors.github_actions.client import GitHubClient
from connectors.github_actions.definitions import Definitions
from connectors.github_actions.dispatch import Dispatcher
from connectors.github_actions.hold import Holder
from connectors.github_actions.inventory import InventoryReader
from connectors.github_actions.limits import Budget
from connectors.github_actions.log import LogReader, Store
from connectors.github_actions.options import GitHubActionsOptions, targets
from connectors.github_actions.poll import Poller
from connectors.github_actions.probe import probe
from connectors.github_actions.rerun import Rerunner
from connectors.parts import PartedConnector
from connectors.transport.account import Account
from connectors.transport.http import HttpDoor

P = ParamSpec("P")
T = TypeVar("T")
SETTLE_SECONDS = 5.0
"""For how long a key must stay absent before it counts as never arrived: a dispatched run is listed seconds later."""


class GitHubActionsConnector(PartedConnector):
    """One repository of a GitHub."""

    def __init__(
        self,
        options: GitHubActionsOptions,
        repository: str,
        secrets: Secrets,
        transport: httpx.BaseTransport | None = None,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        door = HttpDoor("GitHub", options.url, options.ca_file, transport)
        account = Account(secrets, None, None, options.token)
        client = GitHubClient(door, account, repository, Budget(options.requests_kept))

        def watched(job: str) -> bool:
            names = (job, job.partition(":")[2])
            return any(fnmatchcase(name, pattern) for name in names for pattern in options.workflows)

        definitions, holder = Definitions(client), Holder(client)
        reader = InventoryReader(client, definitions, watched)
        attempts = AttemptReader(client, definitions)
        poller = Poller(client, attempts, watched, options.events, options.history_days, reader.asleep)
        super().__init__(
            client,
            inventory=sparing(client, reader.read),
            poll=sparing(client, poller.poll),
            log=LogReader(client, definitions, Store(client, options.ca_file, transport)).read,
            acts=Acts(
                client,
                Rerunner(client, definitions),
                Dispatcher(client, definitions, options.ref, options.inputs),
                holder,
                settle_seconds,
            ),
            holds=holder.all_holds,
            probe=lambda: probe(client),
        )


def sparing(client: GitHubClient, part: Callable[P, T]) -> Callable[P, T]:
    """The part, which leaves the requests that are kept for people alone."""

    def call(*given: P.args, **named: P.kwargs) -> T:
        client.polling = True
        try:
            return part(*given, **named)
        finally:
            client.polling = False

    return call


def open_github_actions(options: GitHubActionsOptions, target: str, secrets: Secrets) -> Connector:
    """A connector of one repository, not yet connected."""
    if target not in options.repositories:
        raise ValueError(f"{target!r} is none of the repositories {', '.join(options.repositories)}")
    return GitHubActionsConnector(options, target, secrets)


CONNECTOR = ConnectorKind(
    kind="github_actions",
    title="GitHub Actions",
    options=GitHubActionsOptions,
    targets=targets,
    open=open_github_actions,
    capabilities=frozenset(Capability) - {Capability.MARK, Capability.PERIODS},
    missing={
        Capability.MARK: "nobody sets the conclusion of a run of GitHub; Headway asserts it itself",
        Capability.PERIODS: "a workflow gets no date: whenever it runs, it runs for now",
    },
    proofs=frozenset({Proof.FULL}),
    verbs={
        Verb.RERUN: "re-run failed jobs, all jobs, or a job with those that need it",
        Verb.START: "dispatch the workflow",
        Verb.CANCEL: "cancel the run",
        Verb.HOLD: "disable the workflow",
        Verb.RELEASE: "enable the workflow",
    },
    schedules="expression",
    ladder=(
        "Full proof: GitHub records start, conclusion and log of each job, and of each attempt of a run. A run that is "
        "a success although jobs failed (continue-on-error) is PARTIAL. A run that was deleted before its end was "
        "seen, or that GitHub calls stale, is LOST, INFERRED. A rerun carries no key of ours: it is found by the run's "
        "next attempt and by who started it."
    ),
)
