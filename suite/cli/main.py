"""The command line of ``python -m suite``: parses, and calls the command's own module."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

from suite.cli.arguments import BAD_INPUT, FAILED, INTERRUPTED, OK, make_parser
from suite.problems import COMMAND_LINE, DataError, InputError, Problem, choices
from suite.process import escape_what_cannot_be_shown, have_a_home, have_streams, name_files_in_utf_8
from suite.records.permissions import follow_sharing, permission_advice

#: The module of each command, imported when it is called: its ``execute`` takes the options and returns the status.
COMMANDS: Final = {
    "run": "suite.cli.runs.run",
    "worker": "suite.cli.runs.worker",
    "plan": "suite.cli.runs.plan",
    "tune": "suite.cli.runs.tune",
    "status": "suite.cli.runs.status",
    "cancel": "suite.cli.runs.cancel",
    "logs": "suite.cli.runs.logs",
    "why": "suite.cli.runs.why",
    "sync": "suite.cli.runs.sync",
    "ui": "suite.cli.runs.ui",
    "verify": "suite.cli.runs.verify",
    "clean": "suite.cli.runs.clean",
    "forget": "suite.cli.runs.forget",
    "init": "suite.cli.setup.init",
    "explain": "suite.cli.setup.explain",
    "completion": "suite.cli.setup.completion",
    "list": "suite.cli.setup.list",
    "check-loss": "suite.cli.setup.check_loss",
    "schema": "suite.cli.setup.schema",
    "data": "suite.cli.setup.data",
    "doctor": "suite.cli.setup.doctor",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    try:
        have_streams()
        if arguments is None:
            name_files_in_utf_8()
        escape_what_cannot_be_shown()
        have_a_home()
        if "" not in sys.path and os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())  # the installed script would not find a user's own losses
        options = _parsed(arguments)
        if hasattr(options, "out"):
            follow_sharing(options.out)
        status: int = importlib.import_module(COMMANDS[options.command]).execute(options)
        return status
    except InputError as error:
        print(error.report(), file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        advice = f". {permission_advice(error)}" if isinstance(error, PermissionError) else ""
        print(f"error: {error.strerror or error}{where}; nothing that was computed is lost{advice}", file=sys.stderr)
        return FAILED
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser, commands = make_parser()
    given = list(sys.argv[1:] if arguments is None else arguments)
    options, unknown = parser.parse_known_args(given)
    options.given = given
    command = commands[options.command]
    problems = []
    for text in unknown:
        if text.startswith("-"):
            hint = choices(text.partition("=")[0], command.options())
            problems.append(Problem(COMMAND_LINE, text, f"no such option; {hint}"))
        elif hasattr(options, "datasets"):  # argparse takes the names that stand together, with no option between
            options.datasets = [*options.datasets, text]
        elif hasattr(options, "keys"):
            options.keys = [*options.keys, text]
        elif not hasattr(options, "overrides"):
            problems.append(Problem(COMMAND_LINE, text, "is one argument too many"))
        else:
            options.overrides.append(text)
    if problems:
        raise InputError(problems)
    return options
