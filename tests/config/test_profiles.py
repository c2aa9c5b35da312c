"""Profiles of a team: a bad one gets every fault with file, line, value and fix; nothing in one is evaluated."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.sdk import registry
from connectors.sdk.scaffold import write_profile
from console.config.document import ConfigFaults
from console.config.loading import load_config
from console.config.profiles import profile_warnings, read_profile
from tests.rows import each_row

CONFIG = """
[systems.n]
kind = "nightly.toml"
url = "https://n.example"
token = { env = "TOKEN" }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return write_profile("nightly", tmp_path)


def faults(file: Path, old: str, new: str) -> list[str]:
    """The faults after a change, without the folder."""
    text = file.read_text()
    assert text.count(old) >= 1, old
    file.write_text(text.replace(old, new, 1))
    kind, results = read_profile(file)
    assert (kind is None) == bool(results)
    return [str(fault).replace(f"{file.parent}/", "") for fault in results]


def test_the_scaffolded_profile_is_valid_and_is_a_kind_in_a_config(file: Path) -> None:
    config = file.parent / "headway.toml"
    config.write_text(CONFIG)
    system = load_config(config).systems["n"]
    assert ("nightly", "main", ["api"]) == (system.kind.kind, system.options.tenant, list(system.targets))


HOSTILE = [
    # an unknown, missing or misspelled field
    ('limit = 100', 'limti = 100', "limti", 'limti: unknown key. Did you mean "limit"?'),
    ('title = "Nightly"', "", "# Nightly as a kind", 'title: is missing. Add it: title = "Nightly".'),
    ('schedule = "cron"', 'shedule = "cron"', "shedule", 'jobs.shedule: unknown key. Did you mean "schedule"?'),
    ('base = "http"', 'base = "cron"', "base =", 'base: a profile has no base "cron". Write base = "http" or "sql".'),
    ('base = "http"', 'base = "../http"', "base =", 'base: a profile has no base "../http"'),
    # a wrong type or value
    ("limit = 100", 'limit = "many"', "limit =", "limit: 'many' is not a whole number. Write one, as 22."),
    ("limit = 100", "limit = 1000000000", "limit =", "limit: 1000000000 is too large: at most 10000."),
    ('[options.tenant]', '[options."../x"]', None, "is not written like account"),
    ('about = "Name of the tenant."', 'about = 7', "about =", "options.tenant.about: 7 is not text"),
    ('default = "main"', 'default = "a}{b"', "default =", "without braces"),
    ('default = "main"', "type = \"number\"\ndefault = \"main\"", "[options.tenant]", 'does not fit type = "number"'),
    ('kind = "nightly"', 'kind = "../nightly"', "kind =", "kind: is not written like gitlab"),
    ('kind = "nightly"', 'kind = "cron"', "kind =", 'kind: "cron" is an installed kind. Choose another name.'),
    ('[options.tenant]', "[options.poll_every]", "[options.poll_every]", "every system has this option"),
    ('done = "succeeded"', 'done = "green"', "done =", "is not a state that a source reports"),
    ('sign_in = "bearer"', 'sign_in = "cookie"', "sign_in =", "'cookie' is not one of 'bearer', 'basic', 'header'"),
    ('title = "Nightly"', 'title = "Nightly"\noauth2 = { form = { client_secret = "hunter2" } }', "oauth2", "a secret"),
    ('title = "Nightly"', 'title = "Nightly"\ntargets = "hosts"', "targets =", 'no option "hosts". Known: tenant.'),
    ('done = "succeeded"', 'done = "sucess"', "sucess",
     "'sucess' is not a state that a source reports. Did you mean \"succeeded\"?"),
    ('rows = "jobs"', 'rows = "jobs"\nrows_optional = "yes"', "yes",
     "jobs.rows_optional: 'yes' is neither true nor false"),
    ('[lacks]', '[hold]\npath = "/j/{job}"\nbody = { t = "{note}" }\nnote = "t"\none_line = "yes"\n[lacks]', "yes",
     "hold.one_line: 'yes' is neither true nor false. Write one of them, without quotes."),
    # a key or a table that is defined twice
    ("limit = 100", "limit = 100\nlimit = 50", "limit = 50", "limit: is defined twice. Fix: remove one of the two"),
    ('id = "name"', 'id = "name"\nid = """\na = 1\nname"""', 'id = """', "jobs.id: is defined twice"),
    ("[lacks]", "[jobs]\n[lacks]", "[jobs]", "jobs: is defined twice. Fix: remove one of the two definitions."),
    ('{ limit = "{limit}", after', '{ limit = "{limit}", limit = "9", after', '"9"',
     "jobs.query.limit: is defined twice"),
    # a list, a log or an account that would be changed by being read
    *((f"[{table}]", f'[{table}]\nmethod = "{method}"', f'"{method}"',
       f"{table}.method: '{method}' is not one of 'GET' or 'POST'.")
      for table in ("jobs", "runs", "log") for method in ("DELETE", "PUT")),
    ('[states]', '[account]\npath = "/me"\nname = "name"\nmethod = "PATCH"\n[states]', "PATCH",
     "account.method: 'PATCH' is not one of 'GET' or 'POST'."),
    # a relation that is no path, a mark of no run
    ('upstreams = "needs"', 'upstreams = ["load"]', "upstreams =", "jobs.upstreams: a list is not text"),
    ('upstreams = "needs"', 'upstreams = "needs[].job"', "upstreams =", "jobs.upstreams: 'needs[].job' is not a path"),
    ('upstreams = "needs"', 'parent = "a..b"', "parent =", "jobs.parent: 'a..b' is not a path into a row"),
    ('[lacks]', '[verbs.mark]\npath = "/api/mark"\n\n[lacks]', None, '"/api/mark" names no {id}'),
    # a secret that a path would show, a list in a list
    ('default = "main"', 'type = "secret"', "[jobs]", "{option.tenant} is a secret, which only query and body"),
    ('rows = "jobs"', 'rows = "a.*.b"', "rows =", "jobs.rows: 'a.*.b': only runs has the rows of every row of a list"),
    # pages without a bound
    ('{ limit = "{limit}", after = "{cursor}" }', '{ after = "{cursor}" }', "query = { after",
     "jobs.query: its pages have no bound"),
    ('{ since = "{since}", limit = "{limit}", after = "{cursor}" }', "{ }", "next =",
     "runs.next: \"paging.after\" is the token of the next page"),
    ('{ limit = "{limit}", after = "{cursor}" }', '{ a = "{page}", b = "{offset}" }', "next =",
     "Fix: send {cursor} in query"),
    # an address that no system could have
    ('limit = 100', 'url = "ftp://n.example"\nlimit = 100', "url =", "url needs http:// or https:// and a host"),
    ('limit = 100', 'url = "not a url"\nlimit = 100', "url =", "url needs http:// or https:// and a host"),
    # a secret in the text
    ('"/api/{option.tenant}/jobs"', '"/api/glpat-abcdefghij0123456789/jobs"', "glpat", "holds a secret"),
    ('query = { limit', 'query = { api_key = "hunter2", limit', "hunter2", "jobs.query.api_key: holds a secret"),
    ('limit = 100', 'url = "https://me:hunter2@n.example"\nlimit = 100', "hunter2", "url: holds a secret"),
    ('grants = "# Nightly:', 'grants = "# Bearer eyJhbGciOiJI.eyJzdWIiOiIxMjM0:', "eyJ", "grants: holds a secret"),
    ('body = { request = "{key}" }', 'body = { request = "{key}", password = "x" }', "password", "holds a secret"),
    ('grants = "# Nightly:', 'grants = "# curl -H \'Authorization: Bearer 9f8e7d6c5b4a3928\':', "9f8e",
     "grants: holds a secret"),
    ('grants = "# Nightly:', 'grants = "# Bearer abcdefghijklmnopqr:', "abcdef", "grants: holds a secret"),
    # a call that is about another run or job
    ('runs/{id}/rerun', "runs/rerun", "/rerun",
     'rerun.path: "/api/{option.tenant}/runs/rerun" names no {id} and no {job}'),
    ('runs/{id}/log', "runs/log", "/log", "log.path: \"/api/{option.tenant}/runs/log\" names no {id}"),
    ('runs/{id}/log', "jobs/{job}/log", "/log", "Fix: send {id} in path, query, body or headers"),
    ('runs/{id}"', 'runs/latest"', "one =", 'runs.one: "/api/{option.tenant}/runs/latest" is '),
    ('[lacks]', '[verbs.cancel]\npath = "/api/jobs/{job}/cancel"\n[lacks]', "/cancel",
     "cancel\" names no {id}, so the call"),
    # its line where the table is named otherwise, its value, its fix
    ('[verbs.rerun]', "[verb.rerun]", "[verb.rerun]", 'verb: unknown key. Did you mean "verbs"?'),
    ('sign_in = "bearer"', 'sign_in = "oauth2"', "sign_in =", 'belong together. Fix: add oauth2.'),
    ('sign_in = "bearer"', 'oauth2 = {}', "oauth2 =", 'belong together. Fix: set sign_in = "oauth2", or remove it.'),
    ('sign_in = "bearer"', 'sign_in = "oauth2"\noauth2 = { client_secret = "hunter2" }', "hunter2",
     'oauth2.client_secret: a profile holds no account. Fix: remove it here, and write client_secret = { env ='),
    ('start = "Nightly starts', 'strat = "Nightly starts', "strat", 'lacks.strat: unknown key. Did you mean "start"?'),
    ('start = "Nightly starts', '# "', "[lacks]", "lacks: it has no start: add its call"),
    ('ladder = "', '# "', "# Nightly as a kind", "ladder: is missing. Add it: ladder ="),
    ('grants = "', '# "', "# Nightly as a kind", "grants: is missing. Add it: grants ="),
    ('kind = "nightly"', "", "# Nightly as a kind", 'kind: is missing. Add it: kind = "nightly".'),
    ("limit = 100", 'limit = "100"', "limit =", "limit: '100' is not a whole number"),
    ('one = "/api/{option.tenant}/runs/{id}"', 'attempt = "tries"', "[verbs.rerun]", 'runs.one the path of a single'),
    ('after = "{cursor}" }', 'after = "{curser}" }', "{curser}",
     "query.after: {curser} means nothing here; did you mean {cur"),
    ('"/api/{option.tenant}/jobs"', '"https://a.example/s3cr3t"', "a.example",
     "(it is an address, https://a.example…)."),
    ('runs/{id}/log"', 'runs/{id}/log"\nheaders = { Accept = "{key}" }', "Accept",
     "log.headers.Accept: {key} means nothing"),
    # a header with a secret
    ("limit = 100", 'limit = 100\nheaders = { X-Api-Key = "9f8e7d6c" }', "9f8e", "headers.X-Api-Key: holds a secret"),
    ('runs/{id}/log"', 'runs/{id}/log"\nheaders = { X-Auth = "Bearer abcdef" }', "abcdef", "X-Auth: holds a secret"),
    # two states that would be read as one
    ('done = "succeeded"', 'done = "succeeded"\nDONE = "failed"', "[states]",
     "states: 'done' and 'DONE' are the same state: states are case-insensitive. Fix: keep one of them."),
    # a header that no request can have
    ("limit = 100", 'limit = 100\nheaders = { X-Tide = "a\\r\\nb" }', "X-Tide",
     "headers.X-Tide: the value of a header must be at most 200 printable ASCII characters, without a space"),
    # a header that each request, or the sign-in, sets itself
    *(("limit = 100", f'limit = 100\nheaders = {{ {name} = "7" }}', f"{name} =",
       f"headers.{name}: the HTTP client sets the header {name}. Fix: remove it.")
      for name in ("Host", "content-length", "Transfer-Encoding", "Proxy-Authorization")),
    ('runs/{id}/log"', 'runs/{id}/log"\nheaders = { Host = "n.example" }', "n.example",
     "log.headers.Host: the HTTP client sets the header Host"),
    ("limit = 100", 'limit = 100\nheaders = { authorization = "7" }', '"7"',
     "headers.authorization: the sign-in sends this header. Fix: remove it."),
    ('body = { request = "{key}" }', 'body = { request = "{key}" }\nheaders = { Authorization = "{id}" }', "{id}",
     "verbs.rerun.headers.Authorization: the sign-in sends this header. Fix: remove it."),
    ('sign_in = "bearer"', 'sign_in = "header"\ntoken_header = "X-Tide"\nheaders = { x-tide = "7" }', '"7"',
     "headers.x-tide: the sign-in sends this header. Fix: remove it."),
    # a path that would be sent otherwise than it is written
    *((f'"/api/{{option.tenant}}/{name}', f'"{path}', path, f"{key}: {text}")
      for name, key in (("jobs", "jobs.path"), ("runs/{id}", "runs.one"), ("runs/{id}/log", "log.path"))
      for path, text in (
          ("/v1/flows\\r\\nX-Evil: 1", r"the path contains '\r'. Fix: write %0D, or remove it"),
          ("/v1/a b", "the path contains ' '. Fix: write %20, or remove it"),
          ("/v1/a#b", "the path contains '#'. Fix: write %23, or remove it"),
          ("/v1/../../admin", '\'/v1/../../admin\' contains the segment "." or "..". Fix: write the resolved path.'),
          ("/v1/%2e%2E/admin", '\'/v1/%2e%2E/admin\' contains the segment "." or "..".'),
      )),
    ('next = "paging.after"', 'next = "paging.after"\nnext_path = "/../{cursor}"', "next_path =",
     'jobs.next_path: \'/../{cursor}\' contains the segment'),
    ('[lacks]', '[hold]\npath = "/j/{job}"\njob_path = "/./{job}"\nnote = "t"\n[lacks]', "job_path =",
     "hold.job_path: '/./{job}' contains the segment"),
    ('sign_in = "bearer"', 'sign_in = "oauth2"\noauth2 = { token_url = "/a/../token" }', "a/../t",
     "oauth2.token_url: '/a/../token' contains the segment"),
    # a secret of any shape in a header, a default or a comment
    *((old, f"{more}\n{old}", word, f"{key}: holds a secret, or what looks like one. A profile holds none")
      for word in ("4f9a0c17be23d58866a1e07bc94d2f31", "dGlkZTpodW50ZXIyaHVudGVy", "x7Kp2mQ9vL4nR8sT1wZ5",
                   "x7K-p2mQ!9vL4n+R8sT=1w")
      for old, more, key in (
          ("limit = 100", f'headers = {{ X-Tide = "{word}" }}', "headers.X-Tide"),
          ('body = { request', f'headers = {{ X-Tide = "id {word}" }}', "verbs.rerun.headers.X-Tide"),
          ("[jobs]", f'[options.pw]\nabout = "Any option."\ndefault = "{word}"', "options.pw.default"),
      )),
    # and in a path, or a parameter of any name
    *((old, new, word, f"{key}: holds a secret, or what looks like one. A profile holds none")
      for word in ("9f8a7d6c5b4e3f2a1b0c9d8e7f6a5b4c", "q8Zk3mPx7vTn2LwR5yBc9dHf", "dGlkZTpodW50ZXIyaHVudGVy")
      for old, new, key in (
          ('"/api/{option.tenant}/jobs"', f'"/api/{{option.tenant}}/jobs?k={word}"', "jobs.path"),
          ('"/api/{option.tenant}/jobs"', f'"/services/T024BE7LD/B0PXY1234/{word}/jobs"', "jobs.path"),
          ('runs/{id}"', f'runs/{{id}}/{word}"', "runs.one"),
          ('query = { limit', f'query = {{ k = "{{limit}}{word}", limit', "jobs.query.k"),
          ('query = { limit', f'query = {{ k = {{ v = "{word}" }}, limit', "jobs.query.k.v"),
          ('body = { request = "{key}" }', f'body = {{ request = "{{key}}", list = ["{word}"] }}', "body.list.1"),
          ('sign_in = "bearer"', f'sign_in = "oauth2"\noauth2 = {{ form = {{ k = "{word}" }} }}', "oauth2.form.k"),
      )),
    ("limit = 100", f"limit = 100      # as with ghp_{'a1B2c3D4' * 4}", "ghp_", "a comment holds a secret"),
    ("limit = 100", 'limit = 100\n# path = "/api" # Bearer 9f8e7d6c5b4a3928', "9f8e", "a comment holds a secret"),
    ("limit = 100", "limit = 100\n# -----BEGIN RSA PRIVATE KEY-----", "BEGIN", "a comment holds a secret"),
    ("limit = 100", 'limit = 100 # """\n# Bearer 9f8e7d6c5b4a3928', "9f8e", "a comment holds a secret"),
    ('title = "Nightly"', 'title = """\nNightly""" # Bearer 9f8e7d6c5b4a3928', "9f8e", "a comment holds a secret"),
    ('path = "/api/{option.tenant}/jobs"', 'path = ""', 'path = ""', "jobs.path: is not written like /api/runs"),
    # one place of a list, where a run is repeated several times
    ('key = "request"', 'key = "retries[0].reason"\nattempt = "tries"', "key =", "Fix: write [*] for [0]."),
    ('id = "name"', 'id = "names[*]"', "id =", "has no single value. Fix: write [0] or [-1] for [*]"),
    # code in an expression
    ('"/api/{option.tenant}/jobs"', '"/api/{{ tenant }}/jobs"', "{{ tenant", "is not evaluated: write a name"),
    ('"/api/{option.tenant}/jobs"', '"/api/${TENANT}/jobs"', "${TENANT}", "'{' is not evaluated"),
    ('"/api/{option.tenant}/jobs"', '"/api/$(id)/jobs"', "$(id)", "'$(' is not evaluated"),
    ('"/api/{option.tenant}/jobs"', '"/api/`id`/jobs"', "`id`", "'`' is not evaluated"),
    ('"/api/{option.tenant}/jobs"', '"/api/{option.__class__}/jobs"', "__class__",
     "jobs.path: {option.__class__} means nothing here"),
    ('"/api/{option.tenant}/jobs"', '"/api/{option.tenant.upper()}/jobs"', "upper()", "is not evaluated"),
    ('"/api/{option.tenant}/jobs"', '"/api/{option.other}/jobs"', "option.other",
     "did you mean {option.tenant}? there are {cursor}, {limit}"),
    ('"/api/{option.tenant}/jobs"', '"/api/{option.other}/jobs"', "option.other", "Fix: declare [options.other]."),
    ('id = "name"', 'id = "${name}"', "${name}", "jobs.id: '${name}' is not a path into a row"),
    ('"/api/{option.tenant}/jobs"', '"/api/{option.tenant!r:>99}/jobs"', "!r:>99", "is not evaluated"),
    ('body = { request = "{key}" }', 'body = { request = "{key}", x = [{ y = "{% if" }] }', "{% if", "not evaluated"),
    ('id = "name"', 'id = "__import__(\'os\').system(\'id\')"', "__import__", "is not a path into a row"),
    ('id = "name"', 'id = "name | upper"', "name | upper", "is not a path into a row"),
    ('id = "name"', 'id = "$.jobs[?(@.x>1)]"', "$.jobs", "is not a path into a row"),
    ('"/api/{option.tenant}/jobs"', '"https://evil.example/jobs"', "evil", "jobs.path: is not written like /api/runs"),
    ('one = "/api/{option.tenant}/runs/{id}"', 'one = "/api/{token}/runs/{id}"', "one =", "{token} means nothing"),
    ('path = "/api/{option.tenant}/runs/{id}/rerun"', 'path = "/x/{token}"', "/x/{token}", "{token} means nothing"),
    # an action that could not be looked up, a capability without a reason
    ('body = { request = "{key}" }', "", None, "checked. Fix: send {key}"),
    ('cancel = "Nightly ends nothing on request."', "", None, "it has no cancel: add its call, or say why in [lacks]"),
    ('start = "Nightly starts', 'rerun = "Nightly starts', None, "lacks"),
]  # fmt: skip


