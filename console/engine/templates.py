"""Puts a notice into its route's own words, where config has some; Headway's words stand where they fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import structlog

from console.clean import clean, clean_line
from console.config import RouteSettings
from console.config.templates import TemplateFault, render
from console.model.decisions import Decisions, IncidentDecision, Notice

log = structlog.get_logger("headway.evaluate")
TITLE_LIMIT = 300


class Templates:
    """The templates of all routes."""

    def __init__(self, routes: Mapping[str, RouteSettings]) -> None:
        found = {name: route.template for name, route in routes.items()}
        self._templates = {name: one for name, one in found.items() if one.subject or one.body}

    def put_in(self, decisions: Decisions) -> Decisions:
        """The same decisions; notices to routes with a template in its words."""
        if not self._templates:
            return decisions
        return replace(decisions, incidents=tuple(map(self._incident, decisions.incidents)))

    def _incident(self, one: IncidentDecision) -> IncidentDecision:
        return replace(one, notices=tuple(map(self._notice, one.notices))) if one.notices else one

    def _notice(self, one: Notice) -> Notice:
        template = self._templates.get(one.template)
        if template is None:
            return one
        try:
            full, plain = one.values, one.plain_values
            return replace(
                one,
                title=_title(template.subject, full) or one.title,
                body=_body(template.body, full) or one.body,
                plain_title=_title(template.subject, plain) or one.plain_title,
                plain_body=_body(template.body, plain) or one.plain_body,
            )
        except TemplateFault as fault:
            log.error("a route's template failed; Headway's own words leave", route=one.route, error=str(fault))
            return one


def _title(source: str, values: Mapping[str, object]) -> str:
    return clean_line(render(source, values), TITLE_LIMIT) if source else ""


def _body(source: str, values: Mapping[str, object]) -> str:
    return clean(render(source, values)) if source else ""
