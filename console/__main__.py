"""The `headway` command."""

from __future__ import annotations

from importlib.metadata import version


def main() -> int:
    """The exit code of the command."""
    print(f"headway {version('headway')}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
