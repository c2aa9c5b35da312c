"""What a route's own template is given: plain values of one notice, cleaned, without and with outside words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from console.clean import clean_line
from console.control.alerts.scene import Scene, Wanted
from console.control.alerts.text import Text
from console.control.titles import cause_name, plain_title
from console.control.words import dated, moment
from console.model.alerting import TECHNICAL
from console.model.decisions import PLACEHOLDER, HurtServiceVerdict


def values(scene: Scene, wanted: Wanted, text: Text, tail: list[str]) -> Mapping[str, Any]:
    """By name, as `console.config.templates.SAMPLE` shows them. In business words nothing technical is among them."""
    decision = wanted.subject.decision
    technical = wanted.words == TECHNICAL
    return {
        **_common(scene, wanted),
        "title": decision.title if technical else text.title.removeprefix("[Headway] "),
        "cause": cause_name(scene.picture, wanted.subject.case) if technical else "",
        "reason": decision.reason if technical else "",
        "log": tail if technical else [],
        "subject": text.title,
        "body": text.body,
    }


def plain_values(scene: Scene, wanted: Wanted, text: Text) -> Mapping[str, Any]:
    """The same for routes with body = "link": no word from outside but names."""
    technical = wanted.words == TECHNICAL
    title = plain_title(scene.picture, wanted.subject.case) if technical else text.title.removeprefix("[Headway] ")
    plain = {"title": title, "cause": cause_name(scene.picture, wanted.subject.case) if technical else ""}
    return {**_common(scene, wanted), **plain, "reason": "", "log": [], "subject": text.plain_title,
            "body": text.plain_body}  # fmt: skip


def _common(scene: Scene, wanted: Wanted) -> dict[str, Any]:
    decision = wanted.subject.decision
    return {
        "incident": PLACEHOLDER,
        "kind": wanted.kind.value,
        "words": wanted.words,
        "route": wanted.route,
        "owner": clean_line(decision.owner),
        "runbook": clean_line(decision.runbook) if wanted.words == TECHNICAL else "",
        "business_date": decision.bd.isoformat(),
        "failed_since": dated(decision.failed_since, "UTC"),
        "act_by": moment(decision.act_by, "UTC", scene.now) if decision.act_by is not None else "",
        "tier": wanted.subject.tier or 0,
        "services": [_service(scene, one) for one in decision.services],
    }


def _service(scene: Scene, one: HurtServiceVerdict) -> dict[str, Any]:
    known = next((each for each in scene.picture.estate.services if each.name == one.service), None)
    zone = known.zone if known is not None else "UTC"
    return {
        "name": clean_line(one.service),
        "title": clean_line((known.title if known is not None else "") or one.service),
        "tier": known.tier if known is not None else 0,
        "stands": one.timeliness.value.replace("_", " "),
        "deadline": moment(one.deadline, zone, scene.now),
        "expected": moment(one.expected_at, zone, scene.now) if one.expected_at is not None else "",
        "act_by": moment(one.act_by, zone, scene.now) if one.act_by is not None else "",
    }
