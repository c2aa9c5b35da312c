"""Probes of all that a config lets the engine use: each target, data check, token and the status page's folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from connectors.sdk.errors import ConnectorError
from connectors.sdk.transport.libpq import unverified_text
from connectors.sdk.transport.postgres import PostgresOptions, connection_parameters
from console.engine.checks.check_runner import CheckRunner, check_date
from console.engine.endpoints import endpoint_secrets
from console.engine.status_page import folder_fault
from console.text.redact import sanitize

if TYPE_CHECKING:
    from connectors.sdk.contract import Probe, SourcePermission
    from connectors.sdk.secrets import SecretStore
    from console.config.sections import Config, SystemConfig
    from console.domain.check import Check

MISSING_RIGHTS = "missing rights"
NOT_TRIED = "no alert yet"
"""Verdict of a route that could be used and has accepted nothing yet; not a problem."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One target as probed. Verdict: "ok", "no alert yet", "missing rights", "broken", or the error kind of its polls
    ("unreachable", "refused", "limited", "failing", "unsupported")."""

    target: str
    verdict: str
    version: str
    text: tuple[str, ...] = ()
    rights: tuple[dict[str, Any], ...] = ()
    skew_seconds: float | None = None
    """The target's clock minus the clock of this host, where its answer contains it."""
    notes: tuple[str, ...] = ()
    """Remarks that do not change the verdict; `text` are the reasons why it is not "ok"."""
    zone: str = ""
    """The time zone of the target, or of most of its jobs; empty if unknown."""
    grants_help: bool = True
    """False where no right of its account changes the verdict."""
    faults: tuple[str, ...] = ()
    """Problems of its jobs, which do not change the verdict: it can be read."""

    @property
    def is_fault(self) -> bool:
        return self.verdict not in ("ok", NOT_TRIED)


def probe_systems(config: Config, secrets: SecretStore, timeout: float, engine_works: bool = True) -> list[ProbeResult]:
    """Probes every target, each on a thread of its own; results in the config's order."""
    targets = [(system, target) for system in config.systems.values() for target in system.targets]
    with ThreadPoolExecutor(min(16, len(targets) or 1)) as pool:
        return list(pool.map(lambda place: probe_target(place[0], place[1], secrets, timeout, engine_works), targets))


def probe_target(
    system: SystemConfig, target: str, secrets: SecretStore, timeout: float, engine_works: bool = True
) -> ProbeResult:
    """Probes one target. A broken connector is a verdict, never a traceback. A listener that only an engine opens is
    no fault while none works."""
    name = f"{system.name}/{target}"

    def probe() -> ProbeResult:
        with closing(system.kind.open(system.options, target, secrets)) as connector:
            return _probe_verdict(name, connector.probe(timeout), engine_works)

    return guarded(name, secrets, probe)


def guarded(name: str, secrets: SecretStore, probe: Callable[[], ProbeResult | None]) -> ProbeResult:
    """The result of a probe, "ok" if it has none; an error is a verdict."""
    try:
        return probe() or ProbeResult(name, "ok", "")
    except ConnectorError as error:
        verdict = MISSING_RIGHTS if error.kind == "forbidden" else error.kind
        return ProbeResult(name, verdict, "", (sanitize(str(error), secrets.mask),), grants_help=error.grants_help)
    except Exception as error:  # noqa: BLE001 - a surprise in one probe must not end the check of the others
        return ProbeResult(name, "broken", "", (sanitize(f"{type(error).__name__}: {error}", secrets.mask),))


def _probe_verdict(name: str, probe: Probe, engine_works: bool) -> ProbeResult:
    by_fix: dict[str, list[SourcePermission]] = {}
    for right in probe.rights:
        if right.held is False:
            by_fix.setdefault(right.fix or right.name, []).append(right)
    lines = [(any(right.needed_for == "view" for right in rights), _rights_text(rights)) for rights in by_fix.values()]
    reasons = tuple(text for hides_jobs, text in lines if hides_jobs)
    notes = tuple(text for hides_jobs, text in lines if not hides_jobs)
    is_well = probe.reachable or (probe.opens_with_engine and not engine_works)
    verdict = MISSING_RIGHTS if reasons else "ok" if is_well else "unreachable"
    if is_well:
        notes += probe.notes
    else:
        reasons += probe.notes
    rights = tuple(asdict(right) for right in probe.rights)
    clock = probe.clock
    skew, zone = (clock.skew_seconds, clock.zone) if clock else (None, "")
    return ProbeResult(name, verdict, probe.version, reasons, rights, skew, notes, zone, faults=probe.faults)


def _rights_text(rights: Sequence[SourcePermission]) -> str:
    """Permissions that one fix grants, as one line; with the reasons of those to read, which the others follow."""
    to_read = [right for right in rights if right.needed_for == "view"]
    names = ", ".join(right.name for right in rights)
    reasons = "; ".join(dict.fromkeys(right.why for right in to_read or rights[:1] if right.why))
    fix = rights[0].fix
    problem = f"{'missing' if to_read else 'cannot act'}: {names}{f' ({reasons})' if reasons else ''}"
    return f"{problem}. Fix: {fix}" if fix else f"{problem}."


def probe_checks(config: Config, secrets: SecretStore, timeout: float) -> list[ProbeResult]:
    """Whether every data check can be run for the present business date; its result is not judged here."""
    runner = CheckRunner(config, secrets)

    def probe(check: Check) -> ProbeResult:
        runner.measure(check.name, check_date(check, datetime.now(UTC)), min(timeout, check.timeout.total_seconds()))
        return ProbeResult(
            f"check {check.name}", "ok", "", (), notes=_unverified_dsn(config.checks[check.name], secrets)
        )

    checks = config.declared.checks
    with ThreadPoolExecutor(min(8, len(checks) or 1)) as pool:
        return list(pool.map(lambda check: guarded(f"check {check.name}", secrets, partial(probe, check)), checks))


def _unverified_dsn(settings: Any, secrets: SecretStore) -> tuple[str, ...]:
    if not getattr(settings, "dsn", None):
        return ()
    return unverified_text(connection_parameters(PostgresOptions(dsn=settings.dsn), secrets))


def probe_endpoints(config: Config, secrets: SecretStore) -> list[ProbeResult]:
    """Whether each token, and the key of links, can be used."""
    if config.endpoints is None:
        return []
    values, faults = endpoint_secrets(config.endpoints, secrets)
    usable = [ProbeResult(key, "ok", "") for key in values]
    return usable + [ProbeResult(key, "refused", "", (fault,)) for key, fault in faults.items()]


def probe_status_page(config: Config) -> list[ProbeResult]:
    """Whether the folder of the status page takes a file; nothing without one."""
    folder = config.status_page.folder if config.status_page is not None else None
    if folder is None:
        return []
    fault = folder_fault(folder)
    return [ProbeResult("status page", "refused" if fault else "ok", "", (fault,) if fault else ())]
