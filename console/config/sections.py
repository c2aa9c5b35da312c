"""The settings of an estate, section by section, and the checked config as one value. Each field is documented below
it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import time, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, field_validator, model_validator

from connectors.sdk.aws.options import AwsOptions
from connectors.sdk.contract import ConnectorKind
from connectors.sdk.option_errors import StrictOptions, Zone, formatted_like
from connectors.sdk.rest_options import RestOptions
from connectors.sdk.secrets import FilePath, SecretRef
from connectors.sdk.states import Capability
from connectors.sdk.transport.loopback import checked_listen, is_loopback
from console.config.alerts import NotificationSettings, RotaSettings
from console.config.paths import STORE_URL
from console.config.services import Deadline, SlaSettings, SloSettings
from console.config.value_types import Duration, JobName, Pause, TimeOfDay
from console.domain.estate import EvaluationSettings
from console.domain.filter import parse_filter
from console.domain.settings import NOTHING_DECLARED, Declared, DeclaredPool, IncidentGrouping, RetentionRules
from console.text.message import LINK
from console.timing.durations import format_duration


class EstateSection(StrictOptions):
    name: str = "headway"
    """Shown in the header and in alerts."""
    store: str | SecretRef = "headway.db"
    """A file next to the config, or a reference to a postgresql:// URL."""
    starts_in: Literal["shadow", "live"] = "shadow"
    """The mode of a new store: in shadow everything is watched and nothing is sent; `headway shadow off` ends it."""

    @field_validator("store", mode="before")
    @classmethod
    def no_url(cls, store: object) -> object:
        if isinstance(store, str) and "://" in store:
            raise ValueError(f"a secret is not written here: {STORE_URL}")
        return store


class SystemSettings(StrictOptions):
    """Settings of every system; the rest belongs to its kind."""

    kind: str
    poll_every: Pause = timedelta(seconds=15)
    """Time between two polls of each target."""
    poll_timeout: Pause = timedelta(seconds=20)
    """Deadline of one poll; of each page where it has several."""
    timezone: Zone = "UTC"
    """For business dates."""
    cutoff: TimeOfDay = time(12, 0)
    """The business date's window runs from this time to the same time of the next day."""


class BudgetSettings(StrictOptions):
    """Limits of one run; exceeding one is a finding."""

    time: Pause | None = None
    """All attempts together."""
    cost: Annotated[float, Field(gt=0)] | None = None
    """In what its source counts: `cost` in the context of its attempts."""


class JobSettings(StrictOptions):
    owner: str = ""
    """The responsible team; its route has the same name."""
    expected: Pause | None = None
    """How long it takes, until there is history; shown as declared."""
    runbook: str = ""
    rerun: Literal["safe", "ask", "never"] = "ask"
    grace: Duration = timedelta(minutes=5)
    """How late a start may be before it counts as missed."""
    notify: tuple[str, ...] = ()
    """Routes, besides the owner's."""
    calendar: str = ""
    """Days on which runs are expected; on all others none is missed. Empty: as scheduled."""
    budget: BudgetSettings | None = None
    """Limits of one run; exceeding one is a finding."""


Condition = Literal["success", "completion", "failure", "ready"]
Period = Literal["same", "previous", "previous business day", "last of month", "latest before", "window"]


def _need(value: Any) -> str | int:
    if value in ("all", "any") or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value  # type: ignore[no-any-return]
    raise ValueError(f'{value!r} is neither "all" nor "any" nor a number from 1')


Need = Annotated[str | int, BeforeValidator(_need)]


