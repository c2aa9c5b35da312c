"""`headway version`."""

from __future__ import annotations

import argparse
from importlib.metadata import version

from console.cli.common import print_json
from console.cli.exits import Exit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    """Prints it; also what `headway --version` does."""
    number = version("headway")
    if getattr(arguments, "json", False):
        print_json(arguments, {"version": number})
    else:
        print(f"headway {number}")
    return Exit.OK
