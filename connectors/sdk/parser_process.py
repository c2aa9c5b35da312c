"""Parsing of outside text by a library that has no limit, in a process of its own that a deadline and limits of
processor time and memory end."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

PROCESSOR_SECONDS = 20
WALL_SECONDS = 120.0
"""The limit for a process that waits: many times PROCESSOR_SECONDS, as the machine may be busy."""
MEMORY_BYTES = 1024**3
OUTPUT_BYTES = 16 * 1024**2
"""The largest value, as JSON."""


class ParserEnded(ValueError):
    """The process did not return a value: which limit ended it, or that it crashed."""


def parse_apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """The value of a public function of a module, called with these arguments in another process. Arguments and value
    are JSON. Raises ParserEnded."""
    command = [sys.executable, "-P", "-m", __name__, f"{function.__module__}:{function.__name__}"]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            command,
            input=json.dumps(arguments).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=WALL_SECONDS,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    except subprocess.TimeoutExpired:
        raise ParserEnded(f"reading it took longer than {WALL_SECONDS:g} s") from None
    except OSError as error:
        raise ParserEnded(f"no process to read it: {error.strerror}") from None
    if done.returncode == 0:
        return json.loads(done.stdout)
    if done.returncode < 0:
        raise ParserEnded(f"reading it took longer than {PROCESSOR_SECONDS} s of processor time, or was killed")
    limits = f"needs more than {MEMORY_BYTES // 1024**2} MiB or gives more than {OUTPUT_BYTES // 1024**2} MiB"
    raise ParserEnded(f"reading it {limits}, or failed")


def main() -> None:
    """Reads the arguments from stdin and writes the value to stdout, within the limits."""
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_SECONDS, PROCESSOR_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    module, _, name = sys.argv[1].partition(":")
    function = getattr(import_module(module), name)
    value = json.dumps(function(*json.load(sys.stdin)))
    if len(value) > OUTPUT_BYTES:
        sys.exit(1)
    sys.stdout.write(value)


if __name__ == "__main__":
    main()
