"""Settings of a GitHub Actions system: its repositories and the token."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from connectors.sdk.option_errors import formatted_like
from connectors.sdk.rest_options import RestOptions
from connectors.sdk.secrets import SecretRef

PUBLIC_API = "https://api.github.com"


class GitHubActionsOptions(RestOptions):
    """Repositories of one GitHub; each is a target of its own."""

    repositories: Annotated[
        tuple[Annotated[str, formatted_like(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}", "acme/etl")], ...],
        Field(min_length=1),
    ]
    """"owner/name" of each repository: ["acme/etl"]."""
    token: SecretRef
    """A fine-grained or classic personal access token, or an app's installation token; read again when refused."""
    url: str = PUBLIC_API
    """Address of the API; of an Enterprise Server "https://github.example.com/api/v3"."""
    workflows: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    """Patterns of workflows to watch, as in a shell: file names ("nightly-*.yml"), or jobs ("acme/etl:*.yml")."""
    events: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "schedule", "workflow_dispatch", "repository_dispatch", "workflow_run",
    )  # fmt: skip
    """Events that must have started a run for it to count, as patterns; runs of pushes and pull requests are checks of
    code and stay out unless they are named, or "*"."""
    ref: str = ""
    """Branch or tag that a start runs on; the repository's default branch when empty."""
    inputs: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Inputs of starts, by file name: { "load.yml" = { mode = "full" } }."""

    @model_validator(mode="after")
    def each_once(self) -> Self:
        folded = [repository.lower() for repository in self.repositories]
        twice = sorted({name for name in folded if folded.count(name) > 1})
        if twice:
            raise ValueError(f"a repository is named twice: {', '.join(twice)}")
        return self


def targets(options: GitHubActionsOptions) -> list[str]:
    return list(options.repositories)
