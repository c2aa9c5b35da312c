"""What config says of alerts: read as it is meant, and refused with file, line, key and fix where it cannot be."""

from __future__ import annotations

from datetime import time, timedelta
from pathlib import Path

import pytest

from console.config.document import ConfigFaults
from console.config.loading import load_config
from console.domain.alert import QuietHours, RotaRule
from tests.rows import each_row

BASE = """[systems.dwh]
kind = "pg_cron"
dsn = { env = "DWH" }
[routes.manager]
urls = [{ env = "MANAGER" }]
[routes.oncall]
urls = [{ env = "ONCALL" }]
"""


def loaded(tmp_path: Path, text: str) -> object:
    file = tmp_path / "headway.toml"
    file.write_text(BASE + text)
    return load_config(file).declared.alerting


def test_a_route_states_when_and_in_which_style_it_is_notified(tmp_path: Path) -> None:
    file = tmp_path / "headway.toml"
    file.write_text(
        BASE
        + 'style = "business"\nfor = "2m"\nrepeat_every = "30m"\nescalate_to = ["manager"]\n'
        + 'escalate_after = "1h"\nrota = "primary"\n'
        + 'quiet_hours = { from = "22:00", to = "06:00", timezone = "Europe/Berlin" }\n'
        + '[rotas.primary]\nical = "oncall.ics"\npeople = { ann = "manager" }\n'
    )
    settings = load_config(file).declared.alerting
    rule = settings.route("oncall")
    assert ("business", timedelta(minutes=2), timedelta(hours=1)) == (rule.style, rule.wait, rule.escalate_after)
    assert (("manager",), "primary") == (rule.escalate_to, rule.rota)
    assert QuietHours(time(22), time(6), "Europe/Berlin", (1,)) == rule.quiet
    assert (RotaRule("primary", (("ann", "manager"),)),) == settings.rotas


@each_row(
    "text, expected",
    [
        ('escalate_after = "15m"', "escalate_after and escalate_to go together: write both, or neither"),
        ('escalate_after = "15m"\nescalate_to = ["manger"]', 'no route "manger". Did you mean "manager"?'),
        ('escalate_after = "15m"\nescalate_to = ["oncall"]', '"oncall" escalates to itself. Name another route.'),
        ('rota = "primry"\n[rotas.primary]\nical = "a.ics"\npeople = { a = "manager" }', 'Did you mean "primary"?'),
        ('style = "plain"', "'plain' is not one of '', 'technical' or 'business'"),
        (
            'escalate_after = { 1 = "5m", other = "1h" }\nescalate_to = ["manager"]',
            "routes.oncall.escalate_after: ",
        ),
        ('group_wait = "20s"', "routes.oncall.group_wait: unknown key. "),
        ('fore = "2m"', 'headway.toml:8: routes.oncall.fore: unknown key. Did you mean "for"?'),
        (
            'quiet_hours = { from = "22:00", to = "22:00", timezone = "UTC" }',
            'from and to are both "22:00": that is never, or always; write two times',
        ),
        ('[rotas.x]\nical = "https://x/y"\npeople = { a = "manager" }', "a URL may hold a secret"),
        ('[rotas.x]\nical = "x.ics"\npeople = { a = "nobody" }', 'rotas.x.people: no route "nobody"'),
        (
            'rota = "x"\n[rotas.x]\nical = "x.ics"\npeople = { a = "oncall" }',
            'the route "oncall" of a has a rota of its own. Name one whose URLs are theirs.',
        ),
    ],
)
def test_ambiguous_alerting_settings_are_refused_with_a_fix(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigFaults) as raised:
        loaded(tmp_path, text)
    assert expected in str(raised.value)
