"""A route's own words: outside text is a value and stays one; what fails at night leaves in Headway's words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.sdk.secrets import SecretRef
from connectors.sdk.states import RunState
from console.config.alerts import TemplateSettings
from console.config.sections import RouteSettings
from console.config.templates import SAMPLE, fault_of, render
from console.domain.alert import AlertingSettings, NotificationState, OnCallShift, RotaRule, RouteRule
from console.domain.decision import Decisions, IncidentDecision
from console.domain.settings import Declared
from console.engine.notify.routing import RouteTemplates
from tests.control.ledger import Ledger, ended
from tests.factories import at, estate, job

HOSTILE = "{{ 7 * 7 }} {% raw %} \x1b[2J <!channel>"


def decided(subject: str, body: str = "") -> IncidentDecision:
    """An incident whose source says hostile things, in the words of its route."""
    root = job(1, "hosts/extract", "03:10", notify=("oncall",))
    declared = Declared(alerting=AlertingSettings(routes=(RouteRule("oncall", templated=True),)))
    night = Ledger(replace(estate(root), declared=declared))
    night.run(root, "03:10", RunState.FAILED, **ended("03:10", 2, message=HOSTILE))
    night.evaluate("03:12")
    template = TemplateSettings.model_construct(subject=subject, body=body)
    route = RouteSettings(urls=(SecretRef(env="X"),), template=template)
    (incident,) = RouteTemplates({"oncall": route}).render(Decisions(incidents=(night.incident(),))).incidents
    return incident


def test_a_notification_uses_the_template_of_its_route() -> None:
    (notice,) = decided(
        "{{ kind }}: {{ cause }}", "{{ title }}\nby {{ owner or 'nobody' }}\n{{ services | length }}"
    ).notices
    assert "opened: hosts/extract" == notice.title
    assert notice.body.endswith("\nby nobody\n0")


@pytest.mark.parametrize(
    "templated, expected",
    [(("oncall", "ann-phone"), "ann-phone"), (("oncall",), "oncall"), (("ann-phone",), "ann-phone")],
)
def test_the_person_on_call_is_notified_with_the_template_of_their_own_route(
    templated: tuple[str, ...], expected: str
) -> None:
    """Those of the route with the rota are for who has none of their own."""
    root = job(1, "hosts/extract", "03:10", notify=("oncall",))
    routes = (RouteRule("oncall", rota="primary"), RouteRule("ann-phone"))
    alerting_settings = AlertingSettings(
        tuple(replace(rule, templated=rule.name in templated) for rule in routes),
        rotas=(RotaRule("primary", (("ann", "ann-phone"),)),),
    )
    shifts = {"primary": (OnCallShift("ann", at("00:00"), at("08:00")),)}
    known = replace(
        estate(root), declared=Declared(alerting=alerting_settings), notifications=NotificationState(shifts=shifts)
    )
    ledger = Ledger(known)
    ledger.run(root, "03:10", RunState.FAILED, **ended("03:10", 2))
    ledger.evaluate("03:12")
    settings = {
        name: RouteSettings(
            urls=(SecretRef(env="X"),),
            template=TemplateSettings.model_construct(subject=f"{name}: {{{{ cause }}}}", body=""),
        )
        for name in templated
    }
    (incident,) = RouteTemplates(settings).render(Decisions(incidents=(ledger.incident(),))).incidents
    (notice,) = incident.notices
    assert ("ann-phone", f"{expected}: hosts/extract") == (notice.route, notice.title)


def test_what_a_job_says_is_a_value_and_never_a_template() -> None:
    (notice,) = decided("{{ reason }}", "{{ reason }}").notices
    assert "{{ 7 * 7 }}" in notice.title
    assert "49" not in notice.title + notice.body
    assert "\x1b" not in notice.title + notice.body


def test_for_a_link_route_the_template_gets_no_outside_text() -> None:
    (notice,) = decided("{{ cause }} {{ reason }}", "{{ reason }}{{ log | length }}").notices
    assert ("hosts/extract ", "0") == (notice.plain_title.rstrip() + " ", notice.plain_body)


def test_a_template_that_fails_at_night_falls_back_to_the_built_in_text() -> None:
    (notice,) = decided("{{ services[0].title }}").notices
    assert notice.title.startswith("hosts/extract failed, no service affected")


def test_every_value_that_is_promised_is_given() -> None:
    (notice,) = decided("{{ incident }}", "{{ body }}").notices
    assert set(SAMPLE) == set(notice.values) == set(notice.plain_values)


@pytest.mark.parametrize(
    "source, fault",
    [
        ("{{ title }}", ""),
        ("{% for one in services %}{{ one.title }} {% endfor %}", ""),
        ("{{ nothing }}", "line 1: 'nothing' is undefined"),
        ("a\n{{ title.nothing }}", "line 2: 'str object' has no attribute 'nothing'"),
        ("a\n\n{% for %}", "line 3: "),
        ("{{ tier + title }}", "line 1: TypeError: unsupported operand"),
        ("{{ 1 / 0 }}", "line 1: Div is not for templates"),
        ("{% include 'x' %}", "line 1: "),
    ],
)
def test_a_template_is_tried_when_the_config_is_read(source: str, fault: str) -> None:
    assert fault_of(source).startswith(fault)
    assert bool(fault) == bool(fault_of(source))


def test_a_template_cannot_reach_beyond_its_values() -> None:
    for source in ("{{ ''.__class__ }}", "{{ services.append(1) }}", "{{ title.format.__globals__ }}"):
        assert "" != fault_of(source), source
    assert 1 == len(SAMPLE["services"])


def test_a_text_without_end_is_cut() -> None:
    assert 100_000 == len(render("{{ body }}", SAMPLE | {"body": "x" * 200_000}))


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in body %}{% for b in body %}{{ a }}{% endfor %}{% endfor %}",
        "{% for i in range(99999999) %}{% endfor %}",
        "{{ 'a' * 10000000000 }}",
        "{{ 10 ** 10 ** 10 }}",
        "{{ '%9999999999d' % tier }}",
        "{{ title | center(9999999999) }}",
        "{% set a = body %}{% set a = a ~ a %}{{ a }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    ],
)
def test_what_could_take_for_ever_is_refused_before_it_is_tried(source: str) -> None:
    """One team's template would keep every command and the engine from reading the config."""
    assert " template" in fault_of(source)
