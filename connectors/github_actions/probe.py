"""Can we see and act? Asked by reading each list, and by acts on ids that do not exist, which change nothing.

GitHub answers such an act 403 where the token lacks the right, and names the right in X-Accepted-GitHub-Permissions;
404 where the id is what is missing. A token without any access to a repository is answered 404 by everything.
"""

from __future__ import annotations

from collections.abc import Callable

from connectors import fields
from connectors.contract import AccessRefused, NotSupported, Probe, Right
from connectors.github_actions.client import GitHubClient
from connectors.github_actions.definitions import FOLDER
from connectors.github_actions.inventory import PAUSED_WORDS, workflows
from connectors.transport.http import Reply

NOBODY = 2**53 - 1
"""An id above all that GitHub gives: an Enterprise Server begins at 1."""


def probe(client: GitHubClient) -> Probe:
    """Rights and what is asleep. Raises SystemUnreachable or AccessRefused; NotSupported for another program."""
    try:
        reply = client.repository_row()
    except NotSupported as error:
        raise AccessRefused(f"{error}. Is the repository's name right, and may the token see it?") from None
    row = reply.table()
    if "full_name" not in row:
        raise NotSupported(f"{reply.place}: this is no GitHub")
    permissions = row.get("permissions")
    pushes = permissions.get("push") if isinstance(permissions, dict) else None
    rights = [
        Right("read the repository", True),
        _read("read Actions", lambda: client.workflows(1), "Actions: read"),
        _read("read workflow files", lambda: client.folder(FOLDER), "Contents: read"),
        _read("read variables (holds)", lambda: client.variables(1), "Variables: read"),
        _act("rerun and cancel runs", lambda: client.cancel(NOBODY), "Actions: write", pushes),
        _act("start, disable and enable workflows", lambda: client.enable(NOBODY, True), "Actions: write", pushes),
        _act(
            "write variables (holds)", lambda: client.delete_variable("HEADWAY_HOLD_NONE"), "Variables: write", pushes
        ),
    ]
    version = reply.headers.get("x-github-enterprise-version", "") or "github.com"
    return Probe(True, fields.clean(version)[:40], tuple(rights), tuple(_notes(client, rights[1])), reply.clock)


def _read(name: str, ask: Callable[[], Reply], permission: str) -> Right:
    mend = f"give the token the permission {permission}: headway grants github_actions"
    try:
        reply = ask()
    except AccessRefused as error:
        return Right(name, False, str(error), mend)
    except NotSupported as error:
        return Right(name, None, str(error), mend)
    if reply.status == 403:
        return Right(name, False, f"{reply.place}: {reply.said}", mend)
    return Right(name, True)


def _act(name: str, ask: Callable[[], Reply], permission: str, pushes: object) -> Right:
    mend = f"give the token the permission {permission}: headway grants github_actions"
    if pushes is False:
        return Right(name, False, "the account may not write to this repository", mend, "act")
    try:
        reply = ask()
    except AccessRefused as error:
        return Right(name, False, str(error), mend, "act")
    if reply.status in (404, 409, 422):
        return Right(name, True, needed_for="act")
    return Right(name, None, f"{reply.place}: {reply.said}", mend, "act")


def _notes(client: GitHubClient, actions: Right) -> list[str]:
    if not actions.held:
        return []
    rows = [row for row in workflows(client)[0] if isinstance(row, dict)]
    if not rows:
        return ["no workflow is listed: there is none, or Actions are off in this repository"]
    asleep = [
        f"{row.get('path')}: {PAUSED_WORDS[str(row['state'])]}" for row in rows if row.get("state") in PAUSED_WORDS
    ]
    return [fields.clean(one) for one in sorted(asleep)[:10]]
