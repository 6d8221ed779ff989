"""``python -m suite completion``: a script that completes commands and options in a shell."""

from __future__ import annotations

import argparse

from suite.cli.arguments import OK, make_parser


def execute(options: argparse.Namespace) -> int:
    """Print the script of a shell, for the installed command ``suite``."""
    import shtab

    parser, _ = make_parser(prog="suite")
    print(shtab.complete(parser, options.shell))
    return OK
