"""Alerts as pages: on-call services know each incident by one key, and a recovery resolves its page.

apprise is configured by parameters of its own URL; parameters that the URL has are kept. apprise creates alerts of
Opsgenie and Jira Service Management, but closes only those that the same process created: notes and closes are sent
from here, by alias. Sources: docs.opsgenie.com, Alert API; developer.atlassian.com, JSM Ops REST API.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

_KEYS = ("dedup", "entity_id", "alias")
"""apprise's parameters that hold an incident's key."""
_READ_KEY = "read_key"
"""Our parameter of such a URL: the key by which the service's incidents are read."""
_SEVERITIES = {1: "critical", 2: "error", 3: "warning"}
"""PagerDuty's, by tier; further tiers: info."""
_URGENCIES = {1: "critical", 2: "high", 3: "medium"}
"""PagerTree's, by tier; further tiers: low."""
_HIGH = (1, 2)
"""Tiers of high priority where there is only high and low."""
_CERTAIN = 3
"""Last tier that pages in Splunk On-Call whatever its settings: they may let a WARNING open no incident."""
_OPENING = {"map", "new", "create", "trigger", "critical", "warning"}
"""Values of apprise's parameter `action` with which a new incident pages."""


class PageAction(StrEnum):
    OPEN = "open"
    UPDATE = "update"
    RESOLVE = "resolve"
    INFORM = "inform"
    """A report that needs no action."""


@dataclass(frozen=True, slots=True)
class Page:
    """The meaning of a message for an on-call service."""

    key: str
    """Dedup key of its incident."""
    action: PageAction = PageAction.OPEN
    resolves: tuple[str, ...] = ()
    """Dedup keys of other incidents and digests that are resolved with this message."""
    tier: int | None = None
    """By which the page has its severity; None: of a message about no single incident."""
    buttons: Mapping[str, Any] | None = None
    """An attachment of buttons, for Slack."""
    store_id: str = ""
    """Of the store with the incident: two of them may page by one service."""

    @property
    def steps(self) -> tuple[tuple[str, PageAction], ...]:
        """(key at the service, action), in order. Keys are digests: they reveal no names."""
        resolve_steps = [(key, PageAction.RESOLVE) for key in self.resolves]
        keys = [*resolve_steps, (self.key, self.action)]
        return tuple((page_key(self.store_id, key), action) for key, action in keys)


def opaque_id(*parts: str) -> str:
    """An id for receivers, which reveals no names."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def page_key(store_id: str, key: str) -> str:
    """The key at an on-call service of what has this dedup key in the store."""
    return f"headway-{opaque_id(store_id, key)}"


def plugin_of(url: str) -> Any:
    """apprise's plugin of a URL; None for an unreadable one."""
    import apprise  # noqa: PLC0415 - 136 ms, and only the engine's sender needs it

    return apprise.Apprise.instantiate(url)


def is_pager(plugin: Any) -> bool:
    """Whether this apprise plugin knows incidents by a key."""
    return any(name in getattr(type(plugin), "template_args", ()) for name in _KEYS)


def page_url(url: str, key: str, plugin: Any, tier: int | None = None) -> str:
    """The apprise URL with the incident's key and the severity of its tier, unless it names its own. Alerts by alias
    are created each time: their service counts a known alias up."""
    parameters = {name: key for name in _KEYS if name in type(plugin).template_args}
    parameters["action"] = "new" if "alias" in parameters else "map"
    if tier is not None:
        parameters |= _levels(type(plugin), tier)
    own = _own_parameters(url)
    added = urlencode({name: value for name, value in parameters.items() if name not in own})
    return f"{url}{'&' if '?' in url else '?'}{added}" if added else url


def titled_details(plugin: Any, title: str, body: str) -> tuple[str, str]:
    """Title and body for apprise's plugin, which sends both as the summary of PagerDuty's event: at most 1,024
    characters. The body goes into the event's details."""
    if plugin.secure_protocol != "pagerduty":
        return title, body
    plugin.details = {"text": body} | plugin.details
    return "", title


def _levels(plugin: Any, tier: int) -> dict[str, str]:
    """apprise's parameters of a plugin that have the severity of this tier; none: the service takes no severity."""
    known, levels = plugin.template_args, dict[str, str]()
    if "severity" in known:
        levels["severity"] = _SEVERITIES.get(tier, "info")
    if "urgency" in known:
        levels["urgency"] = _URGENCIES.get(tier, "low")
    if "priority" in known:
        is_number = "high" not in known["priority"]["values"]
        levels["priority"] = str(tier) if is_number else "high" if tier in _HIGH else "low"
    if "entity_id" in known:  # Splunk On-Call, by the type of message; INFO would open no incident
        levels[":failure"] = "CRITICAL" if tier <= _CERTAIN else "WARNING"
    if "metadata" in plugin.template_kwargs:  # incident.io, whose alert source reads the priority from it
        levels["+priority"] = f"P{tier}"
    return levels


def names_own_key(url: str) -> bool:
    """Whether all incidents share a key that the URL names."""
    return not _own_parameters(url).keys().isdisjoint(_KEYS)


def read_key_of(url: str) -> str:
    """The key by which the service's incidents are read; empty: they are not."""
    return _own_parameters(url).get(_READ_KEY, "")


def silent_fault(url: str, plugin: Any) -> str:
    """The reason why a new incident would not page by this URL; empty if it does."""
    action = _own_parameters(url).get("action", "map").lower()
    if is_pager(plugin) and not any(value.startswith(action) for value in _OPENING):
        return f"action={action}: a new incident would not page. Fix: take action out of the URL"
    return ""


def _own_parameters(url: str) -> Mapping[str, str]:
    query = parse_qs(url.partition("?")[2], keep_blank_values=True)
    return {name.lower().replace(" ", "+"): values[-1] for name, values in query.items()}


def alias_address(plugin: Any, key: str) -> tuple[str, str]:
    """Origin and path of an Opsgenie or JSM alert."""
    from apprise.plugins.jira import JIRA_API_LOOKUP  # noqa: PLC0415 - only where such a page is sent
    from apprise.plugins.opsgenie import OPSGENIE_API_LOOKUP  # noqa: PLC0415

    regions = JIRA_API_LOOKUP if type(plugin).secure_protocol == "jira" else OPSGENIE_API_LOOKUP
    parts = urlsplit(regions[plugin.region_name])
    return f"{parts.scheme}://{parts.netloc}", f"{parts.path}/{quote(plugin.alias or key, safe='')}"
