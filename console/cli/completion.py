"""`headway completion bash`: what a shell runs so that the Tab key knows headway's commands, options and names."""

from __future__ import annotations

import argparse
import sys

from console.cli.exits import Exit

SHELLS = ("bash", "zsh", "fish")
WHERE = {
    "bash": 'eval "$(headway completion bash)"   in ~/.bashrc',
    "zsh": 'eval "$(headway completion zsh)"   in ~/.zshrc, after compinit',
    "fish": "headway completion fish | source   in ~/.config/fish/config.fish",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS)
    parser.epilog = " · ".join(" ".join(line.split()) for line in WHERE.values())


def run(arguments: argparse.Namespace) -> int:
    from argcomplete.shell_integration import shellcode

    print(shellcode(["headway"], shell=arguments.shell))
    if sys.stdout.isatty():
        print(f"# {WHERE[arguments.shell]}")
    return Exit.OK
