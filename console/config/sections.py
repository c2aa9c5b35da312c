"""The settings of an estate, section by section, and the checked config as one value. Each field is documented below
it; those of `table_of` in the domain class.
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
from connectors.sdk.secrets import FilePath, SecretRef
from connectors.sdk.states import Capability
from connectors.sdk.transport.loopback import checked_listen, is_loopback
from console.config.alerts import RotaSettings, RouteSettings
from console.config.paths import STORE_URL
from console.config.validation import table_of
from console.config.value_types import Duration, JobName, Pause, Tier, TimeOfDay
from console.domain.access import ActingRules, PermissionRule, Role
from console.domain.dependency import DependencyMode, EngineDown, UpstreamCondition, UpstreamPeriod
from console.domain.estate import EvaluationSettings
from console.domain.filter import parse_filter
from console.domain.message import is_url
from console.domain.settings import (
    NOTHING_DECLARED,
    Declared,
    DeclaredPool,
    JobBudget,
    JobSetting,
    RetentionRules,
    ServiceSetting,
)
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


JOB = table_of(
    JobSetting,
    grace=Duration,
    budget=table_of(JobBudget, cost=Annotated[float, Field(gt=0)] | None),
)


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
    condition: UpstreamCondition = UpstreamCondition.SUCCESS
    """success: well ended. completion: ended, however. failure: red. ready: the check passes."""
    check: str = ""
    """With "ready": the check's name."""
    period: UpstreamPeriod = UpstreamPeriod.SAME
    """Which run of the upstream is meant: that of the same business date, or another."""
    calendar: str = ""
    """Which days count, for "previous business day" and "last of month"."""
    within: Pause | None = None
    """With "window": so long before the downstream a good run must be due."""
    mode: DependencyMode = DependencyMode.OBSERVE
    """observe: warn. hold: keep the downstream from starting until its upstream is good. trigger: start it then."""
    engine_down: EngineDown = EngineDown.OPEN
    """Behavior while no engine runs: open: the downstream starts by its clock; closed: it stays held."""
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


def _web_address(text: str) -> str:
    if text and not is_url(text):
        raise ValueError('write an address that a browser opens, as "https://ops.example.org/headway/"')
    return text


class AlertSettings(StrictOptions):
    default_route: str = ""
    """Route used if a job's owner has none, and for alerts about Headway itself."""
    shadow_route: str = ""
    """Route that receives what shadow mode suppresses; without it that is only recorded."""
    link: Annotated[str, AfterValidator(_web_address)] = ""
    """Address that notifications open: of `headway console serve` or of a published status page; {incident} is filled
    in. Empty: they name the command."""
    ping: SecretRef | None = None
    """Heartbeat URL, fetched while the engine is healthy, so that an outside monitor notices when it stops."""


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


def _role(name: str) -> Role:
    return Role[name.upper()]


PERMISSION = table_of(
    PermissionRule,
    who=Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)],
    role=Annotated[Literal["view", "act", "approve", "admin"], AfterValidator(_role)],
    tiers=tuple[Tier, ...],
)
"""Each name in `who` becomes a rule of its own."""
ACTING = table_of(
    ActingRules,
    reason_tiers=tuple[Tier, ...],
    approval_tiers=tuple[Tier, ...],
    per_hour=Annotated[int, Field(ge=0)],
    policy_per_hour=Annotated[int, Field(ge=0)],
    cards=tuple[Literal["owner", "runbook", "rerun"], ...],
)


def _at_least(days: int, why: str) -> AfterValidator:
    def check(value: timedelta) -> timedelta:
        if value < timedelta(days=days):
            raise ValueError(f'must be at least "{days}d": {why}')
        return value

    return AfterValidator(check)


def _keeps_figures_of_deleted_runs(rules: RetentionRules) -> None:
    if rules.job_days < rules.runs:
        days, runs = format_duration(rules.job_days), format_duration(rules.runs)
        why = f'"{days}" is shorter than runs = "{runs}", so figures would be deleted as they are written'
        raise ValueError(f'job_days: {why}. Fix: at least "{runs}"')


_Reviewed = Annotated[Duration, _at_least(30, "reviews and reports read a month back")]
RETENTION = table_of(
    RetentionRules,
    _keeps_figures_of_deleted_runs,
    runs=Annotated[Duration, _at_least(70, "dependencies and forecasts read two months back")],
    log_tails=Pause,
    incidents=_Reviewed,
    actions=_Reviewed,
)
POOL = table_of(DeclaredPool, jobs=Annotated[tuple[str, ...], Field(min_length=1)], slots=Annotated[int, Field(ge=1)])


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
    jobs: Mapping[str, JobSetting]
    dependencies: tuple[DependencySettings, ...]
    services: Mapping[str, ServiceSetting]
    routes: Mapping[str, RouteSettings]
    alerts: AlertSettings
    permissions: tuple[PermissionRule, ...] = ()
    acting: ActingRules = field(default_factory=ActingRules)
    declared: Declared = NOTHING_DECLARED
    rotas: Mapping[str, RotaSettings] = field(default_factory=dict)
    checks: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the checks by name, as `config.checks.KINDS` has them."""
    retention: RetentionRules = field(default_factory=RetentionRules)
    endpoints: EndpointSettings | None = None
    """None: the engine listens nowhere."""
    slack: SlackSettings | None = None
    """None: messages in Slack have no buttons."""
    status_page: StatusPageSettings | None = None
    """None: none is written."""
    console: str = ""
    """Keys and views that all consoles share, as the store keeps them (`config.loading.shared_preferences`)."""
    profiles: tuple[Path, ...] = ()
    """Files of profiles that systems name."""

    @property
    def zone(self) -> str:
        """The zone of notifications about no single service: that of the most services, else of the most systems."""
        zones = [service.zone for service in self.services.values()]
        zones = zones or [system.settings.timezone for system in self.systems.values()]
        return Counter(zones).most_common(1)[0][0] if zones else "UTC"

    @property
    def lookback(self) -> timedelta:
        """How far back runs and expectations are judged: longer where a deadline lies days after its business date."""
        longest = max((service.promise.deadline.reach for service in self.services.values()), default=timedelta(0))
        return EvaluationSettings().lookback + longest

    @property
    def retention_rules(self) -> RetentionRules:
        """Runs are kept for as long as any decision or dependency reads back."""
        within = max((dependency.within or timedelta(0) for dependency in self.dependencies), default=timedelta(0))
        return replace(self.retention, runs=max(self.retention.runs, self.lookback + within))

    def routes_of(self, owner: str, notify: tuple[str, ...]) -> tuple[str, ...]:
        """The routes that a job or service names, and its owner's: a route of the owner's name."""
        return tuple(dict.fromkeys([*notify, *([owner] if owner in self.routes else [])]))
