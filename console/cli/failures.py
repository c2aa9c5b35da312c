"""Failures by signature: how often each was seen, and what repaired it."""

from __future__ import annotations

import argparse

from console.cli.clock_format import timestamp
from console.cli.commands import JSON, Handler, option
from console.cli.output import PLAIN, ValueColumn, print_page, print_result, table
from console.cli.reader import fresh_store_reader
from console.domain.failure import FailureMemory, PastFailure
from console.domain.ids import incident_name
from console.timing.formats import age_text


def run_failures(arguments: argparse.Namespace) -> int:
    with fresh_store_reader(arguments) as reads:
        if arguments.signature is not None:
            memory = reads.failures.failure(arguments.signature)
            return print_page(arguments, memory, _memory_page(memory))
        memories, now = reads.failures.list_failures(), reads.now()
    rows = table(
        memories,
        ValueColumn("failure", lambda memory: memory.id),
        ValueColumn("seen", lambda memory: str(memory.seen)),
        ValueColumn("last", lambda memory: age_text(memory.last_seen or now, now), drop=2),
        ValueColumn("error", lambda memory: memory.signature.text, 24),
        ValueColumn("repair", lambda memory: memory.repairs[0].count_text if memory.repairs else "–"),
        ValueColumn("success rate", lambda memory: memory.repairs[0].rate_text if memory.repairs else "–", drop=1),
    )
    return print_result(arguments, memories, rows if memories else ["no failure has a signature yet"])


def _memory_page(memory: FailureMemory) -> list[str]:
    return [
        f"failure {memory.id}: {memory.seen_text}, last {timestamp(memory.last_seen)}",
        f"  | {memory.signature.text}",
        "",
        "repairs",
        *([f"  {record.text}" for record in memory.repairs] or ["  (none)"]),
        "",
        "incidents",
        *(line for past in memory.incidents for line in _past_failure_lines(past)),
    ]


def _past_failure_lines(past: PastFailure) -> list[str]:
    line = f"  {timestamp(past.failed_since)}  {incident_name(past.incident_id)}  {past.job}: {past.outcome}"
    return [line, *([f"{'':<6}note: {past.note}"] if past.note else [])]


HANDLERS = {
    "failure": Handler(
        run_failures,
        option("signature", "show one failure with its incidents; default: list all", "SIGNATURE", nargs="?"),
        PLAIN,
        JSON,
    )
}