@pytest.mark.parametrize("old, new, place, text", HOSTILE)
def test_a_bad_profile_gets_its_line_and_fix(file: Path, old: str, new: str, place: str | None, text: str) -> None:
    results = faults(file, old, new)
    fault = next((line for line in results if text in line), None)
    assert fault is not None, results
    if place is not None:
        line = int(fault.removeprefix("nightly.toml:").partition(":")[0])
        assert place in file.read_text().splitlines()[line - 1], fault


def test_a_server_of_a_hold_that_is_refused_is_one_fault(file: Path) -> None:
    hold = '[hold]\nserver = "http://n.example"\npath = "/j/{job}"\nbody = { n = "{note}" }\nnote = "t"\n'
    results = faults(file, "[lacks]", f'{hold}pause = "/p/{{job}}"\nresume = "/r/{{job}}"\n[lacks]')
    assert ["hold.server"] == [line.split(": ")[1] for line in results if "server" in line]


def test_keys_below_a_table_by_mistake_get_one_hint(file: Path) -> None:
    results = faults(file, "[options.tenant]", '[options.tenant]\nlimit = 100\nslash = "-"  #')
    hint = "Keys below [options.tenant] belong to it; move those of the profile above its first table."
    assert [True, False] == [hint in line for line in results if "unknown key" in line]


