"""Runs commands of Airflow's own CLI in one process: each alone takes 4 s to start. stdin: a JSON list of argv."""

# mypy: ignore-errors
from __future__ import annotations

import json
import sys

from airflow.cli.cli_parser import get_parser

for words in json.loads(sys.stdin.read()):
    arguments = get_parser().parse_args(words)
    arguments.func(arguments)