class DependencySettings(StrictOptions):
    upstream: JobName | None = None
    upstreams: tuple[JobName, ...] = ()
    """Instead of `upstream`: several, which are one gate together."""
    downstream: JobName
    need: Need = "all"
    """How many upstreams must satisfy `condition`."""
    condition: Condition = "success"
    """success: well ended. completion: ended, however. failure: red. ready: the check passes."""
    check: str = ""
    """With "ready": the check's name."""
    period: Period = "same"
    """Which run of the upstream is meant: that of the same business date, or another."""
    calendar: str = ""
    """Which days count, for "previous business day" and "last of month"."""
    within: Pause | None = None
    """With "window": so long before the downstream a good run must be due."""
    mode: Literal["observe", "hold", "trigger"] = "observe"
    """observe: warn. hold: keep the downstream from starting until its upstream is good. trigger: start it then."""
    engine_down: Literal["open", "closed"] = "open"
    """Behavior while no engine runs: open: the downstream starts by its clock; closed: it stays held."""
    hold_lead: Pause = timedelta(minutes=10)
    """How long before its start the downstream is held."""
    hold_for: Pause = timedelta(hours=6)
    """Time after that start at which the hold is released in any case, without starting the job."""

    @property
    def feeding(self) -> tuple[str, ...]:
        """The names of its upstreams."""
        return self.upstreams if self.upstream is None else (self.upstream,)

    @property
    def needed(self) -> int:
        """How many of them must hold."""
        return {"all": len(self.feeding), "any": 1}.get(str(self.need)) or int(self.need)

    @model_validator(mode="after")
    def either_one_or_several(self) -> DependencySettings:
        if (self.upstream is None) == (not self.upstreams):
            raise ValueError('name one upstream = "…", or several in upstreams = ["…", "…"]')
        return self


class RejectedDependencySettings(StrictOptions):
    """A pair that `headway suggest` does not list again."""

    upstream: JobName
    downstream: JobName


class ServiceSettings(StrictOptions):
    title: str = ""
    delivered_by: Annotated[tuple[JobName, ...], Field(min_length=1)]
    """Terminal jobs: when all are done, it is delivered. Everything upstream belongs to it."""
    deadline: Deadline
    """By when: a time of day inside the business date's window, `{ time, day }` or `{ after_start, of }`."""
    slo: SloSettings | None = None
    """Objective of the team: a share of days in time, and the resulting error budget."""
    sla: SlaSettings | None = None
    """Agreement with the consumers of the service."""
    timezone: Zone
    cutoff: TimeOfDay = time(12, 0)
    tier: Annotated[int, Field(ge=1, le=5)] = 3
    owner: str = ""
    notify: tuple[str, ...] = ()
    runbook: str = ""
    risk: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of nights that may be late."""
    false_alarm_days: Annotated[int, Field(ge=1, le=90)] = 30
    """Accepted rate of false alarms, one in so many days; the at-risk threshold is learned from it."""
    calendar: str = ""
    """The business dates that have a promise; empty: every one on which something of it runs."""
    ready: tuple[str, ...] = ()
    """Checks that must pass, after its jobs are done, before it counts as delivered."""


class RouteSettings(NotificationSettings):
    urls: Annotated[tuple[SecretRef, ...], Field(min_length=1)]
    """References to apprise URLs; one delivery each."""
    body: Literal["full", "masked", "link"] = "full"
    """Content of a message: everything; secrets, personal data and long numbers masked; or no external text."""
    max_per_minute: Annotated[int, Field(ge=1)] = 10
    """More alerts than this in a minute leave as one digest; the first of a tier-1 service never waits."""
    give_up_after: Pause = timedelta(hours=24)
    """Deliveries not accepted by then are parked."""
    fallback: str = ""
    """Route used if no URL of this one accepts an alert."""
    fallback_after: Pause = timedelta(minutes=2)
    """How long the URLs of this route have for that."""


def _web_address(text: str) -> str:
    if text and not LINK.match(text):
        raise ValueError('write an address that a browser opens, as "https://ops.example.org/headway/"')
    return text


class AlertSettings(StrictOptions):
    default_route: str = ""
    """Route used if a job's owner has none, and for alerts about Headway itself."""
    shadow_route: str = ""
    """Route that receives what shadow mode suppresses; without it that is only recorded."""
    noise_report: str = ""
    """Route of the weekly report of noisy alerts; empty: none."""
    link: Annotated[str, AfterValidator(_web_address)] = ""
    """Address that notifications open: of `headway console serve` or of a published status page; {incident} is filled
    in. Empty: they name the command."""
    ping: SecretRef | None = None
    """Heartbeat URL, fetched while the engine is healthy, so that an outside monitor notices when it stops."""
    ping_every: Pause = timedelta(minutes=1)


