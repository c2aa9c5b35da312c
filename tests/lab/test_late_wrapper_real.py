"""The wrapper, installed after Headway knows the jobs of a real cron host: no change of theirs, in no finding and in no
mail, and the first failure that it proves is notified."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.cronhost import CronHost
from tests.lab.estate import WRAPPER
from tests.lab.headway import Headway
from tests.lab.process import private_folder, remove_folder, wait_until
from tests.lab.sinks import SmtpSink

JOBS = "# headway: extract_orders\n* * * * * test ! -e /home/etl/broken\n# headway: load\n30 4 * * * true\n"
INSTALLED = "HEADWAY_SPOOL=/var/spool/headway\nHEADWAY_KEEP_DAYS=7\nSHELL=/usr/local/bin/headway-sh\n"
CONFIG = """\
[estate]
name = "lab"
starts_in = "live"
[systems.hosts]
kind = "cron"
poll_every = "2s"
hosts = [{{ name = "db07", address = "127.0.0.1", port = {port} }}]
key = "{key}"
known_hosts = "{known}"
[routes.oncall]
urls = [{{ env = "MAIL" }}]
[alerts]
default_route = "oncall"
"""


@pytest.fixture
def host() -> Iterator[CronHost]:
    folder = private_folder("late-wrapper")
    host = CronHost(folder / "db07", "db07")
    host.prepare()
    host.start()
    try:
        host.write_crontab("etl", JOBS)
        yield host
    finally:
        host.stop()
        remove_folder(folder)


def test_a_wrapper_that_is_installed_late_changes_no_job(host: CronHost, smtp: SmtpSink, tmp_path: Path) -> None:
    smtp.mails.clear()
    path = tmp_path / "headway.toml"
    path.write_text(CONFIG.format(port=host.port, key=host.key, known=host.known_hosts))
    headway = Headway(path, MAIL=smtp.url())
    with headway.running_engine():
        wait_until(lambda: bool(headway.json("run", "list")), "a run")
        host.install_wrapper(WRAPPER)
        host.write_crontab("etl", INSTALLED + JOBS)
        host.run("etl", "touch /home/etl/broken")
        [mail] = smtp.wait_for(1)
        findings = headway.listed("job", "findings")
    assert [] == findings
    assert "exit 1" in mail.text
    assert ("Also found" in mail.text, "changed" in mail.text) == (False, False)