TABLES = """
kind = "batch_db"
base = "sql"
title = "Our batch"
ladder = "Proves a run's end as its row reports it."
grants = "-- SELECT on batch.jobs and batch.runs"

[options.queue]
about = "Name of the queue."

[jobs]
query = "SELECT name FROM jobs WHERE queue = {option.queue}"
id = "name"

[runs]
query = "SELECT * FROM runs WHERE id > {cursor} OR id::text = ANY({open})"
cursor = "id"
id = "id"
job = "job"
state = "status"

[states]
ok = "succeeded"

[lacks]
log = "its rows hold no output"
rerun = "its rows take no key"
start = "its rows take no key"
cancel = "nothing ends a run"
"""


@pytest.mark.parametrize(
    "old, new, text",
    [
        ("", "", ""),
        (
            "{option.queue}",
            "{option.quue}",
            "jobs.query: {option.quue} means nothing here; did you mean {option.queue}? there are {option.queue}",
        ),
        ("{option.queue}", "'{option.queue}'", "write {option.queue} without quotes: it is bound"),
        ("{option.queue}", "{{ queue }}", "'{{' is not evaluated"),
        ('queue = {option.queue}"', 'queue = 1; DROP TABLE jobs"', "query is one SELECT (or WITH), nothing behind it"),
        ('log = "its rows hold no output"', "", "it has no log: add its call, or say why in [lacks]"),
        ("[jobs]", '[options.dbname]\nabout = "Name of it."\n[jobs]', "every system has this option"),
    ],
)
def test_a_profile_of_tables_is_validated_the_same_way(tmp_path: Path, old: str, new: str, text: str) -> None:
    tmp_path.chmod(0o755)
    file = tmp_path / "batch_db.toml"
    file.write_text(TABLES)
    results = faults(file, old, new)
    assert bool(results) == bool(text)
    assert not text or any(text in line for line in results), results


