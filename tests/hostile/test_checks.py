"""What data and servers say is text: in the store, in a list, in an incident and in an alert."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from connectors.checks.queries import Measurement
from connectors.sdk.errors import SystemUnreachable
from connectors.sdk.secrets import SecretStore
from console.domain.check import CheckCriteria, Comparator, Comparison
from console.engine.checks.scheduler import CheckScheduler
from tests.engine.checks.test_check_runner import ROWS, load_ends, world
from tests.hostile.commands import headway
from tests.hostile.world import TEXTS, WORST, harmful

SECRET = "pa55-w0rd-of-dwh"
VALUE = replace(ROWS, every=timedelta(0), asks=CheckCriteria(value=(Comparison(Comparator.EQUALS, 1),)))


def test_measurements_and_server_messages_are_harmless_everywhere(tmp_path: Path) -> None:
    with world(tmp_path, VALUE) as made:
        for text in [*TEXTS[::5], WORST]:
            columns = ((text, text),)
            for measurement in (Measurement(value=text, has_value=True, columns=columns), SystemUnreachable(text)):
                made.data.measurement = measurement
                made.checks.run_now("rows", "2026-11-19", made.bench.fence)
                assert [] == [name for row in made.rows("text, measured") for cell in row for name in harmful(cell)]
                for texts in (("datacheck",), ("datacheck", "rows"), ("datacheck", "rows", "--json")):
                    assert [] == harmful(headway(made.bench.url, *texts).out)


def test_what_a_failing_check_says_reaches_an_alert_as_text(tmp_path: Path) -> None:
    with world(tmp_path, VALUE, ready=("rows",)) as made:
        load_ends(made.bench)
        made.data.measurement = Measurement(value=WORST, has_value=True)
        made.bench.turn()
        made.step()
        made.bench.turn()
        assert made.bench.sink.got
        assert [] == [name for _, *texts in made.bench.sink.got for text in texts for name in harmful(text)]


def test_a_secret_in_a_servers_message_is_masked_before_it_is_stored(tmp_path: Path) -> None:
    with world(tmp_path, VALUE) as made:
        secrets = SecretStore()
        secrets.add(SECRET)
        checks = CheckScheduler(
            made.bench.store, made.bench.parts.clock, (VALUE,), made.data, secrets.mask, made.woken.set
        )
        for system_unreachable in (
            SystemUnreachable(f"dwh: {SECRET} refused"),
            Measurement(value=SECRET, has_value=True),
        ):
            made.data.measurement = system_unreachable
            checks.run_now("rows", "2026-11-19", made.bench.fence)
        rows = made.rows("text, measured")
        assert 2 == len(rows)
        assert SECRET not in str(rows)
