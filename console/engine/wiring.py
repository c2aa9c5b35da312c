"""The one place where the engine's parts are joined; every part receives what it needs."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import Any

import structlog

from connectors.secrets import SecretStore
from console.clock import Clock
from console.config import Config
from console.control.backwards import backwards
from console.control.kept_too_long import outlasted
from console.control.unheld import unheld
from console.engine import settings as plain
from console.engine.actions import Actions
from console.engine.alerting import AlertAnswers
from console.engine.answers import Answers
from console.engine.around_rerun import around_rerun
from console.engine.back_testing import BackTesting
from console.engine.cards import CardAnswers
from console.engine.checks import Checks
from console.engine.counterfactuals import Counterfactuals
from console.engine.doors import Doors, Place
from console.engine.evaluate import Evaluator
from console.engine.health import Health, Pulse
from console.engine.inbound import Inbound
from console.engine.log_differences import LogDifferences
from console.engine.looking import Looker
from console.engine.muting import MutingAnswers
from console.engine.noise import WeeklyNoise
from console.engine.outbox import Outbox
from console.engine.part import Living, Part
from console.engine.ping import Ping
from console.engine.plans import Plans
from console.engine.poll import Poller, Shared
from console.engine.probing import Probing
from console.engine.promises import Promises
from console.engine.proposals import Proposals
from console.engine.rotas import Rotas
from console.engine.rounds import Rounds
from console.engine.routing import Routing
from console.engine.sending import Sender, send_by_apprise
from console.engine.sending_mail import send_mail
from console.engine.templates import Templates
from console.engine.underway import Underway
from console.store import polling
from console.store.config_sync import remember_backwards, sync_config
from console.store.drift import accept_drift
from console.store.open import Store

log = structlog.get_logger("headway.engine")

AT_ONCE = 1
"""Most writes in flight per system."""


class Parts:
    """Everything that works on one store, from one config."""

    def __init__(self, config: Config, store: Store, secrets: SecretStore, send: Sender = send_by_apprise) -> None:
        self._send = send
        self.config = config
        self.store = store
        self.secrets = secrets
        self.clock = Clock(store.clock_hand)
        self._told: frozenset[str] = frozenset()
        self._telling = threading.Lock()
        self._underway = Underway(AT_ONCE)
        self._inbound = Inbound(secrets)
        self._joined = False
        self._fence = 0

    def anew(self) -> Parts:
        """The parts after these, by the same config."""
        made = Parts(self.config, self.store, self.secrets, self._send)
        made.follow(self)
        return made

    def follow(self, before: Parts) -> None:
        """Knows what the parts before these, in the same process, still send, and has their open doors. To be called
        before they begin."""
        self._underway, self._inbound = before._underway, before._inbound

    def begin(self, fence: int) -> None:
        """Config into the store, then what a dead engine left is put in order. Raises LeaseLost."""
        self._fence = fence
        self.sync_config(fence)
        self._join()
        self._tell_backwards(fence)
        self.recover(fence)

    def recover(self, fence: int) -> None:
        """Puts in order what a dead engine left half done."""
        for part in (self.outbox, self.actions, self.answers):
            part.recover(fence)

    def sync_config(self, fence: int) -> None:
        """Matches config against the jobs that exist now; a pattern that matches none is told once."""
        found = sync_config(self.store, plain.estate_settings(self.config), self.clock.now(), fence)
        unmatched = frozenset(found.unmatched)
        if unmatched - self._told:
            log.info("config names jobs that no system has (yet)", names=sorted(unmatched))
        for old, new in found.renamed.items():
            if f"{old}→{new}" not in self._told:
                log.warning("config names a job that has another name by now", says=old, name=new)
        for one in found.unknown_ends:
            if one.words not in self._told:
                log.warning("a service waits for a job that there is not", service=one.service, words=one.words)
        renamed = {f"{old}→{new}" for old, new in found.renamed.items()}
        self._told = unmatched | renamed | {one.words for one in found.unknown_ends}

    def _jobs_changed(self, fence: int) -> None:
        self.sync_config(fence)
        self._tell_backwards(fence)

    def _tell_backwards(self, fence: int) -> None:
        """Keeps in words which dependencies the clock contradicts, and which cannot hold. One at a time, of all whose
        jobs changed: the last of them saw what the others wrote."""
        with self._telling:
            estate = self.evaluator.estate()
            words = sorted([*backwards(estate, self.clock.now()), *unheld(estate)])
            remember_backwards(self.store, words, fence)

    def _join(self) -> None:
        places = {
            target_id: Place(target_id, self.config.systems[system], target)
            for target_id, system, target in polling.targets(self.store)
            if system in self.config.systems
        }
        self.doors = Doors(places, self.secrets)
        self._join_telling()
        self.evaluator = Evaluator(
            self.store,
            self.clock,
            plain.decision_settings(self.config),
            plain.audience(self.config),
            alerts_made=self.outbox.wake.set,
            own_words=Templates(self.config.routes).put_in,
        )
        self.back_testing = BackTesting(
            self.store, self.clock, lambda: self.evaluator.seen, lambda: self.evaluator.is_judging
        )
        self._join_looking(places)
        self._join_acting()
        self._join_rounds()
        self._make_health()
        self._joined = True

    def _join_telling(self) -> None:
        """Who sends what was decided."""
        told = self.config.alerts
        self.routing = Routing(self.store, self.clock, self.config.routes, told.default_route, told.shadow_route)
        self.outbox = Outbox(
            self.store,
            self.clock,
            self.config.routes,
            self.secrets,
            self.routing,
            self._send,
            send_mail if self._send is send_by_apprise else None,
        )

    def _join_looking(self, places: Mapping[int, Place]) -> None:
        """Who looks at schedulers and at data."""
        shared = Shared(
            self.store,
            self.clock,
            self.doors,
            self.secrets,
            changed=self.evaluator.wake.set,
            jobs_changed=self._jobs_changed,
            clocks_changed=self._tell_backwards,
        )
        self.pollers = {target_id: Poller(shared, place) for target_id, place in places.items()}
        self._inbound.keep(places, self._poll_now)
        self.checks = Checks(
            self.store,
            self.clock,
            self.config.declared.checks,
            Looker(self.config, self.secrets).look,
            self.secrets.mask,
            changed=self.evaluator.wake.set,
        )

    def _join_acting(self) -> None:
        """Who sends to schedulers, and answers what people ask."""
        self.actions = Actions(
            self.store,
            self.clock,
            self.doors,
            self.secrets,
            poll_now=self._poll_now,
            underway=self._underway,
            moved=self.evaluator.wake.set,
            audience=plain.audience(self.config),
        )
        self.plans = Plans(self.store, self.clock, self.actions.wake.set, plain.audience(self.config))
        proposals = Proposals(self.store, self.clock, self.doors, self.secrets, self.evaluator.estate)
        self.answers = Answers(
            self.store,
            self.clock,
            self.doors,
            self.secrets,
            extras=self._extras,
            accept_drift=self._accept_drift,
            approved=self.actions.wake.set,
            outlasted=lambda job, until: outlasted(self.evaluator.estate(), job, until, self.clock.now()),
            others={
                "plan preview": proposals.propose,
                "check look": self.checks.now,
                **Probing(self.store, self.clock, self.doors, self.secrets).by_kind(),
                **LogDifferences(self.store, self.doors, self.secrets.mask).by_kind(),
                **self._alert_answers().by_kind(),
                **self._muting().by_kind(),
                **Promises(self.store, self.clock, self.evaluator.wake.set).by_kind(),
                **CardAnswers(self.store, self.clock, self.evaluator.wake.set).by_kind(),
                **Counterfactuals(self.store.url).by_kind(),
            },
        )

    def _join_rounds(self) -> None:
        """What alerting does by the clock."""
        alerting, beside = self.config.declared.alerting, self.config.path
        self.rotas = Rotas(
            self.store,
            self.clock,
            self.config.rotas,
            alerting,
            beside if beside.is_dir() else beside.parent,
            self.secrets,
            changed=self.evaluator.wake.set,
        )
        noise = (alerting.noise_report, self.routing.words, self.config.alerts.shadow_route)
        self.rounds = Rounds(self.rotas, WeeklyNoise(self.store, self.clock, *noise))

    def _make_health(self) -> None:
        """Pings only where config says so."""
        self.health = Health(self._pulses, self.outbox.hanging, self.routing.given_up, self._asking)
        alerts = self.config.alerts
        self.ping = Ping(alerts.ping, alerts.ping_every, self.secrets, self.health) if alerts.ping else None

    def _living(self) -> list[tuple[str, Living]]:
        own: list[tuple[str, Living]] = [
            ("evaluate", self.evaluator), ("outbox", self.outbox), ("actions", self.actions), ("plans", self.plans),
            ("answers", self.answers), ("checks", self.checks), ("rounds", self.rounds),
            ("back-test", self.back_testing),
        ]  # fmt: skip
        own += [("inbound", self._inbound)] if self._inbound.is_needed else []
        return own + [(f"poll {poller.name}", poller) for poller in self.pollers.values()]

    def _pulses(self) -> dict[str, Pulse]:
        return {name: part.pulse for name, part in self._living()}

    def _asking(self, seconds: float) -> dict[str, float]:
        return self.actions.hanging(seconds) | self.answers.hanging(seconds)

    def trouble(self, broken: str) -> str:
        """What status and console say of the engine itself: what broke, is silent, hangs, was given up."""
        self.health.hear("; ".join(filter(None, (broken, self.evaluator.trouble))))
        of_parts = self.checks.trouble(), self.rotas.trouble(), self._inbound.trouble()
        return "; ".join(filter(None, [self.health.words(), self.evaluator.unforeseen, *of_parts]))

    @property
    def send(self) -> Sender:
        return self._send

    def _muting(self) -> MutingAnswers:
        return MutingAnswers(self.store, self.clock, self.evaluator.wake.set)

    def _alert_answers(self) -> AlertAnswers:
        config, wake = self.config, self.outbox.wake.set
        return AlertAnswers(self.store, self.clock, config.routes, config.estate.name, wake)

    def running(self) -> list[tuple[str, Part]]:
        """What needs a thread, with the thread's name."""
        ping: list[tuple[str, Part]] = [("ping", self.ping)] if self.ping is not None else []
        return [*ping, *self._living()]

    def leave(self) -> None:
        """This process ends: its doors close."""
        self._inbound.close()

    def finish(self, until: float = math.inf) -> None:
        """Ends what the parts hold open; what hangs is left behind when `time.monotonic` is `until`."""
        if self._joined:
            self.actions.close()
            self.outbox.close(until)
            self.answers.close(until)
            self.doors.close(until)

    def _poll_now(self, target_id: int) -> None:
        poller = self.pollers.get(target_id)
        if poller is not None:
            poller.wake.set()

    def _extras(self, run_id: int) -> dict[str, Any]:
        return around_rerun(self.store, self.evaluator.estate(), run_id, self.clock.now())

    def _accept_drift(self, job_id: int, shown: int | None, by: str, origin: str) -> None:
        accept_drift(self.store, job_id, shown, by, self.clock.now(), self._fence, origin)
        self._tell_backwards(self._fence)
        self.evaluator.wake.set()
