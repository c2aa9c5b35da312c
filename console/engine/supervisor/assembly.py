"""The assembly of the engine: the one place where its workers are constructed and connected."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.metadata import version

import structlog

from connectors.sdk.secrets import SecretStore
from console.config.references import unusable_links
from console.config.sections import Config
from console.control.holds.warnings import dependency_faults
from console.engine.actions.dispatcher import ActionDispatcher
from console.engine.actions.in_flight import ActionsInFlight
from console.engine.alert_receiver import AlertReceiver
from console.engine.api import actions, alerts, jobs, services, systems
from console.engine.api.server import AnsweringEngine, RequestServer
from console.engine.checks.check_runner import CheckRunner
from console.engine.checks.scheduler import CheckScheduler
from console.engine.connector_pool import ConnectorPool, ConnectorTarget, configured_places
from console.engine.endpoints import EndpointWorker, PageEndpoint
from console.engine.evaluation.evaluator import Evaluator
from console.engine.lineage_receiver import LINEAGE_PATH, LineageReceiver
from console.engine.link_page import LinkPage
from console.engine.metrics import MetricsEndpoint
from console.engine.notify.channels import Channels
from console.engine.notify.on_call import RotaReader
from console.engine.notify.outbox import Outbox
from console.engine.notify.responses import OnCallResponses
from console.engine.notify.routing import AlertRouter
from console.engine.notify.senders import Sender, send_by_apprise
from console.engine.notify.slack import SlackButtons
from console.engine.plans import proposals
from console.engine.plans.executor import PlanExecutor
from console.engine.polling.inbound import InboundListeners
from console.engine.polling.poller import PollingContext, TargetPoller
from console.engine.polling.pool import PollPool
from console.engine.read_api import ReadApi
from console.engine.retention import StoreRetention
from console.engine.signed_links import AcknowledgeKind, ApproveKind
from console.engine.supervisor import settings as plain
from console.engine.supervisor.config_sync import ConfigSync
from console.engine.supervisor.dead_mans_switch import DeadMansSwitch
from console.engine.supervisor.health import EngineHealth
from console.engine.supervisor.shard_polling import PolledEstate, ShardPolling
from console.engine.worker import MonitoredWorker, PeriodicTasks, Pulse, Worker, WorkerFailures
from console.engine.write_api import write_endpoints
from console.store.actions import ActionRow
from console.store.config_sync import SYNCED_KEY, record_dependency_faults
from console.store.db.database import Database
from console.store.db.fence import Fence
from console.store.ingest.inventory import jobs_seq
from console.store.jobs import accept_drift
from console.store.meta import get_meta
from console.text.cleaning import clean_line
from console.timing.clock import Clock
from console.timing.zones import zone_of

log = structlog.get_logger("headway.engine")

WRITES_PER_SYSTEM = 1
"""Maximum writes in flight per system."""


class EngineAssembly:
    """All workers of one store and one config."""

    def __init__(self, config: Config, store: Database, secrets: SecretStore, send: Sender = send_by_apprise) -> None:
        self.channels = Channels(store, clean_line(config.estate.name), config.alerts.link, send)
        self.config = config
        self.store = store
        self.secrets = secrets
        self.clock = Clock(store.clock_setting)
        self.failures = WorkerFailures(secrets)
        self._synced_jobs = 0
        """Value of JOBS_SEQ_KEY at the last sync."""
        self._underway = ActionsInFlight(WRITES_PER_SYSTEM)
        self._inbound = InboundListeners(secrets)
        self.config_sync = ConfigSync(lambda: self.config, store, self.clock, self._jobs_synced)
        self.shards = None if store.is_sqlite else ShardPolling(store, secrets, self._underway)
        """Polls the share that this engine has of the targets of a shared store, and sends their actions."""
        self._joined = False
        self._fence = 0

    def anew(self) -> EngineAssembly:
        """A new assembly with the same config."""
        made = EngineAssembly(self.config, self.store, self.secrets, self.channels.send)
        made.follow(self)
        return made

    def follow(self, before: EngineAssembly) -> None:
        """Takes over the sends in flight, the open listeners and the shards of the assembly before, in the same
        process. Called before `begin`."""
        self._underway, self._inbound, self.shards = before._underway, before._inbound, before.shards

    def begin(self, fence: int) -> None:
        """Syncs config into the store and recovers what a dead engine left. Raises LeaseLost."""
        self._fence = fence
        self._synced_jobs = jobs_seq(self.store)
        is_synced = self.shards is not None and self._is_synced()
        if not is_synced:
            self.config_sync.sync(fence)
        self._join()
        if not is_synced:
            self._record_dependency_faults(fence, self._synced_jobs)
        self.recover(fence)

    def recover(self, fence: int) -> None:
        """Recovers what a dead engine left unfinished. The dispatcher of actions does so whenever it looks for work."""
        for worker in (self.outbox, self.answers):
            worker.recover(fence)

    def _sync_jobs_of_shards(self, fence: int) -> None:
        """Syncs config after a change of jobs by the pollers of any engine, and records what follows from it."""
        changed = jobs_seq(self.store)
        if changed != self._synced_jobs:
            self.config_sync.sync(fence, changed)
            self._record_dependency_faults(fence, changed)
            self._synced_jobs = changed

    def _is_synced(self) -> bool:
        """Whether an engine of this version has matched this config against all jobs. That takes seconds for 100,000
        jobs, in which no engine can write."""
        with self.store.read() as session:
            return get_meta(session, SYNCED_KEY) == self._sync_text(self._synced_jobs)

    def _sync_text(self, synced_jobs: int) -> str:
        return f"{version('headway')} {self.config.digest} {synced_jobs}"

    def _jobs_synced(self, fence: Fence) -> None:
        if isinstance(fence, int):  # after those of shards `job_sync` does it
            self._record_dependency_faults(fence, self._synced_jobs)

    def _record_dependency_faults(self, fence: int, synced_jobs: int) -> None:
        """After a sync of the jobs up to then, records which dependencies and deadlines contradict the schedules, and
        which cannot hold."""
        estate, now = self.evaluator.estate(), self.clock.now()
        record_dependency_faults(self.store, dependency_faults(estate, now), self._sync_text(synced_jobs), fence)

    def _join(self) -> None:
        store, clock, config, secrets = self.store, self.clock, self.config, self.secrets
        places = configured_places(store, config)
        self.connectors = ConnectorPool(places, secrets)
        alerts, audience = config.alerts, plain.audience(config)
        routes = config.routes, alerts.default_route, alerts.shadow_route
        self.routing = AlertRouter(store, clock, *routes, config.zone, alerts.link)
        links = plain.acknowledge_links(config, secrets)
        if problem := unusable_links(config):
            log.warning("links to acknowledge cannot be used", error=problem)
        self.slack = None
        if config.slack is not None:
            self.slack = SlackButtons(store.url, clock, config.slack, secrets, config.zone, alerts.link)
        self.outbox = Outbox(store, clock, config.routes, secrets, self.routing, self.channels, links, self.slack)
        decision_settings = plain.decision_settings(config)
        evaluator = self.evaluator = Evaluator(store, clock, decision_settings, audience, self.outbox.wake.set)
        self.outbox.is_evaluated = lambda: evaluator.seen is not None
        self._join_polling(places)
        self._join_acting()
        self._join_periodic()
        self.health = EngineHealth(
            self._pulses,
            self.outbox.hanging,
            self.routing.parked_deliveries,
            self.routing.retried_deliveries,
            lambda seconds: self.actions.hanging(seconds) | self.answers.hanging(seconds),
        )
        self.ping = DeadMansSwitch(alerts.ping, secrets, self.health) if alerts.ping else None
        settings = config.endpoints
        jobs = settings.job_metrics if settings is not None else ""
        metrics = MetricsEndpoint(store.url, self.health.unhealthy_reason, jobs)
        paths = {
            "/metrics": metrics.endpoint,
            "/alerts": AlertReceiver(store, clock, places, secrets).endpoint,
            LINEAGE_PATH: LineageReceiver(store, clock, secrets).endpoint,
        }
        reads, writes = ReadApi(store.url).endpoints, write_endpoints(store.url)
        pages: dict[str, PageEndpoint] = {}
        if links is not None:
            zone = zone_of(config.zone)
            acknowledge = LinkPage(store.url, clock, AcknowledgeKind(links, zone))
            approve = LinkPage(store.url, clock, ApproveKind(links, zone, clock))
            pages = acknowledge.endpoints | approve.endpoints
        served = (paths, secrets, reads, writes, pages)
        self.endpoints = EndpointWorker(settings, *served) if settings is not None else None
        self._joined = True

    def _join_polling(self, places: Mapping[int, ConnectorTarget]) -> None:
        """Creates the workers that poll schedulers and run checks."""
        store, clock, secrets, changed = self.store, self.clock, self.secrets, self.evaluator.wake.set
        self.job_sync = PeriodicTasks(self._sync_jobs_of_shards)
        jobs_changed = self.config_sync.sync_changed_jobs
        self.polling = PollingContext(store, clock, self.connectors, secrets, changed, jobs_changed)
        self.pollers = {
            target_id: TargetPoller(self.polling, place)
            for target_id, place in places.items()
            if self.shards is None or place.is_local
        }
        self.poll_pool = PollPool(self.failures, self.pollers.values())
        if self.shards is not None:
            self.shards.lead(PolledEstate(self.config, self.polling, places))
        self._inbound.sync_listeners(places, self.poll_pool.wake_target)
        measure, checks = CheckRunner(self.config, secrets).measure, self.config.declared.checks
        self.checks = CheckScheduler(store, clock, checks, measure, secrets.mask, changed)

    def _join_acting(self) -> None:
        """Creates the workers that send actions and answer requests."""
        store, clock, config, secrets = self.store, self.clock, self.config, self.secrets
        connectors, evaluator, audience = self.connectors, self.evaluator, plain.audience(self.config)
        changed = evaluator.wake.set
        self.actions = ActionDispatcher(
            store, clock, connectors, secrets, self._poll_now, self._underway,
            moved=changed, audience=audience, fence_of=self._action_fence, leads=True,
        )  # fmt: skip
        self.plans = PlanExecutor(store, clock, secrets, self.actions.wake.set, audience)
        self.answers = RequestServer(
            AnsweringEngine(
                store, clock, connectors, secrets, config, evaluator.estate, self._accept_drift, self.checks.run_now,
                wake_evaluator=changed, wake_outbox=self.outbox.wake.set, wake_dispatcher=self.actions.wake.set,
            ),
            {
                **actions.HANDLERS, **alerts.HANDLERS, **jobs.HANDLERS, **proposals.HANDLERS, **services.HANDLERS,
                **systems.HANDLERS,
            },
        )  # fmt: skip

    def _join_periodic(self) -> None:
        """Creates the periodic tasks of alerting and of the store."""
        store, clock, config, alerting = self.store, self.clock, self.config, self.config.declared.alerting
        folder, changed = config.path if config.path.is_dir() else config.path.parent, self.evaluator.wake.set
        self.rotas = RotaReader(store, clock, config.rotas, alerting, folder, self.secrets, changed)
        self.periodic = PeriodicTasks(self.rotas.step)
        self._refreshing = PeriodicTasks(self.outbox.refresh_alertmanagers)
        self.on_call = OnCallResponses(store, clock, config.routes, self.secrets, changed)
        self.responses = PeriodicTasks(lambda fence: self.on_call.step(fence, self.responses.pulse.beat))
        self.retention = StoreRetention(store, clock, self.secrets, config.retention_rules)
        self._pruning = PeriodicTasks(self.retention.step)
        self.status_page = self._publishing = None
        if (page := config.status_page) is not None:
            from console.engine.status_page import StatusPageWriter  # noqa: PLC0415 - loads jinja2

            name = clean_line(config.estate.name)
            self.status_page = StatusPageWriter(store.url, clock, page, self.secrets, name, config.zone)
            self._publishing = PeriodicTasks(self.status_page.step)

    def _living(self) -> list[tuple[str, MonitoredWorker]]:
        own: list[tuple[str, MonitoredWorker]] = [
            ("evaluate", self.evaluator), ("outbox", self.outbox), ("actions", self.actions), ("plans", self.plans),
            ("answers", self.answers), ("checks", self.checks), ("periodic", self.periodic),
            ("alertmanager", self._refreshing), ("retention", self._pruning),
            ("polls", self.poll_pool),
        ]  # fmt: skip
        own += [("responses", self.responses)] if self.config.routes else []
        own += [("inbound", self._inbound)] if self._inbound.is_needed else []
        own += [("endpoints", self.endpoints)] if self.endpoints is not None else []
        own += [("slack", self.slack)] if self.slack is not None else []
        own += [("status page", self._publishing)] if self._publishing is not None else []
        own += [("job sync", self.job_sync)] if self.shards is not None else []
        return own

    def _pulses(self) -> dict[str, Pulse]:
        of_shards = self.shards.pulses() if self.shards is not None else {}
        own = {name: worker.pulse for name, worker in self._living()}
        return own | self.poll_pool.pulses() | of_shards

    def trouble(self, broken: str) -> str:
        """Problems of the engine for status and console: failed, silent or hanging workers, parked deliveries."""
        self.health.set_failed_workers("; ".join(filter(None, (broken, self.evaluator.trouble))))
        troubles = [
            self.checks.trouble(),
            self.rotas.trouble(),
            self.on_call.trouble(),
            self._inbound.trouble(),
            self.retention.trouble,
        ]
        troubles += self.endpoints.problems() if self.endpoints is not None else []
        troubles += [self.slack.trouble] if self.slack is not None else []
        troubles += [self.status_page.trouble] if self.status_page is not None else []
        troubles += [self.shards.trouble()] if self.shards is not None else []
        return "; ".join(filter(None, [self.health.text(), self.evaluator.unforeseen, *troubles]))

    def running(self) -> list[tuple[str, Worker]]:
        """The workers with their thread names."""
        ping: list[tuple[str, Worker]] = [("ping", self.ping)] if self.ping is not None else []
        return [*ping, *self._living()]

    def leave(self) -> None:
        """Closes the listeners, as this process ends."""
        self._inbound.close()

    def finish(self, until: float = math.inf) -> None:
        """Closes what the workers hold open; abandons what hangs once `time.monotonic` reaches `until`."""
        if self._joined:
            self.actions.close()
            self.rotas.close()
            self.outbox.close(until)
            self.answers.close(until)
            self.connectors.close(until)

    def _action_fence(self, action: ActionRow, fence: Fence) -> Fence | None:
        """The fence of the lease; None for an action that the holder of its shard sends."""
        is_own = action.target_id in self.pollers or action.target_id not in self.connectors.places
        return fence if is_own else None

    def _poll_now(self, target_id: int) -> None:
        self.poll_pool.poll_now(target_id)
        if self.shards is not None:
            self.shards.poll_now(target_id)

    def _accept_drift(self, job_id: int, newest_seen: int, by: str, origin: str) -> None:
        accept_drift(self.store, job_id, newest_seen, by, self.clock.now(), self._fence, origin)
        self.config_sync.sync(self._fence)
        self._record_dependency_faults(self._fence, self._synced_jobs)
        self.evaluator.wake.set()
