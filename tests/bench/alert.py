"""From a failure on a host's disk to the mail, less the wait for the next poll, compared with one bare mail by apprise.

A real cron host (needs root, like the lab), a real engine as its own process, a real SMTP server. Each phase is another
job's failure: the shell wrapper's record of a run is complete on the host's disk at a known time, at a different moment
between two polls each time. The poll that found it is the one whose time the store recorded with the attempt."""

from __future__ import annotations

import os
import shutil
import sqlite3
import statistics
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from console.engine.notify.paging import Page
from console.engine.notify.senders import send_by_apprise
from tests.bench.figures import Figure, Scale, arguments, emit
from tests.lab.cronhost import CronHost
from tests.lab.estate import WRAPPER
from tests.lab.headway import Headway
from tests.lab.headway_config import quoted
from tests.lab.hostfiles import USER_IDS
from tests.lab.jobs import WRAPPER_LINE
from tests.lab.needs import what_is_missing
from tests.lab.process import private_folder, remove_folder, wait_until
from tests.lab.sinks import Mail, SmtpSink
from tests.messages import message_of

PHASES = 40
QUICK_PHASES = 20
QUICK_SECONDS = 36.0
"""No phase is begun later than this after the start."""
BARE_MAILS = 5
POLL_SECONDS = 1.0
ROUTES = 8
"""So that no route has so many alerts in a minute that they are sent as a digest."""
USER = "etl"
FIRST_PID = 2_000_000  # above every real process
OUTPUT = "reading /data/orders.csv\norders.csv: No such file or directory\n" * 20


def command(number: int) -> str:
    return f"/home/etl/bin/extract_{number:02}"


class Bench:
    """One host, one mail server, one engine."""

    def __init__(self, folder: Path, phases: int) -> None:
        self.folder = folder
        self.phases = phases
        self.host = CronHost(folder / "db07", "db07")
        self.smtp = SmtpSink()
        self.headway = Headway(self._config(folder / "config"))

    def _config(self, folder: Path) -> Path:
        folder.mkdir(mode=0o700)
        secret = folder / "mail"
        secret.touch(0o600)
        secret.write_text(self.smtp.url())
        path = folder / "headway.toml"
        key, known = self.host.key, self.host.folder / "known_hosts"
        path.write_text(
            f'[estate]\nstarts_in = "live"\n[systems.hosts]\nkind = "cron"\npoll_every = "{POLL_SECONDS:g}s"\n'
            f'hosts = [{{ name = "db07", address = "127.0.0.1", port = {self.host.port} }}]\n'
            f"key = {quoted(str(key))}\nknown_hosts = {quoted(str(known))}\n"
            + "".join(f"[routes.r{number}]\nurls = [{{ file = {quoted(str(secret))} }}]\n" for number in range(ROUTES))
            + "".join(
                f'[jobs."hosts/db07:extract_{number:02}"]\nnotify = ["r{number % ROUTES}"]\n'
                for number in range(self.phases)
            )
        )
        return path

    def start(self) -> None:
        """Host and mail server; every job is in the crontab, and the wrapper has made its folders."""
        self.smtp.start()
        self.host.prepare()
        self.host.install_wrapper(WRAPPER)
        self.host.start()
        self.host.files.known_hosts  # noqa: B018  reading it writes it
        lines = [f"# headway: extract_{n:02}\n10 3 * * * {command(n)}\n" for n in range(self.phases)]
        self.host.write_crontab(USER, WRAPPER_LINE + "".join(lines))
        self.host.run(USER, "/usr/local/bin/headway-sh -c true")

    def stop(self) -> None:
        self.host.stop()
        self.smtp.stop()

    def measure(self, until: float) -> list[float]:
        """Seconds from failure to mail of each phase, less the wait for the poll; after `until` one at most."""
        delays: list[float] = []
        with self.headway.running_engine():
            wait_until(lambda: self._polls() is not None, "the first poll")
            for number in range(self.phases):
                time.sleep(POLL_SECONDS * number / self.phases)
                if delays and time.monotonic() > until:
                    break
                delays.append(self._phase(number))
        return delays

    def _phase(self, number: int) -> float:
        count = len(self.smtp.mails)
        written = self._fail(number)
        mail = self.smtp.wait_for(count + 1)[count]
        arrived = time.time() - (time.monotonic() - mail.arrived)
        if f"extract_{number:02}" not in mail.subject:
            raise SystemExit(f"another mail came than that of phase {number}: {mail.subject}")
        return arrived - max(written, self._polled(number))

    def _fail(self, number: int) -> float:
        """Puts the records of a run that just failed on the host's disk; the time at which they were there."""
        now, pid = int(time.time()), FIRST_PID + number
        run = f"{now}.{pid}"
        spool = self.host.fs / "var/spool/headway" / USER
        output = spool / "out" / run
        output.write_text(OUTPUT)
        output.chmod(0o640)
        shutil.chown(output, USER_IDS[USER], "adm")
        start = ["H2", "S", run, now, pid, 1, USER, "-", "-", "-", "-", command(number)]
        end = ["H2", "E", run, now, 1]
        lines = "".join("\t".join(map(str, group)) + "\n" for group in (start, end))
        with (spool / "runs").open("ab", buffering=0) as file:
            file.write(lines.encode())
            os.fsync(file.fileno())
        return time.time()

    def _polled(self, number: int) -> float:
        """When the poll began that found the failure."""
        sql = "SELECT a.observed_us FROM attempt a JOIN job j ON j.id = a.job_id WHERE j.native_id = ?"
        return float(self._ask(sql, f"db07:extract_{number:02}") or 0) / 1e6

    def _polls(self) -> object:
        return self._ask("SELECT last_ok_us FROM target")

    def _ask(self, sql: str, *values: object) -> Any:
        with closing(sqlite3.connect(f"file:{self.headway.home / 'headway.db'}?mode=ro", uri=True)) as store:
            row = store.execute(sql, values).fetchone()
        return None if row is None else row[0]

    def bare_mails(self) -> list[float]:
        """Seconds of single mails by apprise from this process to the same server, without anything of ours."""
        last = self.smtp.mails[-1]
        took = [self._bare_mail(last) for _ in range(BARE_MAILS + 1)]
        return took[1:]  # the first one imports apprise

    def _bare_mail(self, like: Mail) -> float:
        count, began = len(self.smtp.mails), time.monotonic()
        sent = send_by_apprise(self.smtp.url(), message_of(like.subject, like.text), Page("incident"))
        if not sent.arrived:
            raise SystemExit(f"apprise could not send: {sent.reason}")
        return self.smtp.wait_for(count + 1)[count].arrived - began


def figures(quick: Scale) -> list[Figure]:
    """Raises SystemExit with what to install where the machine lacks something."""
    missing = what_is_missing()
    if missing is not None:
        raise SystemExit(missing)
    began = time.monotonic()
    folder = private_folder("bench-alert")
    bench = Bench(folder, quick.of(PHASES, QUICK_PHASES, 2))
    try:
        bench.start()
        delays = bench.measure(began + QUICK_SECONDS if quick else float("inf"))
        bare = statistics.median(bench.bare_mails())
    finally:
        bench.stop()
        remove_folder(folder)
    return [
        Figure("delay_beyond_poll", max(delays), "s", "one bare mail by apprise", bare),
        Figure("delay_beyond_poll_median", statistics.median(delays), "s", "one bare mail by apprise", bare),
        Figure("phases", len(delays), "failures"),
    ]


if __name__ == "__main__":
    options = arguments(__doc__ or "")
    emit("alert", figures(options.quick), options.json)
