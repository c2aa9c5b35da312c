"""YAML that its author made too large, too deep or endless."""

from __future__ import annotations

import pytest
import yaml

from connectors.github_actions.parse import parse_workflow
from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.yaml_document import read_yaml
from tests.rows import each_row

LEVELS = 24
MERGES = "\n".join(["a0: &a0 {k: v, l: v}", *(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, LEVELS))])
ALIASES = "\n".join(["a0: &a0 [x, y]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, LEVELS))])
LOADERS = (yaml.SafeLoader, yaml.CSafeLoader)


@each_row("loader", LOADERS)
@each_row(
    "text, reason",
    [
        (MERGES, "its aliases repeat it more than 10 times"),
        (ALIASES, "its aliases repeat it more than 10 times"),
        ("a: &a [*a]", "an alias in it refers to itself"),
        ("[" * 50_000 + "]" * 50_000, "it is nested too deep"),
        ("- " * 5_000, "it is nested too deep"),
        ("a: [", "expected"),
    ],
)
def test_yaml_beyond_the_limits_is_refused(text: str, reason: str, loader: type[yaml.SafeLoader]) -> None:
    with pytest.raises(ValueError, match=reason):
        read_yaml(text, loader)


@pytest.mark.parametrize("loader", LOADERS)
def test_aliases_and_merge_keys_of_a_plain_document_are_read(loader: type[yaml.SafeLoader]) -> None:
    text = "defaults: &d {os: linux}\nload: {<<: *d, name: x}\nagain: *d"
    expected = {"defaults": {"os": "linux"}, "load": {"os": "linux", "name": "x"}, "again": {"os": "linux"}}
    assert expected == read_yaml(text, loader)
    assert read_yaml("", loader) is None


@pytest.mark.parametrize("bomb", [MERGES, ALIASES])
def test_a_workflow_whose_aliases_explode_is_a_file_that_cannot_be_read(bomb: str) -> None:
    with pytest.raises(RecordUnreadable, match="its aliases repeat it"):
        parse_workflow(f"on: push\n{bomb}\njobs: {{load: {{runs-on: *a{LEVELS - 1}}}}}\n")


def test_a_title_of_many_expressions_is_compared_in_linear_time() -> None:
    title = "-".join(["${{ matrix.x }}"] * 30)
    [task] = parse_workflow(f'on: push\njobs: {{load: {{runs-on: x, name: "{title}-end"}}}}\n').tasks
    assert not task.runs_as("-" * 400)
    assert not task.runs_as("-" * 28 + "x" * 200)
    assert task.runs_as("-".join(["a"] * 30) + "-end (7) / build")