WARNED = [
    ('body = { request = "{key}" }', "", 'verbs.rerun: it sends no {key}, so no run shows it at runs.key = "request"'),
    ("[lacks]", '[verbs.cancel]\npath = "/runs/{id}/end"\n[lacks]', 'verbs.cancel: no state means "cancelled"'),
]


@pytest.mark.parametrize("old, new, texts", WARNED)
def test_what_may_be_a_mistake_is_a_warning_with_its_line(file: Path, old: str, new: str, texts: str) -> None:
    assert [] == profile_warnings(file)
    text = file.read_text().replace(old, new).replace('job = "job"', 'job = "job"\nattempt = "tries"')
    text = text.replace('stopped = "cancelled"', 'stopped = "failed"')
    file.write_text(text.replace('cancel = "', '# "') if "cancel" in new else text)
    assert [] == read_profile(file)[1]
    [warning] = profile_warnings(file)
    assert texts in str(warning)
    assert warning.line is not None
    assert f"[{warning.key}]" == file.read_text().splitlines()[warning.line - 1]


def test_the_fix_of_a_rerun_without_a_key_keeps_what_a_start_needs(file: Path) -> None:
    text = file.read_text().replace('body = { request = "{key}" }', "").replace('start = "', '# "')
    start = '[verbs.start]\npath = "/jobs/{job}/start"\nbody = { request = "{key}" }\n\n[lacks]'
    file.write_text(text.replace('job = "job"', 'job = "job"\nattempt = "tries"').replace("[lacks]", start))
    assert [] == read_profile(file)[1]
    [warning] = profile_warnings(file)
    assert warning.problem.endswith('at runs.key = "request". Fix: send {key}.')


