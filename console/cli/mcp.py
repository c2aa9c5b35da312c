"""The MCP server of a store, on stdin and stdout, as the user who starts it."""

from __future__ import annotations

import argparse
import sys

from console.cli.commands import Handler
from console.cli.exits import CommandError, Exit
from console.cli.output import print_message
from console.cli.reader import store_reader, store_url_of

NOT_INSTALLED = 'the MCP server is not installed. Fix: pip install "headway[mcp]"'


def run_mcp(arguments: argparse.Namespace) -> int:
    from importlib.metadata import version

    with store_reader(arguments):  # an unusable store is reported before the client connects
        pass
    from connectors.sdk.secrets import SecretStore

    try:
        from console.engine.mcp_server import serve_stdio
        from console.engine.supervisor.log_setup import set_up_logs
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "mcp":
            raise CommandError(Exit.USAGE, NOT_INSTALLED) from None
        raise
    if sys.stdin.isatty():
        print_message("waiting for an MCP client on stdin; docs/mcp.md shows how to register one. Ctrl-C stops")
    set_up_logs(SecretStore())
    serve_stdio(store_url_of(arguments), version("headway"))
    return Exit.OK


HANDLERS = {
    "mcp": Handler(
        run_mcp,
        epilog="Tools only read. propose_plan stores a plan, which sends nothing until a person resumes it.",
    )
}