_Login = Annotated[str, Field(pattern=r"^[A-Za-z0-9._@-]{1,64}$")]


class EndpointSettings(StrictOptions):
    """Where the engine answers HTTP requests; without `[endpoints]` it listens nowhere."""

    listen: str = "127.0.0.1:9465"
    """Address and port."""
    plain_http: StrictBool = False
    """Allows an address that others can reach: tokens cross it unencrypted, so put a proxy with TLS in front."""
    token: SecretRef | None = None
    """Token that monitors must send to /metrics, /alerts and POST /api/v1/lineage; it gives no other access.
    Authorization: Bearer TOKEN. 16 characters or more, as all tokens."""
    readers: Mapping[_Login, SecretRef] = Field(default_factory=dict)
    """Tokens, by login, that may only read the HTTP API; [[permissions]] must give the login the role view."""
    operators: Mapping[_Login, SecretRef] = Field(default_factory=dict)
    """As `readers`, and may acknowledge incidents and request plans where [[permissions]] give the role act."""
    job_metrics: str = ""
    """Filter of the jobs, at most 200, that have a series of their own on /metrics; empty: none."""
    public_url: Annotated[str, AfterValidator(_web_address)] = ""
    """Address under which phones reach these endpoints; mails and chats then have a signed link to acknowledge. Empty:
    they name the command."""
    link_key: SecretRef | None = None
    """Signs these links; no client needs it. 32 characters or more."""

    @field_validator("job_metrics")
    @classmethod
    def is_a_filter(cls, text: str) -> str:
        parse_filter(text)
        return text

    @model_validator(mode="after")
    def is_not_open_to_all(self) -> EndpointSettings:
        host, _ = checked_listen(self.listen, self.plain_http)
        if self.token is None and not is_loopback(host):
            raise ValueError(f'listen: others reach {self.listen}. Fix: add token = {{ env = "HEADWAY_TOKEN" }}')
        if twice := sorted(self.readers.keys() & self.operators.keys()):
            raise ValueError(f"readers.{twice[0]}: operators has it too. Fix: leave it out of readers")
        address = urlsplit(self.public_url)
        if address.query or address.fragment or address.username is not None:
            shown = f"{address.scheme}://{address.hostname}"
            fix = "Fix: write only host and path, as https://ops.example.org/headway"
            raise ValueError(f"public_url: {shown}… has a login, query or fragment. {fix}")
        if address.scheme == "http" and not is_loopback(address.hostname or ""):
            raise ValueError(f"public_url: {self.public_url} shows the links to readers of the network. Fix: https://")
        if self.public_url and self.link_key is None:
            fix = 'Fix: link_key = { env = "HEADWAY_LINK_KEY" }'
            raise ValueError(f"public_url: links to {self.public_url} need a key. {fix}")
        return self


class SlackSettings(StrictOptions):
    """The Slack app whose buttons acknowledge and silence; routes to slack://xoxb-… of this app have them."""

    app_token: SecretRef
    """App-level token, xapp-…, with the scope connections:write."""
    people: Mapping[Annotated[str, Field(pattern=r"^[UW][A-Z0-9]{2,20}$")], _Login] = Field(default_factory=dict)
    """Slack's member ID -> login in [[permissions]]."""


class StatusPageBucket(AwsOptions):
    """Where in S3 the status page is written."""

    bucket: Annotated[str, formatted_like(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "acme-status")]
    prefix: Annotated[str, formatted_like(r"([A-Za-z0-9._-]+/)*", "headway/")] = ""
    """Before the names of its two objects; ends with "/"."""


class StatusPageSettings(StrictOptions):
    """Where the engine writes index.html and status.json for people without access to Headway."""

    folder: FilePath | None = None
    """An existing folder, for example one that a web server publishes."""
    s3: StatusPageBucket | None = None
    services: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    """Names of services, * for any text."""

    @model_validator(mode="after")
    def has_a_place(self) -> StatusPageSettings:
        if self.folder is None and self.s3 is None:
            raise ValueError('name a place. Fix: folder = "/srv/www/headway", or [status_page.s3]')
        return self


