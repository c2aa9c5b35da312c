"""What is told of an incident, to whom, and when."""

from __future__ import annotations

from console.control.alerts.notices import first_words, notices
from console.control.alerts.routes import routes

__all__ = ["first_words", "notices", "routes"]