def test_a_system_without_its_address_gets_an_example_of_its_own_kind(file: Path) -> None:
    config = file.parent / "headway.toml"
    airflow = '[systems.a]\nkind = "airflow"\ntoken = { env = "TOKEN" }\n'
    config.write_text(CONFIG.replace('url = "https://n.example"\n', "") + airflow)
    with pytest.raises(ConfigFaults) as raised:
        load_config(config)
    assert [
        f'{config}:2: systems.n.url: is missing. Add it: url = "https://scheduler.example.com".',
        f'{config}:5: systems.a.url: is missing. Add it: url = "https://airflow.example.com".',
    ] == [str(fault) for fault in raised.value.faults]


PUBLIC = (
    "application/vnd.travis-ci.3+json",
    "2024-01-01T00:00:00Z",
    "my-project-123456/europe-west3",
    "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d",
    "ReturnConsumedCapacity",
    "production-cluster-02.example.com",
    "Headway/2.14 (+https://headway.example.com)",
    "api://2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default",
    "https://login.microsoftonline.com/2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/v2.0",
    "s3a://lake-eu1/raw/v2/d1",
    "db1,db2,db3,db4,db5,db6,db7",
)


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_text_in_a_header_or_a_default_is_no_secret(file: Path, text: str) -> None:
    new = f'headers = {{ X-Tide = "{text}" }}\nlimit = 100        # "{text}" # {text}'
    assert [] == faults(file, "limit = 100", new)
    assert [] == faults(file, 'default = "main"', f'default = "{text}"')


