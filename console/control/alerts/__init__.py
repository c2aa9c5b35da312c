"""What is told of an incident, to whom, in which words and when: one small file for each stage of the way.

`telling.STAGES` is the order in which a notice passes them.
"""

from __future__ import annotations

from console.control.alerts.routes import routes
from console.control.alerts.telling import tell

__all__ = ["routes", "tell"]