class OtlpSettings(RestOptions):
    """Where the engine sends metrics and finished runs; without `[otlp]` nowhere."""

    url: str = Field(examples=["https://otel.example.com"])
    """Of an OTLP/HTTP receiver, before /v1/metrics and /v1/traces."""
    headers: Mapping[str, SecretRef] = Field(default_factory=dict)
    signals: Annotated[tuple[Literal["metrics", "traces"], ...], Field(min_length=1)] = ("metrics", "traces")
    """metrics: those of /metrics. traces: a span for each finished run."""
    every: Pause = timedelta(minutes=1)
    """Between two exports of metrics, in steps of 15 s."""


class PermissionSettings(StrictOptions):
    who: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    """Logins, "group:NAME", or "*" for everybody."""
    role: Literal["view", "act", "approve", "admin"]
    """Each may do what the ones before it may."""
    systems: tuple[str, ...] = ()
    """Names of systems, * for any text; empty: all, and what belongs to none."""
    services: tuple[str, ...] = ()
    """Only jobs all of whose services are among these; empty: every job."""
    tiers: tuple[Annotated[int, Field(ge=1, le=5)], ...] = ()
    """Only jobs whose most important service is of one of these tiers."""


class ActingSettings(StrictOptions):
    reason_tiers: tuple[Annotated[int, Field(ge=1, le=5)], ...] = (1,)
    """Tiers of services whose upstream jobs need a reason for actions."""
    approval_tiers: tuple[Annotated[int, Field(ge=1, le=5)], ...] = ()
    """And of these tiers: the approval of another person, within an hour."""
    per_hour: Annotated[int, Field(ge=0)] = 20
    """Most actions that one person asks for, steps of plans included; 0: no limit. A plan that may start goes through
    whole."""
    policy_per_hour: Annotated[int, Field(ge=0)] = 200
    """Most holds and starts by the modes of dependencies; 0: no limit. Releases have none."""
    valid_for: Pause = timedelta(hours=4)
    """An action that could not be sent for this long (unreachable host, job still running) expires."""
    cards: tuple[Literal["owner", "runbook", "rerun"], ...] = ("owner", "runbook")
    """Fields of a job's card that users may set, in the console or by "headway job", where [jobs] does not set them."""


_RULES = RetentionRules()


def _at_least(days: int, why: str) -> AfterValidator:
    def check(value: timedelta) -> timedelta:
        if value < timedelta(days=days):
            raise ValueError(f'must be at least "{days}d": {why}')
        return value

    return AfterValidator(check)


class RetentionSettings(StrictOptions):
    """How long what has ended is kept; open work and the audit stay."""

    runs: Annotated[Duration, _at_least(70, "dependencies and forecasts read two months back")] = _RULES.runs
    """Runs and their attempts."""
    log_tails: Pause = _RULES.log_tails
    """Ends of logs of failed runs."""
    incidents: Annotated[Duration, _at_least(30, "reviews and reports read a month back")] = _RULES.incidents
    """Closed incidents with their timeline and notifications, and findings."""
    actions: Annotated[Duration, _at_least(30, "reviews and reports read a month back")] = _RULES.actions
    """Ended actions, holds and plans; the audit keeps who did what."""
    job_days: Duration = _RULES.job_days
    """Daily figures of each job, for dates whose runs are deleted."""

    @model_validator(mode="after")
    def keeps_figures_of_deleted_runs(self) -> RetentionSettings:
        if self.job_days < self.runs:
            days, runs = format_duration(self.job_days), format_duration(self.runs)
            why = f'"{days}" is shorter than runs = "{runs}", so figures would be deleted as they are written'
            raise ValueError(f'job_days: {why}. Fix: at least "{runs}"')
        return self


