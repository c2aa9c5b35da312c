"""Rows as GitHub's own description wants them, whole: what it requires is there, made of the few values that matter."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from typing import Any

Row = dict[str, Any]

API = "https://api.github.com"
_REPOSITORY_URLS = (
    "archive", "assignees", "blobs", "branches", "collaborators", "comments", "commits", "compare", "contents",
    "contributors", "deployments", "downloads", "events", "forks", "git_commits", "git_refs", "git_tags", "hooks",
    "issue_comment", "issue_events", "issues", "keys", "labels", "languages", "merges", "milestones", "notifications",
    "pulls", "releases", "stargazers", "statuses", "subscribers", "subscription", "tags", "teams", "trees",
)  # fmt: skip
_USER_URLS = (
    "events", "followers", "following", "gists", "organizations", "received_events", "repos", "starred",
    "subscriptions",
)  # fmt: skip


def stamp(at: datetime | None) -> str | None:
    return None if at is None else f"{at:%Y-%m-%dT%H:%M:%SZ}"


def user(login: str) -> Row:
    url = f"{API}/users/{login}"
    mine = {"login": login, "id": 1, "node_id": "U_1", "gravatar_id": "", "type": "User", "site_admin": False}
    urls = {f"{name}_url": f"{url}/{name}" for name in _USER_URLS}
    return {**mine, **urls, "url": url, "html_url": f"https://github.com/{login}", "avatar_url": f"{url}.png"}


def private_user(login: str) -> Row:
    """The signed-in user, as GET /user returns it."""
    names = dict.fromkeys(("name", "company", "blog", "location", "email", "bio"))
    counts = dict.fromkeys(
        ("followers", "following", "public_gists", "public_repos", "collaborators", "disk_usage",
         "owned_private_repos", "private_gists", "total_private_repos"), 0
    )  # fmt: skip
    dates = dict.fromkeys(("created_at", "updated_at"), "2026-01-01T00:00:00Z")
    return {**user(login), **names, "blog": "", **counts, **dates, "hireable": None, "two_factor_authentication": True}


def repository(full_name: str, pushes: bool = True) -> Row:
    """As much as a run's row holds of it."""
    owner, name = full_name.split("/")
    url = f"{API}/repos/{full_name}"
    mine = {"id": 1, "node_id": "R_1", "name": name, "full_name": full_name, "owner": user(owner), "private": True}
    urls = {f"{name}_url": f"{url}/{name}" for name in _REPOSITORY_URLS}
    more = {"description": None, "fork": False, "url": url, "html_url": f"https://github.com/{full_name}"}
    rights = {"admin": False, "push": pushes, "pull": True}
    return {**mine, **urls, **more, "default_branch": "main", "permissions": rights}


def whole_repository(full_name: str, pushes: bool = True) -> Row:
    """In the format of GET /repos/{owner}/{repo}."""
    flags = dict.fromkeys(
        ("archived", "disabled", "has_discussions", "has_issues", "has_pages", "has_projects", "has_wiki"), False
    )
    counts = dict.fromkeys(
        ("forks", "forks_count", "network_count", "open_issues", "open_issues_count", "size", "stargazers_count",
         "subscribers_count", "watchers", "watchers_count"), 0
    )  # fmt: skip
    dates = dict.fromkeys(("created_at", "pushed_at", "updated_at"), "2026-01-01T00:00:00Z")
    nothing = dict.fromkeys(("homepage", "language", "license", "mirror_url"))
    urls = {f"{name}_url": f"https://github.com/{full_name}.git" for name in ("clone", "git", "ssh", "svn")}
    return {**repository(full_name, pushes), **flags, **counts, **dates, **nothing, **urls}


def workflow(full_name: str, number: int, file: str, title: str, state: str) -> Row:
    url = f"{API}/repos/{full_name}/actions/workflows/{number}"
    page = f"https://github.com/{full_name}"
    return {
        "id": number,
        "node_id": f"W_{number}",
        "name": title,
        "path": f".github/workflows/{file}",
        "state": state,
        "created_at": "2026-01-08T23:48:37.000Z",
        "updated_at": "2026-01-08T23:50:21.000Z",
        "url": url,
        "html_url": f"{page}/blob/main/.github/workflows/{file}",
        "badge_url": f"{page}/workflows/{number}/badge.svg",
    }