@pytest.mark.parametrize(
    "text",
    [
        "ListJobRunsForProjectV2/EventBridgeSchedulerV2API",
        "subscriptions/2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/providers/Microsoft.DataFactory",
        "runs?api-version=2018-06-01&fields=jobRunId,startTime2,endTimeUtc",
        "Sheet1CellRangeA1B2/getEc2InstancesById",
        "batch_2026_11_27_T04_00_00/{option.tenant}q8Zk3mPx7",
    ],
)
def test_a_name_in_a_path_or_a_parameter_is_no_secret(file: Path, text: str) -> None:
    assert [] == faults(file, '"/api/{option.tenant}/jobs"', f'"/api/{{option.tenant}}/{text}"')
    assert [] == faults(file, "query = { limit", f'query = {{ k = "{text}", limit')


def test_all_faults_of_a_profile_come_at_once(file: Path) -> None:
    file.write_text(file.read_text().replace("limit = 100", "limit = 0").replace('done = "succeeded"', 'done = "ok"'))
    results = faults(file, 'ended = "finished"', "ended = 7")
    assert 3 == len(results), results


@pytest.mark.parametrize(
    "data, text",
    [
        (b"kind = ", "is not valid TOML"),
        (b"\nkind = '\xff'", "nightly.toml:2: is not UTF-8: it has the byte 0xff. Save the file as UTF-8."),
        (b"a = " + b"[" * 100_000, "nightly.toml:1: has tables or lists that are nested too deep"),
        (b"#" * 300_000, "has more than"),
        (b"", 'nightly.toml:1: base: a profile has no base "". Write base = "http" or "sql".'),
    ],
    ids=["no value", "bytes", "deep", "long", "empty"],
)
def test_a_file_that_is_no_profile_says_so(file: Path, data: bytes, text: str) -> None:
    file.write_bytes(data)
    kind, results = read_profile(file)
    assert kind is None
    assert text in str(results[0])


