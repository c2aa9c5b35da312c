"""What previews and acts share: the workflow behind a job, other runs of it, who we are."""

from __future__ import annotations

from typing import Any

from connectors import fields
from connectors.contract import RecordUnreadable, SystemUnreachable
from connectors.github_actions import parse
from connectors.github_actions.client import GitHubClient
from connectors.github_actions.inventory import workflows


def workflow_of(client: GitHubClient, job: str) -> fields.Row | None:
    """The row of a workflow; None where GitHub has none of this name."""
    rows, _, complete = workflows(client)
    for one in rows:
        try:
            row = fields.table(one)
            if parse.job_of(client.repository, parse.path_of(row)) == job and row.get("state") != "deleted":
                parse.id_of(row)
                return row
        except RecordUnreadable:
            continue
    if not complete:
        raise SystemUnreachable("GitHub: the list of workflows does not end")
    return None


def row_of_id(client: GitHubClient, workflow: Any) -> fields.Row | None:
    """The row of a workflow by its id; None where it is gone."""
    reply = client.workflow(int(workflow))
    return reply.table() if reply.status == 200 else None


def login(client: GitHubClient) -> str:
    """Who we are at GitHub; "" for a token that has no user."""
    reply = client.user()
    found = reply.table().get("login") if reply.status == 200 else ""
    return found if isinstance(found, str) else ""


def active(client: GitHubClient, workflow: int, but: int = 0) -> str | None:
    """Other runs of the workflow that run now."""
    rows = fields.rows(client.runs_of(workflow, status="in_progress").table().get("workflow_runs"))
    names = [
        f"#{row.get('run_number')} ({row.get('status')})" for row in rows if isinstance(row, dict) and row["id"] != but
    ]
    return fields.clean(f"other runs are active: {', '.join(names[:5])}") if names else None