def run(full_name: str, row: Row, attempt: Row, whole: bool = True) -> Row:
    """A run at one of its attempts. `whole` False: less what only repeats the repository."""
    url, number = f"{API}/repos/{full_name}/actions/runs/{row['id']}", row["id"]
    commit = {
        "id": "acb5820ced9479c074f688cc328bf03f341a511d",
        "tree_id": "d23f6eedb1e1b9610bbc754ddb5197bfe7271223",
        "message": "Load what is there",
        "timestamp": "2026-01-22T19:33:05Z",
        "author": {"name": "Octo Cat", "email": "octocat@github.com"},
        "committer": {"name": "GitHub", "email": "noreply@github.com"},
    }
    mine = repository(full_name) if whole else None
    names = ("jobs", "logs", "cancel", "rerun", "artifacts")
    return {
        "id": number,
        "name": row["title"],
        "node_id": f"WFR_{number}",
        "head_branch": row.get("branch", "main"),
        "head_sha": commit["id"],
        "path": f".github/workflows/{row['file']}",
        "run_number": row["number"],
        "run_attempt": attempt["attempt"],
        "display_title": row["title"],
        "event": row["event"],
        "status": attempt["status"],
        "conclusion": attempt["conclusion"],
        "workflow_id": row["workflow"],
        "check_suite_id": 42,
        "check_suite_node_id": "CS_42",
        "url": url,
        "html_url": f"https://github.com/{full_name}/actions/runs/{number}",
        "pull_requests": [],
        "created_at": stamp(row["created"]),
        "updated_at": stamp(attempt["updated"]),
        "run_started_at": stamp(attempt["began"]),
        "previous_attempt_url": None,
        "check_suite_url": f"{API}/repos/{full_name}/check-suites/42",
        "workflow_url": f"{API}/repos/{full_name}/actions/workflows/{row['workflow']}",
        **{f"{name}_url": f"{url}/{name}" for name in names},
        **({"head_commit": commit, "repository": mine, "head_repository": mine} if whole else {}),
        **({"actor": user(attempt["by"]), "triggering_actor": user(attempt["by"])} if whole else {}),
    }


def job(full_name: str, row: Row, attempt: Row, entry: Row) -> Row:
    """A job of an attempt, with one step."""
    url = f"{API}/repos/{full_name}/actions/jobs/{entry['id']}"
    step = {"name": "Run make", "number": 1, "status": entry["status"], "conclusion": entry["conclusion"]}
    without_root = dict.fromkeys(("runner_id", "runner_name", "runner_group_id", "runner_group_name"))
    return {
        "id": entry["id"],
        "node_id": f"J_{entry['id']}",
        "run_id": row["id"],
        "run_attempt": attempt["attempt"],
        "run_url": f"{API}/repos/{full_name}/actions/runs/{row['id']}",
        "head_sha": "acb5820ced9479c074f688cc328bf03f341a511d",
        "head_branch": "main",
        "workflow_name": row["file"],
        "url": url,
        "html_url": f"https://github.com/{full_name}/actions/runs/{row['id']}/job/{entry['id']}",
        "status": entry["status"],
        "conclusion": entry["conclusion"],
        "created_at": stamp(row["created"]),
        "started_at": stamp(entry["began"] or row["created"]),
        "completed_at": stamp(entry["ended"]),
        "name": entry["name"],
        "steps": [step] if entry["began"] else [],
        "check_run_url": f"{API}/repos/{full_name}/check-runs/{entry['id']}",
        "labels": ["ubuntu-latest"],
        **without_root,
        **({"runner_id": 1, "runner_name": "runner 1"} if entry["began"] else {}),
    }


def file(full_name: str, path: str, text: str, whole: bool) -> Row:
    """A file; in a folder's list (`whole` False) without its content."""
    url, data = f"{API}/repos/{full_name}/contents/{path}", text.encode()
    sha = hashlib.sha256(data).hexdigest()[:40]
    name, blob = path.rsplit("/", 1)[1], f"{API}/repos/{full_name}/git/blobs/{sha}"
    page = f"https://github.com/{full_name}/blob/main/{path}"
    links = {"git": blob, "self": url, "html": page}
    urls = {"url": url, "git_url": blob, "html_url": page, "download_url": page.replace("/blob/", "/raw/")}
    mine = {"type": "file", "size": len(data), "name": name, "path": path, "sha": sha, **urls, "_links": links}
    return {**mine, "encoding": "base64", "content": base64.encodebytes(data).decode()} if whole else mine


def variable(name: str, value: str) -> Row:
    dates = dict.fromkeys(("created_at", "updated_at"), "2026-11-20T03:12:00Z")
    return {"name": name, "value": value, **dates}
