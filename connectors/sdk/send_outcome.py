"""How the HTTP response to an action is read: it happened, it did not, or the outcome is unknown."""

from __future__ import annotations

from typing import Any

from connectors.sdk.errors import AccessRefused, NotSupported, OutcomeUnknown, SystemUnreachable
from connectors.sdk.transport.http import HttpReply


def raise_if_refused(reply: HttpReply) -> None:
    """Raises for the refusals that prove that nothing happened."""
    if reply.status < 300:
        return
    raise NotSupported(f"{reply.place} is a refusal: {reply.error}. Nothing was done.")


def sent_response(reply: HttpReply) -> dict[str, Any]:
    """The answer to something that was sent. Raises OutcomeUnknown where it cannot be read."""
    try:
        return reply.table()
    except (SystemUnreachable, AccessRefused) as error:
        raise OutcomeUnknown(f"{error}. It was sent; it is looked up before anything is sent again.") from None


def accepted(reply: HttpReply) -> dict[str, Any]:
    """The answer to something that was sent and not refused. Raises as `raise_if_refused` and `sent_response`."""
    raise_if_refused(reply)
    return sent_response(reply)
