"""The writer of the status page: `index.html` and `status.json`, written when what they say changes, and every
REWRITE_SECONDS, so that a reader sees that they are maintained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

import structlog

from connectors.sdk.errors import ConnectorError
from connectors.sdk.secrets import SecretStore
from connectors.sdk.transport.call_limits import Deadline
from console.config.sections import StatusPageBucket, StatusPageSettings
from console.engine.api.status_page import REWRITE_SECONDS, StatusPageService, page_files, page_service
from console.store.queries import open_queries
from console.text.html_page import replace_file
from console.text.redact import sanitize
from console.timing.clock import Clock
from console.timing.formats import dated_time
from console.timing.maintenance import matches_any

if TYPE_CHECKING:
    from connectors.sdk.aws.client import AwsClient

log = structlog.get_logger("headway.status_page")

UPLOAD_SECONDS = 20.0


class StatusPageWriter:
    """Writes the files where the settings say. `trouble`: why the last attempt failed, empty if it did not."""

    def __init__(
        self, url: str, clock: Clock, settings: StatusPageSettings, secrets: SecretStore, estate: str, zone: str
    ) -> None:
        """`url`: of the store. `zone`: of the time of the page."""
        self._url, self._clock, self._settings, self._secrets = url, clock, settings, secrets
        self._estate, self._zone = estate, zone
        self._written: Sequence[StatusPageService] = ()
        self._due: datetime | None = None
        self.trouble = ""

    def step(self, fence: int) -> None:
        """Writes what changed, and all of it every REWRITE_SECONDS. Raises StoreError."""
        now = self._clock.now()
        with open_queries(self._url) as queries:
            views = [
                view for view in queries.services.list_services() if matches_any(self._settings.services, view.name)
            ]
            shown = [page_service(view, None, now) for view in views]
            if shown == self._written and self._due is not None and now < self._due:
                return
            attainments = {view.service: view for view in queries.service_days.service_attainment()}
        made = page_files(self._estate, dated_time(now, self._zone), views, attainments, now)
        troubles = [
            f"status page: {sanitize(text, self._secrets.mask, on_one_line=True)}"
            for text in self._written_to(made)
            if text
        ]
        if (trouble := "; ".join(troubles)) != self.trouble and trouble:
            log.warning("the status page is not written", error=trouble)
        self.trouble, self._written = trouble, shown
        self._due = now if trouble else now + timedelta(seconds=REWRITE_SECONDS)

    def _written_to(self, made: Mapping[str, str]) -> Iterable[str]:
        """Writes the files to each place; why one failed, else empty."""
        folder, bucket = self._settings.folder, self._settings.s3
        if folder is not None:
            try:
                for name, text in made.items():
                    replace_file(folder / name, text)
            except OSError as error:
                yield _folder_problem(folder, error)
        if bucket is not None:
            yield self._uploaded(bucket, made)

    def _uploaded(self, bucket: StatusPageBucket, made: Mapping[str, str]) -> str:
        try:
            from connectors.sdk.aws.client import AwsClient  # noqa: PLC0415 - an extra
        except ImportError:
            return "boto3 is not installed. Fix: install headway[aws]"
        client = AwsClient(f"S3 bucket {bucket.bucket},", bucket, self._secrets)
        try:
            for name, text in made.items():
                _upload(client, bucket, name, text)
        except ConnectorError as error:
            return str(error)
        finally:
            client.close()
        return ""


def folder_fault(folder: Path) -> str:
    """Why no file can be written to the folder, by writing one beside the page; empty if it can."""
    try:
        with TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return _folder_problem(folder, error)


def _folder_problem(folder: Path, error: OSError) -> str:
    return f"{error.strerror} ({folder}). Fix: an existing folder that the engine's user may write"


def _upload(client: AwsClient, bucket: StatusPageBucket, name: str, text: str) -> None:
    """Raises ConnectorError."""
    client.deadline = Deadline(UPLOAD_SECONDS)
    kind = "application/json" if name.endswith(".json") else "text/html; charset=utf-8"
    body, key = text.encode(), f"{bucket.prefix}{name}"
    client.call(
        "s3",
        "put_object",
        "ETag",
        Bucket=bucket.bucket,
        Key=key,
        Body=body,
        ContentType=kind,
        CacheControl="max-age=30",
    )
