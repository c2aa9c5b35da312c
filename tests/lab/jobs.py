"""The jobs of the lab: the same few jobs on every scheduler, each set by a switch to succeed, fail or hang.

The story of the tests: cron's `extract_orders` on db07 feeds Airflow's `load_orders` (and by its asset `supply_plan`),
pg_cron's `refresh_revenue` and the state machine `publish_orders`; each of these starts by its own clock."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from tests.lab import aws
from tests.lab.cronhost import CronHost

if TYPE_CHECKING:
    from tests.lab.estate import Estate
    from tests.lab.postgres import PostgresServer

Behaviour = Literal["succeed", "fail", "hang"]
MACHINE = "publish_orders"
WRAPPER_LINE = "SHELL=/usr/local/bin/headway-sh\n"
ENOUGH_TO_BE_READ = timedelta(seconds=5)  # cron, pg_cron and Airflow read a changed schedule in the seconds before it

# The switch of a cron job is a file; a hanging job reads a change within a second.
JOB_SCRIPT = """\
#!/bin/sh
name=$(basename "$0") switch=/home/etl/switch/$(basename "$0")
echo "$name: connecting to orders"
while [ "$(cat "$switch" 2>/dev/null)" = hang ]; do sleep 1; done
if [ "$(cat "$switch" 2>/dev/null)" = fail ]; then
    echo "$name: orders.csv: No such file or directory" >&2
    exit 1
fi
echo "$name: 4711 orders written"
"""
DATABASE_SWITCH = """
CREATE TABLE etl.switch (job text PRIMARY KEY, word text NOT NULL);
CREATE FUNCTION etl.obey(name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    now_says text;
BEGIN
    LOOP
        SELECT word INTO now_says FROM etl.switch WHERE job = name;
        IF now_says = 'fail' THEN
            RAISE EXCEPTION '%: table orders of this business date is empty', name;
        END IF;
        EXIT WHEN now_says IS DISTINCT FROM 'hang';
        PERFORM pg_sleep(0.2);
    END LOOP;
    RETURN '4711 rows';
END $$;
ALTER TABLE etl.switch OWNER TO etl;
"""


def cron_of(instant: datetime) -> str:
    """The daily five-field expression of an instant's minute, in UTC."""
    utc = instant.astimezone(UTC)
    return f"{utc.minute} {utc.hour} * * *"


def next_minute(after: timedelta = ENOUGH_TO_BE_READ) -> datetime:
    """The first full minute that is at least `after` from now: schedules set for it are read in time."""
    later = datetime.now(UTC) + after
    return later.replace(second=0, microsecond=0) + timedelta(minutes=1)


class CronJobs:
    """Jobs of user etl on one host."""

    def __init__(self, host: CronHost) -> None:
        self.host = host

    def install(self, *names: str) -> None:
        """Puts the scripts /home/etl/bin/NAME in place."""
        for name in names:
            self.host.files.put(f"home/etl/bin/{name}", JOB_SCRIPT, 0o755)

    def behave(self, name: str, how: Behaviour) -> None:
        """Says what the job does from its next start on; a hanging one goes on within a second."""
        self.host.files.put(f"home/etl/switch/{name}", how)

    def schedule(self, times: Mapping[str, str], wrapped: bool = False) -> None:
        """Replaces etl's crontab by one line per job (name -> when); `wrapped` puts our wrapper's line on top."""
        lines = [f"# headway: {name}\n{time} /home/etl/bin/{name}\n" for name, time in times.items()]
        self.install(*times)
        self.host.write_crontab("etl", (WRAPPER_LINE if wrapped else "") + "".join(lines))


class DatabaseJobs:
    """Jobs of role etl in pg_cron."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        if server.execute("SELECT to_regclass('etl.switch')")[0][0] is None:
            server.run_script(DATABASE_SWITCH.encode())

    def behave(self, name: str, how: Behaviour) -> None:
        """Says what the job does from now on; a hanging one goes on within a fifth of a second."""
        upsert = "INSERT INTO etl.switch VALUES (%s, %s) ON CONFLICT (job) DO UPDATE SET word = excluded.word"
        self.server.execute(upsert, name, how)

    def schedule(self, name: str, when: str) -> int:
        """The jobid of a new or changed job."""
        return self.server.schedule(name, when, f"select etl.obey('{name}')")


class StateMachines:
    """State machines whose next execution succeeds, fails or waits."""

    def __init__(self, server: aws.MotoServer) -> None:
        self.server = server
        self._machines: dict[str, str] = {}

    def arn(self, name: str = MACHINE) -> str:
        """The ARN of the machine, made at first use."""
        if name not in self._machines:
            self._machines[name] = self.server.create(name, aws.succeeding())
        return self._machines[name]

    def behave(self, how: Behaviour, name: str = MACHINE) -> None:
        """Deploys a definition: what the next execution does. Executions that run keep theirs."""
        definitions: dict[Behaviour, dict[str, Any]] = {
            "succeed": aws.succeeding(),
            "fail": aws.failing(),
            "hang": aws.waiting(3600),
        }
        self.server.redefine(self.arn(name), definitions[how])

    def execute(self, execution: str, name: str = MACHINE) -> str:
        """The ARN of a new execution, started as its owner would."""
        return self.server.execute(self.arn(name), execution)


class Story:
    """The jobs of the story on an estate, with their switches."""

    def __init__(self, estate: Estate, with_airflow: bool = True) -> None:
        self.estate = estate
        self.cron = CronJobs(estate.db07)
        self.other_cron = CronJobs(estate.etl02)
        self.database = DatabaseJobs(estate.postgres)
        self.machines = StateMachines(estate.moto)
        self.machines.arn()
        self.with_airflow = with_airflow

    def schedule(self, first: datetime) -> None:
        """`extract_orders` and its neighbour at `first`, what depends on it by the clock two minutes later, daily."""
        later = first + timedelta(minutes=2)
        self.cron.schedule({"extract_orders": cron_of(first)}, wrapped=True)
        self.other_cron.schedule({"rotate_archive": cron_of(first)})
        self.database.schedule("refresh_revenue", cron_of(later))
        if self.with_airflow:
            self.estate.airflow.wait_ready().schedule("load_orders", cron_of(later))

    @contextlib.contextmanager
    def all_well_after(self) -> Iterator[Story]:
        """This story; afterwards every switch says succeed again and nothing hangs."""
        try:
            yield self
        finally:
            self.cron.behave("extract_orders", "succeed")
            self.other_cron.behave("rotate_archive", "succeed")
            self.database.behave("refresh_revenue", "succeed")
            self.machines.behave("succeed")
            if self.with_airflow:
                self.estate.airflow.behave("load_orders", "succeed")
