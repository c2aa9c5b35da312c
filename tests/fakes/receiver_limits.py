"""What receivers refuse as too long, by their published limits; none was compared with the real service.

PagerDuty: Events API v2, and prometheus/alertmanager issues 1700 and 1840. Opsgenie and Jira Service Management: Alert
fields. Splunk On-Call: Incident fields glossary. GoAlert: alert/alert.go of target/goalert. Squadcast: Payload format.
incident.io: prometheus/alertmanager, notify/incidentio. Discord: Channel resource. Telegram: sendMessage. Mattermost:
posts since 5.0. Microsoft Teams: Webhooks. Twilio: error 21617. Webex: Messages. Pushover: API limits.
ntfy: Limitations. Google Chat: Messages. Lark: Custom bot. Where a page does not name the
status, it is 400. ilert publishes none.
"""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs


def refusal(host: str, path: str, data: bytes) -> int:
    """Status with which the service of this host refuses a body as too long; 0: it accepts it."""
    text = data.decode("utf-8", "replace")
    try:
        body: Any = json.loads(text)
    except ValueError:
        body = {name: values[-1] for name, values in parse_qs(text).items()}
    if not isinstance(body, dict):
        return 0
    match host:
        case "events.pagerduty.com":
            summary = body.get("payload", {}).get("summary", "")
            return 400 if len(summary) > 1_024 or len(data) > 512_000 or len(body.get("dedup_key", "")) > 255 else 0
        case "api.opsgenie.com" | "api.atlassian.com":
            limits = {"message": 130, "description": 15_000, "note": 25_000, "alias": 512}
            return 422 if _exceeds(body, limits) else 0
        case "alert.victorops.com":
            return 400 if _exceeds(body, {"state_message": 20_480}) else 0
        case "goalert.example":
            return 400 if _exceeds(body, {"summary": 1_024, "details": 6_144}) else 0
        case "api.squadcast.com":
            return 413 if len(data) > 30_000 else 0
        case "api.incident.io":
            return 413 if len(data) > 512 * 1_024 else 0
        case "discord.com":
            embeds = [str(embed.get("description", "")) for embed in body.get("embeds", ())]
            return 400 if _exceeds(body, {"content": 2_000}) or any(len(embed) > 4_096 for embed in embeds) else 0
        case "api.telegram.org":
            shown = unescape(re.sub(r"<[^>]*>", "", str(body.get("text", ""))))
            return 400 if len(shown.encode("utf-16-le")) > 2 * 4_096 else 0
        case "hooks.slack.com":
            return 400 if _exceeds(body, {"text": 40_000}) else 0
        case "chat.example":
            return 400 if _exceeds(body, {"text": 16_383}) else 0
        case "prod.example":
            return 413 if len(data) > 28_000 else 0
        case "api.twilio.com":
            return 400 if _exceeds(body, {"Body": 1_600}) else 0
        case "webexapis.com":
            texts = (str(body.get(name, "")) for name in ("text", "markdown"))
            return 400 if any(len(text.encode()) > 7_439 for text in texts) else 0
        case "api.pushover.net":
            return 400 if _exceeds(body, {"message": 1_024, "title": 250}) else 0
        case "ntfy.sh":
            return 400 if len(str(body.get("message", "")).encode()) > 4_096 else 0
        case "chat.googleapis.com":
            return 400 if len(data) > 32_000 else 0
        case "open.larksuite.com":
            return 400 if len(data) > 20 * 1_024 else 0
    return 0


def _exceeds(body: dict[str, Any], limits: dict[str, int]) -> bool:
    return any(len(str(body.get(name, ""))) > limit for name, limit in limits.items())
