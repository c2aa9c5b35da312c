"""`python -m tests.golden [--update]`: compare the golden files with what Headway prints now, or write them."""

from __future__ import annotations

import argparse
import sys

from tests.golden.files import differences, dump, stored, write


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("--update", action="store_true", help="write the golden files")
    arguments = parser.parse_args()
    texts = dump()
    results = list(differences(stored(), texts))
    print("\n\n".join(results) if results else f"{len(texts)} golden files are up to date")
    if arguments.update:
        write(texts)
        return 0
    return 1 if results else 0


if __name__ == "__main__":
    sys.exit(main())
