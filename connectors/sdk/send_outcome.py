"""How the HTTP response to an action is read: it happened, it did not, or the outcome is unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from connectors.sdk.errors import AccessRefused, ConnectorError, NotSupported, OutcomeUnknown, SystemUnreachable
from connectors.sdk.transport.http import HttpReply


def raise_if_refused(reply: HttpReply) -> None:
    """Raises for the refusals that prove that nothing happened."""
    if reply.status < 300:
        return
    raise NotSupported(f"{reply.place} is a refusal: {reply.error}. The request did nothing.")


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


def send_each(steps: Iterable[tuple[str, Callable[[], object]]]) -> None:
    """Sends the steps of an action in their order, each with what it has done ("nightly was written"). Raises
    OutcomeUnknown where one is refused, or never leaves, after others were done."""
    done = list[str]()
    for text, send in steps:
        try:
            send()
        except ConnectorError as error:
            if not done or isinstance(error, OutcomeUnknown):
                raise
            raise OutcomeUnknown(f"{', '.join(done)}, then: {error}") from None
        done.append(text)


@contextmanager
def or_put_back(put_back: Callable[[], object]) -> Iterator[None]:
    """The last step of an action: where it is refused, or never leaves, `put_back` undoes the steps before, so that
    nothing was done. Raises OutcomeUnknown where that fails."""
    try:
        yield
    except OutcomeUnknown:
        raise
    except ConnectorError as error:
        try:
            put_back()
        except ConnectorError as left:
            raise OutcomeUnknown(f"{error}; the changes before it are left: {left}") from None
        raise