@pytest.mark.parametrize("name", ["model_config", "model_validate", "model_fields", "copy", "json", "schema"])
def test_an_option_has_no_name_that_its_class_needs(file: Path, name: str) -> None:
    """pydantic would warn of it, or fail when the kind is made."""
    results = faults(file, "[jobs]", f'[options.{name}]\nabout = "Name of the tenant."\n[jobs]')
    line = file.read_text().splitlines().index(f"[options.{name}]") + 1
    assert [f"nightly.toml:{line}: options.{name}: this name is reserved. Choose another name."] == results


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir], ids=["fifo", "folder"])
def test_only_a_regular_file_is_a_profile(tmp_path: Path, make: Callable[[Path], object]) -> None:
    tmp_path.chmod(0o755)
    make(tmp_path / "nightly.toml")
    assert "is not a regular file. Fix: correct the path." in str(read_profile(tmp_path / "nightly.toml")[1])


def test_no_more_of_a_long_file_is_read_than_shows_that_it_is_too_long(file: Path) -> None:
    with file.open("r+b") as long:
        long.truncate(2 * 1024**4)
    assert "has more than 262144 bytes" in str(read_profile(file)[1])


@pytest.mark.parametrize(
    "old, new, place, start",
    [
        (
            'body = { request = "{key}" }',
            f"body = {{ x = {'[' * 3000 + ']' * 3000} }}",
            "body =",
            "has tables or lists",
        ),
        (
            'body = { request = "{key}" }',
            f"body = {{ x = {'[' * 40 + ']' * 40} }}",
            "body =",
            "verbs.rerun.body: has tables or lists nested more than 30 deep",
        ),
        (
            "[lacks]",
            f"[verbs.cancel.body{'.a' * 17}]\n{'a.' * 19}a = 1\n[lacks]",
            "[verbs.cancel.body.a",
            "verbs.cancel.body: has tables or lists nested more than 30 deep",
        ),
    ],
    ids=["too deep for the parser", "lists", "tables"],
)
def test_tables_and_lists_too_deep_in_each_other_have_their_line(
    file: Path, old: str, new: str, place: str, start: str
) -> None:
    [fault] = faults(file, old, new)
    line, _, problem = fault.removeprefix("nightly.toml:").partition(": ")
    assert file.read_text().splitlines()[int(line) - 1].startswith(place)
    assert problem.startswith(start)
    assert problem.endswith(" deep. Fix: remove levels.")


def test_a_profile_that_others_can_change_is_not_used(file: Path) -> None:
    file.chmod(0o666)
    assert "is not used, because" in str(read_profile(file)[1][0])


