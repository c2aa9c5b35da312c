"""How the answer to something that was sent is read: it happened, it did not, or nobody knows yet."""

from __future__ import annotations

from typing import Any

from connectors.contract import AccessRefused, NotSupported, OutcomeUnknown, SystemUnreachable
from connectors.transport.http import Reply


def refused(reply: Reply) -> None:
    """Raises for the refusals that prove that nothing happened."""
    if reply.status < 300:
        return
    raise NotSupported(f"{reply.place} is a refusal: {reply.said}. Nothing was done.")


def after_once(reply: Reply) -> dict[str, Any]:
    """The answer to something that was sent. Raises OutcomeUnknown where it cannot be read."""
    try:
        return reply.table()
    except (SystemUnreachable, AccessRefused) as error:
        raise OutcomeUnknown(f"{error}. It was sent; it is looked up before anything is sent again.") from None
