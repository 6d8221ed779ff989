"""``python -m suite init``: write the files of a small study."""

from __future__ import annotations

import argparse
import re
import shlex
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Final

from suite.cli.arguments import OK
from suite.problems import COMMAND_LINE, InputError, Problem

ENDING: Final = ".template"


def execute(options: argparse.Namespace) -> int:
    """Write the study and say what to do next."""
    folder = Path(options.folder)
    written = write(folder)
    print(f"{folder.absolute()}: {', '.join(written)}")
    here = "" if folder.resolve() == Path.cwd() else f"cd {shlex.quote(str(folder))} && "
    print(f"next  {here}python -m suite run --profile smoke --seeds 0-1")
    return OK


def write(folder: Path) -> list[str]:
    """Write the files of a study named like its folder, and return their names.

    Raises
    ------
    InputError
        If a file is there already, or if the folder's name would not do as the name of an experiment.
    """
    name = folder.resolve().name
    templates = [file for file in files(__package__).joinpath("study").iterdir() if file.name.endswith(ENDING)]
    texts = {
        file.name.removesuffix(ENDING): Template(file.read_text(encoding="utf-8")).substitute(name=name)
        for file in sorted(templates, key=lambda file: file.name)
    }
    problems = [
        Problem(str(folder / one), "", "is there already; init overwrites nothing")
        for one in texts
        if (folder / one).exists()
    ]
    if not re.fullmatch(r"[A-Za-z][\w.-]*", name):
        message = f"{name!r} will not do as the name of a study: letters, digits, _, - and ., beginning with a letter"
        problems.append(Problem(COMMAND_LINE, str(folder), message))
    if problems:
        raise InputError(problems)
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8")
    return list(texts)
