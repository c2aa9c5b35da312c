"""Expected files as a connector: a file is a job, a delivery a run, another delivery of it another attempt."""

from __future__ import annotations

from functools import partial

from connectors.files.client import LocalFolders, SftpFolders, permission
from connectors.files.options import FilesOptions
from connectors.sdk.contract import ConnectorKind, SecretResolver
from connectors.sdk.file_arrivals import LADDER, MISSING, ArrivalConnector, FolderReader
from connectors.sdk.states import ProofLevel
from connectors.sdk.transport.hosts import address, endpoint, open_shell, targets


def open_files(options: FilesOptions, target: str, secrets: SecretResolver) -> ArrivalConnector:
    reader: FolderReader = (
        LocalFolders(target) if options.host(target).local else SftpFolders(partial(address, options, target, secrets))
    )
    return ArrivalConnector(reader, target, options.files, options.zone, permission)


CONNECTOR = ConnectorKind(
    kind="files",
    title="Files that arrive",
    options=FilesOptions,
    targets=targets,
    open=open_files,
    capabilities=frozenset(),
    missing=MISSING,
    proofs=frozenset({ProofLevel.EXIT}),
    may_start_early=True,
    dates_runs=True,
    schedules="expression",
    shell=open_shell,
    endpoint=endpoint,
    ladder=LADDER,
)