def test_faults_of_a_profile_are_faults_of_the_config_that_names_it(file: Path) -> None:
    file.write_text(file.read_text().replace("limit = 100", "limit = 0"))
    config = file.parent / "headway.toml"
    config.write_text(CONFIG + CONFIG.replace("systems.n", "systems.m").replace("nightly.toml", "none.toml"))
    with pytest.raises(ConfigFaults) as raised:
        load_config(config)
    results = [str(fault).replace(f"{file.parent}/", "") for fault in raised.value.faults]
    assert ["nightly.toml:8: limit: 0 is too small: at least 1."] == [line for line in results if "nightly" in line]
    assert "none.toml: cannot be read: No such file" in next(line for line in results if "none" in line)


PARTS = """
[account]
path = "/api/me"
name = "name"

[parts]
path = "/api/runs/{id}/steps"
paging = "none"
id = "id"
name = "name"
state = "state"
account = "by"

[states]
"""


def test_a_page_of_runs_that_takes_longer_than_a_poll_is_refused_with_the_numbers_that_work(file: Path) -> None:
    """101 requests in the time of 100: each poll failed, and nothing said that it always would."""
    text = file.read_text().replace("limit = 100", "limit = 100\nrequests_per_second = 5", 1)
    file.write_text(text.replace("[states]", PARTS.lstrip(), 1).replace("/runs/{id}/log", "/runs/{id}/{part}/log"))
    config = file.parent / "headway.toml"
    assert [] == read_profile(file)[1]
    [warning] = profile_warnings(file)
    assert warning.key == "limit"
    for timeout, is_refused in (("", True), ('poll_timeout = "20s"\n', True), ('poll_timeout = "21s"\n', False)):
        config.write_text(CONFIG + timeout)
        if not is_refused:
            load_config(config)
            continue
        with pytest.raises(ConfigFaults) as raised:
            load_config(config)
        assert (
            "a page of 100 runs takes 101 requests with their parts, 21 s at requests_per_second = 5, and a poll has "
            '20 s (poll_timeout). Fix: set limit = 99, or poll_timeout = "21s" in the system.'
        ) in str(raised.value)


def test_the_text_of_a_profile_is_part_of_the_config_wherever_it_lies(
    file: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two engines with different profiles have different configs."""
    folder = tmp_path_factory.mktemp("other")
    folder.chmod(0o755)
    for place in (file.parent, folder):
        (place / "headway.toml").write_text(CONFIG)
    other = write_profile("nightly", folder)
    monkeypatch.chdir(folder)
    digest = load_config(file.parent / "headway.toml").digest
    assert digest == load_config(Path("headway.toml")).digest
    other.write_text(other.read_text().replace("limit = 100", "limit = 90"))
    assert digest != load_config(Path("headway.toml")).digest


def test_two_files_do_not_make_the_same_kind(file: Path) -> None:
    second, config = file.with_name("second.toml"), file.parent / "headway.toml"
    second.write_text(file.read_text())
    config.write_text(CONFIG + CONFIG.replace("systems.n", "systems.m") + CONFIG.replace("systems.n", "systems.o"))
    assert {"nightly"} == {system.kind.kind for system in load_config(config).systems.values()}, "one file for three"
    config.write_text(CONFIG + CONFIG.replace("systems.n", "systems.m").replace("nightly.toml", "second.toml"))
    with pytest.raises(ConfigFaults) as raised:
        load_config(config)
    assert [f'{config}:8: systems.m.kind: {file} and {second} both make the kind "nightly". Rename one of them.'] == [
        str(fault) for fault in raised.value.faults
    ]


@each_row("name", registry.profiles())
def test_each_shipped_profile_is_valid(name: str) -> None:
    kind, results = read_profile(registry.profiles()[name])
    assert [] == results
    assert kind is not None
    assert name == kind.kind


@pytest.mark.deep
def test_loading_a_kind_reads_no_profile() -> None:
    """Start-up does not depend on how many profiles there are."""
    script = """
import sys
files = []
sys.addaudithook(lambda event, arguments: files.append(str(arguments[0])) if event == "open" else None)
from connectors.sdk.registry import kinds, load
kinds(), load("cron")
print([file for file in files if file.endswith(".toml")])
load("gitlab")
print([file.rpartition("/")[2] for file in files if file.endswith(".toml")])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ["[]", "['gitlab.toml']"] == done.stdout.splitlines(), "the second line shows that reading one is noticed"
