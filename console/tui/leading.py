"""What an estate without services shows in their place: where one is, and the next step. Pure."""

from __future__ import annotations

from console.model.views import HeaderView

NOTHING = (
    "Nothing is watched yet.",
    "",
    "5  Systems shows what is asked, and what keeps it from answering.",
    "In a shell: headway check asks every system, right by right;",
    "headway init finds what runs on this machine.",
)
NO_PROMISE = (
    "{jobs} watched, and nothing is promised by them yet.",
    "",
    "3  Jobs shows them all; 4  Tonight what runs when.",
    "A service says what the business gets, by when. In the config:",
    "",
    "   [services.daily-revenue]",
    '   delivered_by = ["SYSTEM/JOB"]      # its last job',
    '   deadline = "07:30"',
    '   timezone = "Europe/Berlin"',
    "",
    "It is here some ten seconds after the file is saved.",
)


AWAITED = (
    "The engine is being started.",
    "",
    "It takes up the config, and the services in it are here within seconds.",
)


def no_service(header: HeaderView | None, is_awaited: bool = False) -> str:
    """The lines, for a board without a service; `is_awaited`: an engine that starts has not written any yet."""
    if is_awaited:
        return "\n".join(AWAITED)
    if header is None:
        return "reading…"
    jobs = f"{header.jobs:,} job{'s are' if header.jobs != 1 else ' is'}"
    return "\n".join(NO_PROMISE).format(jobs=jobs) if header.jobs else "\n".join(NOTHING)
