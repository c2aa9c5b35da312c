"""Route templates: renders a notification in its route's own template; Headway's text is used where that fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import structlog

from console.config.estate import RouteSettings
from console.config.templates import TemplateFault, render
from console.domain.decision import Decisions, IncidentDecision, Notice
from console.text.cleaning import clean, clean_line

log = structlog.get_logger("headway.evaluate")
TITLE_LIMIT = 300


class RouteTemplates:
    """The templates of all routes."""

    def __init__(self, routes: Mapping[str, RouteSettings]) -> None:
        found = {name: route.template for name, route in routes.items()}
        self._templates = {name: one for name, one in found.items() if one.subject or one.body}

    def put_in(self, decisions: Decisions) -> Decisions:
        """The decisions with notifications rendered by their routes' templates."""
        if not self._templates:
            return decisions
        return replace(decisions, incidents=tuple(map(self._incident, decisions.incidents)))

    def _incident(self, decision: IncidentDecision) -> IncidentDecision:
        return replace(decision, notices=tuple(map(self._notice, decision.notices))) if decision.notices else decision

    def _notice(self, notice: Notice) -> Notice:
        template = self._templates.get(notice.template)
        if template is None:
            return notice
        try:
            full, plain = notice.values, notice.plain_values
            return replace(
                notice,
                title=_title(template.subject, full) or notice.title,
                body=_body(template.body, full) or notice.body,
                plain_title=_title(template.subject, plain) or notice.plain_title,
                plain_body=_body(template.body, plain) or notice.plain_body,
            )
        except TemplateFault as fault:
            log.error("a route's template failed; Headway's own words leave", route=notice.route, error=str(fault))
            return notice


def _title(source: str, values: Mapping[str, object]) -> str:
    return clean_line(render(source, values), TITLE_LIMIT) if source else ""


def _body(source: str, values: Mapping[str, object]) -> str:
    return clean(render(source, values)) if source else ""
