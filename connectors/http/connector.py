"""The `http` connector: any REST API that lists jobs and runs, with its lists and fields named in the config, or in a
profile that makes it a kind of its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from connectors.http.actions import HttpActions
from connectors.http.client import HttpApiClient, HttpPage, HttpSource
from connectors.http.hold import HttpHolder
from connectors.http.log import HttpLogReader
from connectors.http.options import PLACEHOLDER, HeaderName, HeaderText, HttpMapping, HttpOptions
from connectors.http.parts import RunReader
from connectors.http.runs import HttpPoller
from connectors.http.sign_in import ProfileSignIn
from connectors.profiles.header import ProfileHeader
from connectors.sdk.composed import ComposedConnector
from connectors.sdk.contract import ApiComparison, ConnectorKind, Probe, SecretResolver, SourcePermission
from connectors.sdk.errors import AccessRefused, ConnectorError, InvalidAnswer, NotSupported, SystemUnreachable
from connectors.sdk.field_mapping import inventory_of, text_at, value_at, with_zones
from connectors.sdk.fields import EPOCH
from connectors.sdk.mapped_actions import (
    EXPLAINED_CAPABILITIES,
    MAPPED_CAPABILITIES,
    UNMAPPED_CAPABILITIES,
    VERB_NAMES,
)
from connectors.sdk.mapped_liveness import MappedHealth
from connectors.sdk.records import Inventory, RunRecord, RunRef
from connectors.sdk.rest_options import RestOptions
from connectors.sdk.states import Capability, ProofLevel
from connectors.sdk.transport.http import HttpAccount, HttpEndpoint, Transport, checked_origin

TARGET = "api"
RECENT = timedelta(days=1)
"""Of the runs among which a probe reads one alone."""
POLL_SECONDS = 20.0
"""The time of a poll, by default."""
STALE_REASON = (
    "A job that is not paused still shows the reason of its last pause. If the source keeps it for a pause without a "
    "reason, send {note} in hold.resume too, or add hold.pause, and write the text by hold.path."
)


class HttpConnector(ComposedConnector):
    def __init__(
        self, source: HttpSource, secrets: SecretResolver, endpoint: HttpEndpoint, account: HttpAccount
    ) -> None:
        self._options, self._api = source.mapping, HttpApiClient(source, secrets, endpoint, account)
        self._reader = reader = RunReader(self._api)
        self._log_reader, hold = HttpLogReader(self._api, reader), source.mapping.hold
        self._holder = None if hold is None else HttpHolder(self._api, hold)
        self._actions = HttpActions(self._api, reader, self._holder)
        self._health = MappedHealth(source.mapping.liveness, self._api.liveness)
        poller = HttpPoller(self._api, reader)
        super().__init__(
            self._api,
            inventory=self._read_inventory,
            poll=lambda cursor, open_runs: self._health.added_to(poller.poll(cursor, open_runs)),
            log=self._log_reader.read,
            acts=self._actions,
            holds=self._actions.all_holds,
            probe=self._permissions,
        )

    def _read_inventory(self, previous_hash: str) -> Inventory:
        rows, clock, cut = self._api.all_rows(self._options.jobs, self._options.jobs.id)
        rows = self._actions.without_marks(rows)
        proof = ProofLevel.FULL if self._options.log else ProofLevel.EXIT
        return inventory_of(rows, self._options.jobs, proof, previous_hash, clock, cut)

    def _permissions(self) -> Probe:
        options = self._options
        jobs = self._api.page(options.jobs, None, EPOCH)
        stopped, notes = self._health.probe()
        rights = [*stopped, SourcePermission("read jobs", True), *self._page_before(jobs)]
        try:
            page = self._api.runs_page(None, datetime.now(UTC) - RECENT)
            rights.append(SourcePermission("read runs", True))
            runs = [*self._reader.runs_of(page)]
            rights += [self._right_to_read_alone(run) for run in runs[:1] if options.runs.one]
            ended = sorted((run for run in runs if not run.state.is_open), key=lambda run: not run.state.is_red)
            rights += [self._right_to_read_log(run, options.log.path) for run in ended[:1] if options.log]
        except AccessRefused as error:
            rights.append(SourcePermission("read runs", False, str(error), f"let the account read {options.runs.path}"))
        rights += [
            SourcePermission(name, None, "unknown until first sent", f"permit {call.method} {call.path}", "act")
            for name, call in options.verbs.named.items()
        ]
        if (hold := options.hold) is not None:
            if hold.note_in == "job":
                place = f"{hold.note} by job_path"
            else:
                seen = any(value_at(row, hold.note) is not None for row in jobs.rows)
                place = f"{hold.note}{'' if seen else ', which no job of the first page shows now'}"
            fix = f"permit {hold.method} {hold.path}; its mark is read at {place}"
            if self._holder is not None and any(map(self._holder.keeps_reason, jobs.rows)):
                fix += f". {STALE_REASON}"
            rights.append(SourcePermission("hold", None, "unknown until first sent", fix, "act"))
        return Probe(True, "", tuple(rights), notes, clock=jobs.clock)

    def _page_before(self, first: HttpPage) -> list[SourcePermission]:
        """A missing right where the list of jobs by {page} has a page 0 without the jobs of page 1; or none."""
        call = self._options.jobs
        if "page" not in call.places or call.first_page == 0:
            return []
        try:
            before = self._api.page(call, 0, EPOCH)
        except ConnectorError:  # there is no such page
            return []
        ids, ids_before = (
            {text_at(row, call.id) for row in page.rows if isinstance(row, dict)} for page in (first, before)
        )
        if not ids_before or not ids.isdisjoint(ids_before):
            return []
        why = "page 0 of jobs has rows that page 1 does not, and it is not read"
        return [SourcePermission("read the first page", False, why, "set first_page = 0 in jobs, and in runs if so")]

    def _right_to_read_alone(self, run: RunRecord) -> SourcePermission:
        """Whether `runs.one` finds this run of the list."""
        why = f"run {run.native_ref} is in the list, and runs.one does not find it"
        try:
            is_found = self._api.run(run.native_ref, run.job) is not None
        except (AccessRefused, InvalidAnswer, NotSupported) as error:
            is_found, why = False, str(error)
        fix = f"let the account read {self._options.runs.one}, or correct runs.one"
        return SourcePermission.checked("read one run", is_found, why, fix, is_grantable=False)

    def _right_to_read_log(self, run: RunRecord, path: str) -> SourcePermission:
        """Whether the log of this run can be read; unknown where the run has none."""
        ref = RunRef(run.job, run.period_key or "", run.attempt_key, run.native_ref, run.started_at)
        fix = f"let the account read {path}, or correct log"
        try:
            self._log_reader.read(ref, None, 1)
        except AccessRefused as error:
            return SourcePermission("read log", False, str(error), fix)
        except (NotSupported, SystemUnreachable) as error:
            return SourcePermission("read log", None, str(error), fix)
        return SourcePermission("read log", True)


def _fixed_text(text: str) -> str:
    if match := PLACEHOLDER.search(text):
        raise ValueError(
            f"{match[0]} is not filled in here: these headers are the same in every request. "
            "Fix: name it in the headers of its call, as verbs.rerun.headers"
        )
    return text


class HttpProfile(ProfileHeader, ProfileSignIn, HttpMapping):
    """A profile of a REST API."""

    possible = frozenset({*EXPLAINED_CAPABILITIES, Capability.HOLD})

    base: Literal["http"]
    url: str = ""
    """Address of the hosted service, where there is one; else the config names it."""
    headers: dict[HeaderName, Annotated[HeaderText, AfterValidator(_fixed_text)]] = Field(default_factory=dict)
    """Headers of every request, the same for each system: no secrets."""

    @model_validator(mode="after")
    def headers_besides_the_sign_in(self) -> Self:
        sign_in = {name.lower() for name in self.sign_in_headers()}
        if replaced := [name for name in self.headers if name.lower() in sign_in]:
            raise ValueError(f"headers.{replaced[0]}: the sign-in sends this header. Fix: remove it")
        self.require_own_headers(sign_in)
        return self

    @field_validator("url")
    @classmethod
    def one_origin(cls, url: str) -> str:
        """A system decides about plain_http."""
        return url and checked_origin(url, plain_http=True)

    def warnings(self) -> list[tuple[tuple[str, ...], str]]:
        rerun = self.verbs.rerun
        has_key = rerun is not None and (bool(self.runs.attempt) or not self.counts_attempts(rerun))
        slow = self.poll_problem(POLL_SECONDS)
        return [*self.verbs.warnings(self.runs.key, self.states, has_key), *([(("limit",), slow)] if slow else [])]

    def capabilities(self) -> frozenset[Capability]:
        return self.verbs.capabilities(self.log, self.hold, self.jobs)

    def compare(self, description: str) -> ApiComparison:
        from connectors.http.api_description import compare  # for start-up time

        always = [*self.headers, *self.sign_in_headers(), *filter(None, [self.token_query])]
        return compare(self, self.url, description, self.session, always)

    def system_options(self) -> type[RestOptions]:
        return self.options_of_a_system(self.url)

    def connector_kind(self) -> ConnectorKind:
        def targets(options: Any) -> list[str]:
            return list(getattr(options, self.targets)) if self.targets else [TARGET]

        ends = self.hold is not None and self.hold.is_reason
        kind = self.kind_of(self.verbs, self.jobs, targets, self.open_target)
        return replace(kind, mark_ends_with_pause=ends, poll_problem=lambda _, seconds: self.poll_problem(seconds))

    def open_target(
        self, options: RestOptions, target: str, secrets: SecretResolver, transport: Transport = None
    ) -> HttpConnector:
        values = self.values(options, target)
        rate = self.requests_per_second
        endpoint = HttpEndpoint(self.title, options.url, options.ca_file, transport, requests_per_second=rate)
        account = self.signed_account(options, values, self.title, endpoint, secrets, transport)
        source = HttpSource(
            with_zones(self, values),
            values,
            fixed_headers=self.headers,
            name=self.title,
            secret_values=self.secret_values(options),
            lacks=self.lacks,
        )
        return HttpConnector(source, secrets, endpoint, account)


def open_system(
    options: HttpOptions, target: str, secrets: SecretResolver, transport: Transport = None
) -> HttpConnector:
    del target  # an address is one target
    source = HttpSource(options, headers=options.headers)
    rate = options.requests_per_second
    endpoint = HttpEndpoint(source.name, options.url, options.ca_file, transport, requests_per_second=rate)
    account = HttpAccount(secrets, options.username, options.password, options.token)
    return HttpConnector(source, secrets, endpoint, account)


CONNECTOR = ConnectorKind(
    kind="http",
    title="Any REST API, mapped in the config",
    options=HttpOptions,
    targets=lambda options: [TARGET],
    open=open_system,
    profile=HttpProfile,
    capabilities=MAPPED_CAPABILITIES,
    missing=UNMAPPED_CAPABILITIES,
    lacks=lambda options: HttpActions.missing_capabilities(options.verbs, options.log, options.jobs),
    proofs=frozenset({ProofLevel.EXIT, ProofLevel.FULL}),
    verbs=VERB_NAMES,
    poll_problem=lambda options, seconds: options.poll_problem(seconds),
    may_start_early=True,
    dates_runs=True,
    schedules="expression",
    ladder="Proves a run's end as the API reports it, by the values that states names; any other value is UNKNOWN. "
    "With a log it proves output as well.",
)
