"""What screens and commands ask about alerts: to be on an incident, to mute, to say whether one was useful."""

from __future__ import annotations

from collections.abc import Mapping

from console.engine.origin import where_from
from console.engine.requests import Requests


class AlertRequests(Requests):
    """Everything that `Requests` may ask, and alerts. Each gives the request's id; raises as it does."""

    def acknowledge(self, incident_id: int, seconds: float, why: str = "") -> int:
        """That whoever asks is on the incident for so long."""
        asked = {"incident_id": incident_id, "seconds": seconds, "why": why, "from": where_from()}
        return self._ask("ack", asked)

    def lapse(self, incident_id: int, why: str = "") -> int:
        """That nobody is on it any more."""
        return self._ask("ack lapse", {"incident_id": incident_id, "why": why, "from": where_from()})

    def silence(self, matchers: Mapping[str, str], seconds: float, why: str, from_us: int | None = None) -> int:
        """To mute what fits all of the matchers, from then (default: now) for so long."""
        asked = {"matchers": dict(matchers), "seconds": seconds, "why": why, "from_us": from_us, "from": where_from()}
        return self._ask("silence", asked)

    def end_silence(self, number: int, why: str = "") -> int:
        return self._ask("silence end", {"silence": number, "why": why, "from": where_from()})

    def judge_alert(self, alert_id: int, useful: bool, why: str = "") -> int:
        """Whether an alert was useful."""
        return self._ask("alert useful", {"alert": alert_id, "useful": useful, "why": why, "from": where_from()})
