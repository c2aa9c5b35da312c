"""The GitHub Actions connector (REST API, version 2022-11-28), and the check of our permissions.

Permissions are checked by reading each list, and by actions on ids that do not exist, which change nothing. GitHub
answers such an action 403 if the token lacks the permission, and names it in X-Accepted-GitHub-Permissions; 404 if
only the id is missing. A token without access to a repository gets 404 for everything.
Source: docs.github.com, REST API; GitHub's OpenAPI description.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from connectors.github_actions.actions import GitHubCanceller, GitHubDispatcher, GitHubRerunner
from connectors.github_actions.client import GitHubClient, GitHubRateLimit
from connectors.github_actions.hold import GitHubHolder
from connectors.github_actions.inventory import PAUSE_REASONS, GitHubInventory, WorkflowFiles, read_workflows
from connectors.github_actions.log import GitHubLogReader
from connectors.github_actions.options import GitHubActionsOptions, targets
from connectors.github_actions.runs import GitHubAttemptReader, GitHubPoller, parse_reference
from connectors.sdk import fields
from connectors.sdk.action_router import ActionRouter, run_parts
from connectors.sdk.composed import ComposedConnector
from connectors.sdk.contract import ConnectorKind, Probe, SecretResolver, SourcePermission
from connectors.sdk.errors import AccessRefused, NotSupported
from connectors.sdk.states import Capability, ProofLevel, Verb
from connectors.sdk.transport.http import HttpAccount, HttpEndpoint, HttpReply, Transport

P = ParamSpec("P")
T = TypeVar("T")
SETTLE_SECONDS = 5.0
"""How long a key must stay absent before the action counts as never arrived: a dispatched run is listed seconds
later."""


class GitHubActionsConnector(ComposedConnector):
    def __init__(
        self,
        options: GitHubActionsOptions,
        repository: str,
        secrets: SecretResolver,
        transport: Transport = None,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        endpoint = HttpEndpoint("GitHub", options.url, options.ca_file, transport)
        account = HttpAccount(secrets, None, None, options.token)
        client = GitHubClient(endpoint, account, repository, GitHubRateLimit())

        def watched(job: str) -> bool:
            return any(fields.matches_any(name, options.workflows) for name in (job, job.partition(":")[2]))

        definitions, holder = WorkflowFiles(client), GitHubHolder(client)
        rerunner = GitHubRerunner(client, definitions)
        dispatcher = GitHubDispatcher(client, definitions, options.ref, options.inputs)
        reader = GitHubInventory(client, definitions, watched)
        attempts = GitHubAttemptReader(client, definitions)
        poller = GitHubPoller(client, attempts, watched, options.events, reader.asleep)
        parts = run_parts(rerunner, dispatcher, GitHubCanceller(client), holder)
        super().__init__(
            client,
            inventory=within_rate_limit(client, reader.read),
            poll=within_rate_limit(client, poller.poll),
            log=GitHubLogReader(client, definitions, options.ca_file, transport).read,
            acts=ActionRouter("GitHub", client, parts, settle_seconds=settle_seconds, has_run=parse_reference),
            holds=holder.all_holds,
            probe=lambda: probe(client),
        )


def within_rate_limit(client: GitHubClient, part: Callable[P, T]) -> Callable[P, T]:
    """The component for polling, which leaves the requests reserved for people."""

    def call(*values: P.args, **named: P.kwargs) -> T:
        client.polling = True
        try:
            return part(*values, **named)
        finally:
            client.polling = False

    return call


CONNECTOR = ConnectorKind(
    kind="github_actions",
    title="GitHub Actions",
    options=GitHubActionsOptions,
    targets=targets,
    open=GitHubActionsConnector,
    capabilities=frozenset(Capability) - {Capability.MARK, Capability.PERIODS},
    missing={
        Capability.MARK: "GitHub cannot set a run's conclusion; Headway records it as asserted",
        Capability.PERIODS: "a workflow gets no date: whenever it runs, it runs for now",
    },
    proofs=frozenset({ProofLevel.FULL}),
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
        "next attempt and by the account that started it."
    ),
)

NO_SUCH_ID = 2**53 - 1  # an id above all that GitHub gives: an Enterprise Server begins at 1
NO_HOLD = "HEADWAY_HOLD_NONE"
FIX = "give the token the permission {}: headway connector grants github_actions"


def probe(client: GitHubClient) -> Probe:
    """Permissions and notes on disabled workflows. Raises SystemUnreachable or AccessRefused; NotSupported for another
    program."""
    try:
        reply = client.repository_row()
    except NotSupported as error:
        raise AccessRefused(f"{error}. Is the repository's name right, and may the token see it?") from None
    row = reply.table()
    if "full_name" not in row:
        raise NotSupported(f"{reply.place}: this is not GitHub")
    pushes = fields.subtable(row, "permissions").get("push")
    rights = [
        SourcePermission("read the repository", True),
        _probe_read("read Actions", lambda: client.workflows(1), "Actions: read"),
        _probe_read("read workflow files", client.workflow_folder, "Contents: read"),
        _probe_read("read variables (holds)", lambda: client.variables(1), "Variables: read"),
        _probe_action("rerun and cancel runs", lambda: client.cancel(NO_SUCH_ID), "Actions: write", pushes),
        _probe_action("start and disable workflows", lambda: client.enable(NO_SUCH_ID, True), "Actions: write", pushes),
        _probe_action("write variables (holds)", lambda: client.delete_variable(NO_HOLD), "Variables: write", pushes),
    ]
    version = reply.headers.get("x-github-enterprise-version", "") or "github.com"
    rows = fields.tables(read_workflows(client)[0]) if rights[1].held else []
    asleep = (row for row in rows if row.get("state") in PAUSE_REASONS)
    notes = sorted(fields.clean(f"{row.get('path')}: {PAUSE_REASONS[str(row['state'])]}") for row in asleep)[:10]
    if rights[1].held and not rows:
        notes = ["workflows: the list is empty; it has none, or Actions are off in this repository"]
    return Probe(True, fields.masked_head(fields.clean(version), 40), tuple(rights), tuple(notes), reply.clock)


def _probe_read(name: str, call: Callable[[], HttpReply], permission: str) -> SourcePermission:
    fix = FIX.format(permission)
    try:
        reply = call()
    except AccessRefused as error:
        return SourcePermission(name, False, str(error), fix)
    except NotSupported as error:
        return SourcePermission(name, None, str(error), fix)
    if reply.status == 403:
        return SourcePermission(name, False, f"{reply.place}: {reply.error}", fix)
    return SourcePermission(name, True)


def _probe_action(name: str, call: Callable[[], HttpReply], permission: str, pushes: object) -> SourcePermission:
    fix = FIX.format(permission)
    if pushes is False:
        return SourcePermission(name, False, "the account may not write to this repository", fix, "act")
    try:
        reply = call()
    except AccessRefused as error:
        return SourcePermission(name, False, str(error), fix, "act")
    if reply.status in (404, 409, 422):
        return SourcePermission(name, True, needed_for="act")
    return SourcePermission(name, None, f"{reply.place}: {reply.error}", fix, "act")
