"""What config says of alerts: read as it is meant, and refused with file, line, key and fix where it cannot be."""

from __future__ import annotations

from datetime import time, timedelta
from pathlib import Path

import pytest

from console.config.document import ConfigFaults
from console.config.loading import load_config
from console.domain.alert import InhibitRule, QuietHours, RotaRule

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
        + 'style = "business"\nfor = "2m"\ngroup_wait = "20s"\nrepeat_every = "30m"\nescalate_to = ["manager"]\n'
        + 'escalate_after = { 1 = "5m", other = "1h" }\nrota = "primary"\n'
        + 'quiet_hours = { from = "22:00", to = "06:00", timezone = "Europe/Berlin" }\n'
        + 'template = { subject = "{{ incident }}" }\n'
        + '[rotas.primary]\nical = "oncall.ics"\npeople = { ann = "manager" }\n'
        + '[[inhibit]]\nby = { system = "dwh" }\nwhat = { tier = "3" }\nequal = ["service"]\n'
    )
    settings = load_config(file).declared.alerting
    rule = settings.route("oncall")
    assert ("business", timedelta(minutes=2), timedelta(seconds=20)) == (rule.style, rule.wait, rule.group_wait)
    assert ((1, timedelta(minutes=5)), (0, timedelta(hours=1))) == rule.escalate_after
    assert (("manager",), "primary", True) == (rule.escalate_to, rule.rota, rule.templated)
    assert QuietHours(time(22), time(6), "Europe/Berlin", (1,)) == rule.quiet
    assert (RotaRule("primary", (("ann", "manager"),)),) == settings.rotas
    assert (InhibitRule((("system", "dwh"),), (("tier", "3"),), ("service",)),) == settings.inhibit


def test_one_time_to_escalate_is_that_of_every_tier(tmp_path: Path) -> None:
    file = tmp_path / "headway.toml"
    file.write_text(BASE + 'escalate_after = "15m"\nescalate_to = ["manager"]\n')
    assert ((0, timedelta(minutes=15)),) == load_config(file).declared.alerting.route("oncall").escalate_after


@pytest.mark.parametrize(
    "text, expected",
    [
        ('escalate_after = "15m"', "escalate_after and escalate_to go together: write both, or neither"),
        ('escalate_after = "15m"\nescalate_to = ["manger"]', 'no route "manger". Did you mean "manager"?'),
        ('escalate_after = "15m"\nescalate_to = ["oncall"]', '"oncall" escalates to itself. Name another route.'),
        ('rota = "primry"\n[rotas.primary]\nical = "a.ics"\npeople = { a = "manager" }', 'Did you mean "primary"?'),
        ('style = "plain"', "'plain' is not one of '', 'technical' or 'business'"),
        ('fore = "2m"', 'headway.toml:8: routes.oncall.fore: unknown key. Did you mean "for"?'),
        (
            'quiet_hours = { from = "22:00", to = "22:00", timezone = "UTC" }',
            'from and to are both "22:00": that is never, or always; write two times',
        ),
        ('template = { subject = "{{ incidnt }}" }', "line 1: 'incidnt' is undefined. A template is given: act_by,"),
        ('template = { body = """a\n{% if %}""" }', "line 2: Expected an expression"),
        ('template = { body = "{{ title.__class__.__mro__ }}" }', "access to attribute '__class__'"),
        (
            '[[inhibit]]\nby = { system = "dhw" }\nwhat = { tier = "3" }',
            'inhibit.1.by: no system "dhw". Did you mean "dwh"',
        ),
        (
            '[[inhibit]]\nby = { system = "dwh" }\nwhat = { tier = "22" }',
            'no tier "22". Known: 1, 2, 3, 4, 5.',
        ),
        (
            '[[inhibit]]\nby = { system = "dwh" }\nwhat = { tier = "9" }',
            'inhibit.1.what: no tier "9". Known: 1, 2, 3, 4, 5',
        ),
        ('[[inhibit]]\nby = { job = "dhw/a" }\nwhat = { tier = "3" }', 'inhibit.1.by: no system "dhw" in "dhw/a"'),
        (
            '[[inhibit]]\nby = { service = "t" }\nwhat = { tier = "3" }',
            'inhibit.1.by: no service "t". None is configured: add [services.t].',
        ),
        ('[[inhibit]]\nby = {}\nwhat = { tier = "3" }', "without a matcher it would match everything"),
        ('[[inhibit]]\nby = { host = "x" }\nwhat = { tier = "3" }', '"host" is not a matcher; known are system, job,'),
        ('[rotas.x]\nical = "https://x/y"\npeople = { a = "manager" }', "a URL may hold a secret"),
        ('[rotas.x]\nical = "x.ics"\npeople = { a = "nobody" }', 'rotas.x.people: no route "nobody"'),
        (
            'rota = "x"\n[rotas.x]\nical = "x.ics"\npeople = { a = "oncall" }',
            'the route "oncall" of a has a rota of its own. Name one whose URLs are theirs.',
        ),
        ('[alerts]\nnoise_report = "nobody"', 'alerts.noise_report: no route "nobody"'),
    ],
)
def test_ambiguous_alerting_settings_are_refused_with_a_fix(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigFaults) as raised:
        loaded(tmp_path, text)
    assert expected in str(raised.value)
