"""`headway connector`: the kinds as they are installed, and what of a system is understood, line by line."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from connectors.http.connector import HttpProfile
from connectors.s3.connector import open_s3
from connectors.s3.options import S3Options
from connectors.sdk.aws.client import AwsClient
from connectors.sdk.aws.options import AwsOptions
from connectors.sdk.composed import WatchOnly
from connectors.sdk.contract import Probe
from connectors.sdk.errors import NotSupported
from connectors.sdk.records import HistoryGap, Inventory, JobRecord, LogChunk, Poll, RunRecord, RunRef
from connectors.sdk.registry import kinds
from connectors.sdk.secrets import SecretRef
from connectors.sdk.states import RunState
from connectors.sdk.transport.call_limits import Deadline, RequestTally, counting
from console.cli.connectors import SHOWN, TrialResult, trial_lines, try_target
from console.cli.exits import Exit
from tests.connectors.gitlab.test_profile import opened as opened_gitlab
from tests.fakes.gitlab import FakeGitLab
from tests.fakes.homegrown import HomeGrown
from tests.fakes.web_server import web_server
from tests.hostile.commands import Done, headway
from tests.hostile.world import harmful

PAGE = Path(__file__).parents[2] / "docs" / "connectors" / "http.md"
EXAMPLE = PAGE.read_text().partition("```toml\n")[2].partition("```")[0]
EXAMPLE_SETTINGS = tomllib.loads(EXAMPLE)["systems"]["batch"]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> HomeGrown:
    monkeypatch.setenv("BATCH_KEY", "let-me-in")
    return HomeGrown()


@pytest.fixture
def url(fake: HomeGrown) -> Iterator[str]:
    """The home-grown scheduler behind a real endpoint."""

    with web_server(fake.handle) as address:
        yield address


def tried(folder: Path, url: str, *arguments: str, wrong: tuple[str, str] = ("", "")) -> Done:
    """What `connector try` says of the example of the page, at this address."""
    config = EXAMPLE.replace("https://batch.internal", url)
    assert wrong[0] in config
    (folder / "headway.toml").write_text(config.replace(*wrong) if wrong[0] else config)
    line = ("--config", str(folder / "headway.toml"), "connector", "try", *arguments)
    return headway(str(folder / "none.db"), *line)


def test_every_installed_kind_is_listed_with_what_it_does() -> None:
    data = headway("none.db", "connector", "list", "--json").data
    assert kinds() == [item["kind"] for item in data]
    cron = next(item for item in data if item["kind"] == "cron")
    assert ("SIGTERM", "real") == (cron["verbs"]["cancel"], cron["against"][0])
    assert "a crontab line has no tasks" == cron["lacks"]["tasks"]


def test_one_kind_is_shown_in_full_and_a_near_match_is_suggested() -> None:
    assert "no: cron cannot set a run's result" in headway("none.db", "connector", "list", "cron").out
    done = headway("none.db", "connector", "list", "corn")
    assert (Exit.NOT_FOUND, True) == (done.code, 'did you mean "cron"?' in done.err)


def test_the_parsed_mapping_is_printed_line_by_line(tmp_path: Path, url: str) -> None:
    done = tried(tmp_path, url, "batch")
    assert (Exit.OK, "") == (done.code, done.err)
    assert f"request  GET {url}/api/jobs × 2" in done.out
    assert re.search(rf"request  GET {url}/api/runs\?since=[-\w:]+&limit=100\n", done.out)
    assert "right    read runs: held" in done.out
    assert "load  'Load orders'  debian-cron '10 3 * * *' Europe/Berlin" in done.out
    assert "'crashed' -> failed" in done.out
    assert "exit 3" in done.out
    assert "let-me-in" not in done.out


def test_what_was_not_understood_is_named(tmp_path: Path, url: str, fake: HomeGrown) -> None:
    fake.run("load", "hibernating", fake.now)
    fake.run("stray", "done", fake.now)
    fake.runs[0] |= {"began": "yesterday"}
    done = tried(tmp_path, url, "batch")
    assert Exit.PROBLEM == done.code
    assert "state    'hibernating' × 1 -> unknown: unknown; name it in states" in done.out
    assert "skipped  run 1: 'yesterday' at 'began' is not an instant written as iso" in done.out
    assert "1 runs are of 'stray', which is not among the jobs" in done.out
    whole = tried(tmp_path, url, "batch", "--json").data["targets"][0]
    assert ("batch/api", False) == (whole["target"], whole["understood"])


def test_a_field_that_no_row_has_is_named_with_its_near_match(tmp_path: Path, url: str) -> None:
    """A job kept no title, and nothing said why."""
    done = tried(tmp_path, url, "batch", wrong=('title = "label"', 'title = "labell"'))
    text = " ".join(done.out.split())
    assert 'warning jobs.title: none of 2 rows has "labell". Fix: did you mean "label"?' in text
    assert Exit.OK == done.code


def test_a_schedule_that_cannot_be_read_is_a_warning_with_its_reason(tmp_path: Path, url: str, fake: HomeGrown) -> None:
    fake.jobs[0] |= {"tz": "Mars/Olympus"}
    fake.jobs[1] |= {"cron": "0 4 * *", "tz": "UTC"}
    done = tried(tmp_path, url, "batch", wrong=('schedule = "cron"', 'schedule = "cron"\nschedule_zone = "tz"'))
    text = " ".join(done.out.split())
    end = "; no start is expected by it"
    begin = "Headway cannot expand its schedule: "
    assert f'warning load: {begin}"10 3 * * *" in Mars/Olympus: "Mars/Olympus" is not a' in text
    assert f'warning mart: {begin}"0 4 * *" in UTC: it is not an expression of five fields{end}' in text
    fake.jobs = [{**fake.jobs[1], "name": f"mart{number}"} for number in range(SHOWN + 2)]
    assert "warning 2 more schedules cannot be read" in " ".join(tried(tmp_path, url, "batch").out.split())


def test_a_path_that_is_not_there_names_its_key(tmp_path: Path, url: str) -> None:
    done = tried(tmp_path, url, "batch", wrong=('path = "/api/jobs"', 'path = "/api/jobz"'))
    assert "(jobs.path). Fix: correct the path, or url of the system" in " ".join(done.out.split())


def test_a_wrong_path_says_which(tmp_path: Path, url: str) -> None:
    done = tried(tmp_path, url, "batch", wrong=('rows = "jobs"', 'rows = "items"'))
    assert (Exit.PROBLEM, True) == (done.code, "has no list at rows = 'items'" in " ".join(done.out.split()))


def test_an_invalid_mapping_is_reported_with_place_value_and_fix(tmp_path: Path, url: str) -> None:
    done = tried(tmp_path, url, "batch", wrong=('done = "succeeded"', 'done = "success"'))
    text = " ".join(done.err.split())
    assert Exit.USAGE == done.code
    assert "systems.batch.states.done" in text
    assert 'Did you mean "succeeded"?' in text


def test_what_it_says_is_text(tmp_path: Path, url: str, fake: HomeGrown) -> None:
    fake.run("\x1b[2Jload", "do\u202ene", fake.now, error="\x1b]0;x\x07[/]")
    for more in ((), ("--json",)):
        done = tried(tmp_path, url, "batch", *more)
        assert [] == harmful(done.out) + harmful(done.err)


def test_a_new_profile_is_valid_and_an_existing_file_is_kept(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    new = ("connector", "new", "nightly", "--profile", "--into", str(tmp_path))
    done = headway("none.db", *new)
    path = tmp_path / "nightly.toml"
    assert (Exit.OK, True) == (done.code, "headway connector check" in done.out)
    again = headway("none.db", *new)
    assert (Exit.REFUSED, True) == (again.code, "File exists; nothing was written" in again.err)
    nowhere = headway("none.db", *new[:-1], str(tmp_path / "none"))
    assert (Exit.REFUSED, True) == (nowhere.code, "Fix: make the folder" in " ".join(nowhere.err.split()))
    taken = headway("none.db", "connector", "new", "gitlab", "--profile", "--into", str(tmp_path))
    assert Exit.REFUSED == taken.code
    assert '"gitlab" is an installed kind; nothing was written. Fix: choose another name' in " ".join(taken.err.split())
    assert not (tmp_path / "gitlab.toml").exists()
    checked = headway("none.db", "connector", "check", str(path))
    assert (Exit.OK, True) == (checked.code, "kind nightly (Nightly): log, native_dependencies, rerun" in checked.out)


def test_a_profile_is_shown_in_full_like_a_kind(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    headway("none.db", "connector", "new", "nightly", "--profile", "--into", str(tmp_path))
    path = tmp_path / "nightly.toml"
    done = headway("none.db", "connector", "list", str(path))
    assert (Exit.OK, True) == (done.code, "rerun     yes: run again" in done.out)
    path.write_text(path.read_text().replace("limit = 100", "limit = 0"))
    done = headway("none.db", "connector", "list", str(path))
    assert (Exit.PROBLEM, True) == (done.code, "nightly.toml:8: limit: 0 is too small" in " ".join(done.err.split()))


def test_a_job_without_an_expression_shows_its_next_start(tmp_path: Path, url: str, fake: HomeGrown) -> None:
    fake.jobs[0]["next"], fake.jobs[1]["needs"] = "2026-11-27T03:10:00Z", ["load"]
    done = tried(tmp_path, url, "batch", wrong=('schedule = "cron"', 'next_at = "next"'))
    assert "load  'Load orders'  next start 2026-11-27T03:10:00Z" in done.out
    assert "mart  'Revenue mart'  no schedule\n  native dependencies 1\n" in done.out


def test_a_profile_with_faults_is_a_problem_with_the_line_of_each(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    headway("none.db", "connector", "new", "nightly", "--profile", "--into", str(tmp_path))
    path = tmp_path / "nightly.toml"
    path.write_text(path.read_text().replace("limit = 100", "limit = 0").replace('done = "succeeded"', 'done = "ok"'))
    done = headway("none.db", "connector", "check", str(path))
    assert (Exit.PROBLEM, []) == (done.code, harmful(done.out))
    report = headway("none.db", "connector", "check", str(path), "--json").data
    assert [(8, "limit"), (44, "states.done")] == [(fault["line"], fault["key"]) for fault in report["faults"]]


def test_a_profile_is_compared_with_a_description_of_its_api(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    headway("none.db", "connector", "new", "nightly", "--profile", "--into", str(tmp_path))
    path, description = tmp_path / "nightly.toml", tmp_path / "api.json"
    description.write_text('{"paths": {"/api/jobs": {"get": {}}}}')
    done = headway("none.db", "connector", "check", str(path), "--api", str(description))
    assert (Exit.PROBLEM, []) == (done.code, harmful(done.out))
    assert f"{path}:17: jobs.path: GET /api/{{option." in done.out
    assert "is not in the description. Fix: correct it." in done.out
    assert re.search(
        r"api\.json: \d+ calls, \d+ parameters and fields; faults: [1-9]\d*, not described: \d+",
        " ".join(done.out.split()),
    )
    report = headway("none.db", "connector", "check", str(path), "--api", str(description), "--json").data
    assert {"calls", "names", "undescribed", "notes"} == set(report["compared"])
    description.write_text('{"paths": {"/api/{t}/jobs": {"get": {"responses": {"200": {"description": "jobs"}}}}}}')
    open_ended = ("connector", "check", str(path), "--api", str(description))
    assert f"{path}:19: jobs.rows: 'jobs' is not described." in headway("none.db", *open_ended).out
    [field, *_] = headway("none.db", *open_ended, "--json").data["compared"]["undescribed"]
    assert {"line": 19, "key": "jobs.rows", "problem": "'jobs' is not described."} == field
    rows = {"type": "array", "items": {"properties": {"status": {"enum": ["done", "lost"]}}}}
    answer = {"200": {"content": {"application/json": {"schema": {"properties": {"runs": rows}}}}}}
    description.write_text(json.dumps({"paths": {"/api/{t}/runs": {"get": {"responses": answer}}}}))
    text = "the description has these values too, which are UNKNOWN until named: lost."
    assert f"note: {path}:41: states: {text}" in " ".join(headway("none.db", *open_ended).out.split())
    [note] = headway("none.db", *open_ended, "--json").data["compared"]["notes"]
    assert {"line": 41, "key": "states", "problem": text} == note
    assert headway("none.db", "connector", "check", str(path), "--json").data["compared"] is None
    missing = headway("none.db", "connector", "check", str(path), "--api", str(tmp_path / "none.json"))
    assert (Exit.PROBLEM, True) == (missing.code, "none.json: cannot be read: No such file" in missing.err)


def test_a_relation_to_an_unknown_job_is_shown_and_the_mapping_is_understood(
    tmp_path: Path, url: str, fake: HomeGrown
) -> None:
    fake.jobs[1]["needs"] = ["elsewhere"]
    done = tried(tmp_path, url, "batch")
    assert Exit.OK == done.code
    assert "skipped  job mart: upstream 'elsewhere' " in done.out


class InventoryWithPoll(WatchOnly):
    """Its first page of runs has the inventory and a gap; the second has another gap, and `later`."""

    no_actions = "watch only"

    def __init__(self, later: Inventory | None) -> None:
        self.later = later

    def probe(self, timeout_seconds: float) -> Probe:
        return Probe(True)

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        return Inventory((), True, hash="asked")

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        gaps = (HistoryGap(None, None, f"page after {cursor!r}"),)
        if cursor:
            return Poll((), "2", gaps=gaps, inventory=self.later)
        return Poll((), "1", more=True, gaps=gaps, inventory=Inventory((), True, hash="first"))

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        raise NotSupported("no log")

    def close(self) -> None:
        pass


@pytest.mark.parametrize("later, shown", [(None, "first"), (Inventory((), True, hash="second"), "second")])
def test_a_trial_keeps_the_gaps_and_the_inventory_of_its_first_page(later: Inventory | None, shown: str) -> None:
    """The second page replaced both: a kind whose poll has the inventory may send it once."""
    trial = try_target(InventoryWithPoll(later), "night/host", 5)
    assert trial.poll is not None
    assert trial.inventory is not None
    assert ["page after ''", "page after '1'"] == [gap.reason for gap in trial.poll.gaps]
    assert (shown, "2") == (trial.inventory.hash, trial.poll.cursor)


class Posted(HomeGrown):
    """Takes the query of its lists in a body."""

    def handle(self, request: httpx.Request) -> httpx.Response:
        sent = json.loads(request.content) if request.content else {}
        key = {"X-Api-Key": request.url.params["key"]}
        return super().handle(httpx.Request("GET", request.url.copy_merge_params(sent), headers=key))


def test_a_trial_lists_what_each_request_sends_and_no_secret() -> None:
    lists = {name: {**EXAMPLE_SETTINGS[name], "method": "POST"} for name in ("jobs", "runs")}
    lists["jobs"]["paging"] = "none"
    lists["runs"]["body"], lists["runs"]["query"] = lists["runs"]["query"], {"tenant": "{option.tenant}"}
    document = {
        **lists, "kind": "posted", "base": "http", "title": "Posted", "ladder": "By its own words.",
        "grants": "# a token that reads",
        "sign_in": "query", "token_query": "key", "limit": 4, "states": EXAMPLE_SETTINGS["states"],
        "options": {"tenant": {"about": "Name of the tenant.", "default": "main"}},
        "lacks": dict.fromkeys(("log", "rerun", "start", "cancel", "hold"), "Posted has no call for it."),
    }  # fmt: skip
    profile = HttpProfile.model_validate(document, context={})
    options = profile.model_of_options()(url="https://posted.example", token=SecretRef(env="TOKEN"))
    transport = httpx.MockTransport(Posted().handle)
    trial = try_target(profile.open_target(options, "api", lambda _: "let-me-in", transport), "posted/api", 5)
    lines = [line for line in trial_lines(trial) if "request" in line]
    page = r'POST https://posted.example/api/runs\?tenant=main \{"since": "[-\w:]+", "limit": 4(, "after": "\d+")?\}'
    assert "  request  POST https://posted.example/api/jobs × 2" == lines[0]
    assert 2 <= len([line for line in lines if re.fullmatch(rf"  request  {page}", line)])
    assert "let-me-in" not in "".join(lines)


def test_a_request_is_listed_as_it_is_sent() -> None:
    trial = try_target(opened_gitlab(FakeGitLab()), "gitlab/acme", 5)
    assert any("/projects/acme%2Fetl/pipeline_schedules?" in request for request in trial.requests), trial.requests


def test_a_call_of_aws_is_listed_with_its_operation_and_names() -> None:
    page = b"<ListBucketResult><Name>acme-landing</Name><KeyCount>0</KeyCount></ListBucketResult>"

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "application/xml"}, stream=httpx.ByteStream(page))

    system = {"region": "eu-central-1", "buckets": ["acme-landing"], "files": {"a": {"path": "/in/a", "at": "04:00"}}}
    keys = {"access_key_id": {"env": "ID"}, "secret_access_key": {"env": "KEY"}}
    options = S3Options.model_validate({**system, **keys})
    trial = try_target(open_s3(options, "acme-landing", lambda _: "key", httpx.MockTransport(answer)), "s3/acme", 20)
    assert any(request.startswith("s3 ListObjectsV2 Bucket=acme-landing") for request in trial.requests), trial.requests


def test_tokens_are_left_out_of_a_listed_call_of_aws() -> None:
    page = httpx.ByteStream(b"<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>")
    answer = lambda _: httpx.Response(200, headers={"content-type": "application/xml"}, stream=page)  # noqa: E731
    keys = {"access_key_id": {"env": "ID"}, "secret_access_key": {"env": "KEY"}}
    options = AwsOptions.model_validate({"region": "eu-central-1", **keys})
    client = AwsClient("S3", options, lambda _: "key", httpx.MockTransport(answer))
    client.deadline = Deadline(20)
    tally = RequestTally(calls=Counter())
    with counting(tally):
        client.call("s3", "list_objects_v2", "KeyCount", Bucket="acme", ContinuationToken="secret-page")
    assert ["s3 ListObjectsV2 Bucket=acme"] == list(tally.calls or ())


def test_an_id_with_a_line_break_stays_on_its_line() -> None:
    jobs = (JobRecord("load\nrm -rf"),)
    runs = (RunRecord("a\r\nb", "1\n2", RunState.SUCCEEDED, "ok"),)
    trial = TrialResult("batch/api", inventory=Inventory(jobs, True), poll=Poll(runs, "{}"))
    lines = [*trial_lines(trial)]
    assert [] == [line for line in lines if not line.isprintable()]
    assert any(r"1\n2  a\r\nb" in line for line in lines)


def test_requests_beyond_those_that_are_shown_are_counted() -> None:
    requests = Counter({f"GET /{number}": 1 for number in range(SHOWN + 3)})
    lines = [*trial_lines(TrialResult("batch/api", requests=requests))]
    assert (SHOWN + 1, "  request  3 more") == (len(lines), lines[-1])


def test_a_kind_is_shown_with_the_call_of_its_mark() -> None:
    assert "  mark      yes: verbs.mark" in headway("", "connector", "list", "http").out
