"""What a run wrote: its output and error streams in CloudWatch as one text, in the order of their times.

Source: AWS Glue User Guide, "Logging for AWS Glue jobs": below the run's log group, `output` and `error`, each with a
stream of the run's id.
"""

from __future__ import annotations

from connectors.aws.logs import Stream, chunk
from connectors.contract import LogChunk, NotSupported, RunRef, State
from connectors.glue import parse
from connectors.glue.client import GlueClient

GROUP = "/aws-glue/jobs"
PARTS = ("output", "error")


def read(client: GlueClient, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
    """The tail (`start` None), or what follows. Raises NotSupported where there is none."""
    job, run_id = parse.place(run)
    if not run_id:
        raise NotSupported(f"run {run.attempt_key} of {run.job} names no run of Glue")
    if not client.reads_logs:
        raise NotSupported("endpoint_url is the address of Glue alone: give logs_endpoint_url as well")
    found = client.run(job, run_id)
    group = str(found.get("LogGroupName") or GROUP).rstrip("/")
    is_open = parse.STATES.get(str(found.get("JobRunState")), State.UNKNOWN).is_open
    return chunk(client, [Stream(f"{group}/{part}", run_id) for part in PARTS], start, limit_bytes, is_open)
