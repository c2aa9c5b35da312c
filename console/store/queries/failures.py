"""Failures by signature, for clients."""

from __future__ import annotations

from console.domain.failure import FailureMemory, FailureSignature
from console.store.errors import NotFound
from console.store.failures import load_earlier, load_failure, load_failures
from console.store.queries.base import ContextQueries


class FailureQueries(ContextQueries):
    def list_failures(self) -> list[FailureMemory]:
        """The memory of each signature of the latest incidents, the newest incident first."""
        return load_failures(self.link)

    def failure(self, signature: str) -> FailureMemory:
        """The memory of the signature with this id. Raises NotFound."""
        if (memory := load_failure(self.link, signature.lower())) is None:
            raise NotFound(signature, lists="headway failure list")
        return memory

    def memory_before(self, incident_id: int) -> FailureMemory | None:
        """The memory of the incident's signature, of earlier incidents; None without a signature."""
        row = self.link.first("SELECT failure FROM incident WHERE id = ?", (incident_id,))
        signature = FailureSignature.from_json(row.failure) if row is not None else None
        return None if signature is None else load_earlier(self.link, signature, incident_id)