@dataclass(frozen=True, slots=True)
class SystemConfig:
    """One system with its kind's own options, checked."""

    name: str
    settings: SystemSettings
    kind: ConnectorKind
    options: Any

    @property
    def targets(self) -> list[str]:
        return self.kind.targets(self.options)

    def endpoint(self, target: str) -> str:
        """Its address and port, where other systems may connect to them too; else empty."""
        return self.kind.endpoint(self.options, target) if self.kind.endpoint is not None else ""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Capabilities with its present options."""
        return self.kind.capabilities - self._left_out.keys()

    @property
    def missing(self) -> Mapping[Capability, str]:
        """Why it cannot do the rest, for people."""
        return {**self.kind.missing, **self._left_out}

    @property
    def _left_out(self) -> Mapping[Capability, str]:
        return self.kind.lacks(self.options) if self.kind.lacks is not None else {}


@dataclass(frozen=True, slots=True)
class Config:
    """A whole estate that has passed every check that needs no network and no store."""

    path: Path
    digest: str
    estate: EstateSection
    systems: Mapping[str, SystemConfig]
    jobs: Mapping[str, JobSettings]
    dependencies: tuple[DependencySettings, ...]
    services: Mapping[str, ServiceSettings]
    routes: Mapping[str, RouteSettings]
    alerts: AlertSettings
    permissions: tuple[PermissionSettings, ...] = ()
    acting: ActingSettings = field(default_factory=ActingSettings)
    declared: Declared = NOTHING_DECLARED
    rotas: Mapping[str, RotaSettings] = field(default_factory=dict)
    checks: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the checks by name, as `config.checks.KINDS` has them."""
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    endpoints: EndpointSettings | None = None
    """None: the engine listens nowhere."""
    slack: SlackSettings | None = None
    """None: messages in Slack have no buttons."""
    status_page: StatusPageSettings | None = None
    """None: none is written."""
    otlp: OtlpSettings | None = None
    """None: nothing is exported."""
    console: str = ""
    """Keys and views that all consoles share, as the store keeps them (`config.loading.shared_preferences`)."""
    profiles: tuple[Path, ...] = ()
    """Files of profiles that systems name."""

    @property
    def zone(self) -> str:
        """The zone of notifications about no single service: that of the most services, else of the most systems."""
        zones = [service.timezone for service in self.services.values()]
        zones = zones or [system.settings.timezone for system in self.systems.values()]
        return Counter(zones).most_common(1)[0][0] if zones else "UTC"

    @property
    def lookback(self) -> timedelta:
        """How far back runs and expectations are judged: longer where a deadline lies days after its business date."""
        longest = max((service.deadline.rule.reach for service in self.services.values()), default=timedelta(0))
        return EvaluationSettings().lookback + longest

    @property
    def retention_rules(self) -> RetentionRules:
        """Runs are kept for as long as any decision or dependency reads back."""
        rules = RetentionRules(**self.retention.model_dump())
        within = max((dependency.within or timedelta(0) for dependency in self.dependencies), default=timedelta(0))
        return replace(rules, runs=max(rules.runs, self.lookback + within))

    def routes_of(self, owner: str, notify: tuple[str, ...]) -> tuple[str, ...]:
        """The routes that a job or service names, and its owner's: a route of the owner's name."""
        return tuple(dict.fromkeys([*notify, *([owner] if owner in self.routes else [])]))


class PoolSettings(StrictOptions):
    jobs: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of jobs, * for any text: each of their runs takes a slot. A job is in the first pool that names it."""
    slots: Annotated[int, Field(ge=1)]
    """How many of them run at once; the others wait, first come, first served."""

    def declared(self, name: str) -> DeclaredPool:
        return DeclaredPool(name, self.jobs, self.slots)


class IncidentSettings(StrictOptions):
    reopen_within: Duration = timedelta(hours=2)
    """The same root red again this soon after its incident closed reopens it; 0s: each time is a new one."""
    steady_for: Duration = timedelta(minutes=30)
    """After two reopenings, changes are notified once stable for this long; 0s: each time."""
    shared_jobs: int = Field(3, ge=2, le=1000)
    """Number of failing jobs that name the same host, database or credential from which on they form one incident."""
    shared_within: Pause = timedelta(minutes=15)
    """How close together they turn red."""

    def declared(self) -> IncidentGrouping:
        steady_for = min(self.steady_for, self.reopen_within)
        return IncidentGrouping(self.reopen_within, self.shared_jobs, self.shared_within, steady_for)
