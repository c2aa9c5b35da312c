"""Rights found out by trying: AWS has no question "what may I?" that needs no right itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from connectors.aws.errors import Gone, NoIdentity, right_of
from connectors.contract import AccessRefused, Right

UNTRIED = "AWS tells only when it is tried"


def untried(name: str, mend: str) -> Right:
    """A right to act, which cannot be tried without acting."""
    return Right(name, None, UNTRIED, mend, needed_for="act")


def tried(service: str, operation: str, do: Callable[[], object], needed_for: str = "view") -> Right:
    """Whether an operation of a service (boto3's name of it) is allowed. What is gone was allowed to be looked at.
    Raises NoIdentity where nobody asks: no right is missing then."""
    name = right_of(service, operation)
    try:
        with suppress(Gone):
            do()
    except NoIdentity:
        raise
    except AccessRefused as error:
        return Right(name, False, str(error), f"allow {name} to this identity", needed_for)
    return Right(name, True, needed_for=needed_for)
