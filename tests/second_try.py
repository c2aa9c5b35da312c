"""The second try of `make test`: the few tests that failed among all others run once more, one after the other.

The suite runs on real schedulers beside whatever else the machine does. A test that passes only here is a defect all
the same, so its name is printed last and belongs on the list of defects; nothing is retried in silence. More than
`MAX_TESTS` failures are no accident and are not tried again. See docs/decisions/2026-11-22-listed-second-try.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

MAX_TESTS = 12
FAILED_TESTS = Path(".pytest_cache/v/cache/lastfailed")
"""What pytest writes at the end of a session: the ids of the tests that failed, of which it forgets those that pass."""


def failed_tests() -> list[str]:
    """The ids of the tests that failed last, sorted; none where pytest wrote no list."""
    return sorted(json.loads(FAILED_TESTS.read_text())) if FAILED_TESTS.exists() else []


def main() -> int:
    """The exit code of `make test` after a first run with failures: 0 where all of them pass alone."""
    tests = failed_tests()
    if not 0 < len(tests) <= MAX_TESTS:
        return 1
    print(f"second try, one after the other: {len(tests)} failed of the whole suite", flush=True)
    code = subprocess.run([sys.executable, "-m", "pytest", "-q", "-n", "0", *tests], check=False).returncode
    if code == 0:
        print("NEEDED A SECOND TRY (each is a defect; list it):", *tests, sep="\n  ")
    return code


if __name__ == "__main__":
    sys.exit(main())
