"""Which calls are allowed, tried out; those that change something cannot be tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from connectors.aws.logs import Stream, chunk
from connectors.aws.rights import tried, untried
from connectors.aws.values import Reply
from connectors.contract import NotSupported, Probe, Right
from connectors.glue.client import GlueClient
from connectors.glue.log import GROUP

ACTS = (
    untried("start or rerun a job", "allow glue:StartJobRun on the jobs"),
    untried("stop a run", "allow glue:BatchStopJobRun on the jobs"),
)
NO_LOGS = Right(
    "logs:GetLogEvents", False, "endpoint_url is the address of Glue alone", "give logs_endpoint_url as well"
)


def probe(client: GlueClient, listed: Callable[[], list[Reply]]) -> Probe:
    """Each call that watching needs, tried on the first job and run that there are."""
    jobs: list[Reply] = []
    held = [tried("glue", "GetJobs", lambda: jobs.extend(listed()))]
    held.append(tried("glue", "GetTriggers", lambda: next(client.triggers(), None)))
    for name in [str(one["Name"]) for one in jobs if one.get("Name")][:1]:
        held += _of_job(client, name)
    held.append(tried("logs", "GetLogEvents", partial(_log, client)) if client.reads_logs else NO_LOGS)
    return Probe(True, "", (*held, *ACTS), (client.identity(),), client.clock)


def _of_job(client: GlueClient, name: str) -> Iterator[Right]:
    runs: list[Reply] = []
    yield tried("glue", "GetJobRuns", lambda: runs.extend(client.runs(name, 1)["JobRuns"]))
    yield tried("glue", "GetJob", partial(client.job, name), needed_for="act")
    for run_id in [str(one["Id"]) for one in runs if one.get("Id")][:1]:
        yield tried("glue", "GetJobRun", partial(client.run, name, run_id))


def _log(client: GlueClient) -> None:
    """A stream that is not there is answered with that, where it may be looked at."""
    try:
        chunk(client, [Stream(f"{GROUP}/output", "headway-probe")], None, 16, is_open=True)
    except NotSupported:
        return
