"""Files are UTF-8 whatever the locale, and what is printed or recorded never fails on a character."""

import ast
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.cli.main import main as analysis
from suite.cli.main import main as suite
from suite.process import escape_what_cannot_be_shown
from tests.conftest import ROOT, Project

#: Modules whose `open` is not for text files.
OTHER = ("os", "tarfile", "zipfile", "Image", "webbrowser", "urllib", "opener", "archive", "entry")


def without_encoding(tree: ast.AST) -> Iterator[int]:
    """Yield the lines of calls that read or write text in the encoding of the locale."""
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or any(keyword.arg == "encoding" for keyword in call.keywords):
            continue
        function = call.func
        name = getattr(function, "attr", getattr(function, "id", ""))
        owner = getattr(getattr(function, "value", None), "id", "")
        positional = call.args[1:2] if isinstance(function, ast.Name) else call.args[:1]
        mode = [*positional, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
        is_text = not mode or (isinstance(mode[0], ast.Constant) and "b" not in str(mode[0].value))
        opens = name == "open" and owner not in OTHER and is_text
        decodes = any(keyword.arg == "text" and getattr(keyword.value, "value", 0) for keyword in call.keywords)
        if opens or decodes or name in ("read_text", "write_text"):
            yield call.lineno


@pytest.mark.parametrize("folder", ["suite", "analysis"])
def test_every_text_file_is_opened_as_utf_8(folder: str) -> None:
    found = [
        f"{file.relative_to(ROOT)}:{line}"
        for file in sorted((ROOT / folder).rglob("*.py"))
        for line in without_encoding(ast.parse(file.read_bytes()))
    ]
    assert found == []


def test_the_check_finds_what_it_is_for() -> None:
    wrong = "p.read_text()\nopen(p)\nopen(p, 'w')\np.open('a', buffering=1)\nsubprocess.run(c, text=True)\n"
    good = "p.read_bytes()\nopen(p, 'rb')\np.open(mode='wb')\nos.open(p, 0)\np.write_text(t, encoding='utf-8')\n"
    assert list(without_encoding(ast.parse(wrong))) == [1, 2, 3, 4, 5]
    assert list(without_encoding(ast.parse(good))) == []


def test_output_escapes_what_the_terminal_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.TextIOWrapper(io.BytesIO(), encoding="iso-8859-1", errors="strict")
    monkeypatch.setattr(sys, "stdout", shown)
    escape_what_cannot_be_shown()
    print("größe ✓", os.fsdecode(b"r\xe9sum\xe9.csv"))
    shown.flush()
    assert shown.buffer.getvalue() == rb"gr" + "öß".encode("iso-8859-1") + rb"e \u2713 r\udce9sum\udce9.csv" + b"\n"


def test_a_registry_in_utf_8_under_a_locale_of_ascii(project: Project) -> None:
    project.edit("experiment: toy", "experiment: größe")
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "PYTHONCOERCECLOCALE": "0"}
    ended = project.process("plan", "--profile", "smoke", **ascii_only)
    assert ended.returncode == 0, ended.stderr


def test_a_message_with_an_undecodable_name_and_commands_to_the_terminal_is_recorded(project: Project) -> None:
    """Before, the worker died of its own report three times, and the message was nowhere."""
    project.write(
        "import os\nfrom tests.toys import Nothing\n"
        "class Reads(Nothing):\n"
        "    def task(self, context):\n"
        "        name = os.fsdecode(b'r\\xe9sum\\xe9.csv')\n"
        "        print(name, '\\x1b[2J')\n"
        "        raise FileNotFoundError(f'no {name} \\u2713\\t\\x1b[31m\\x9b')\n",
        "mine.py",
    )
    project.edit("    _target_: tests.toys.Nothing", "    _target_: mine.Reads")
    select = ["--benchmarks", "nothing", "--losses", "cosine", "--seeds", "0", "--profile", "smoke"]
    status, out, errors = project.suite("run", "--launcher", "debug", *select)
    assert status == 1, out + errors
    (file,) = (project.folder / "results" / "runs").glob("*/failure.json")
    failure = json.loads(file.read_bytes())
    assert failure["class"] == "user_code" and failure["attempt"] == 1
    assert failure["message"] == "FileNotFoundError: no r\\udce9sum\\udce9.csv ✓\t\\x1b[31m\\x9b"
    log = (file.parent / "log.txt").read_text(encoding="utf-8")
    assert r"r\udce9sum\udce9.csv" in log and "Traceback" in log
    shown = project.suite("logs", file.parent.name)[1]
    assert r"r\udce9sum\udce9.csv \x1b[2J" in shown
    assert "\x1b" not in out + shown
    assert project.suite("why", file.parent.name)[0] == 0


@pytest.fixture
def homeless(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A uid without an entry in passwd, and HOME unset: as in a container that was started with another user."""
    import pwd

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("SUITE_DATA_DIR", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    return project


def test_the_environment_has_no_home(homeless: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in (["list"], ["plan"], ["sync"]):
        status, out, errors = homeless.suite(*command)
        assert status == 2 and out == ""
        assert "environment: SUITE_DATA_DIR: name a folder for data sets" in errors and "Traceback" not in errors
    monkeypatch.setenv("SUITE_DATA_DIR", str(homeless.folder / "data"))
    for command in (["list"], ["plan"], ["sync"]):
        assert homeless.suite(*command)[0] == 0, command


def test_what_needs_mlflow_says_that_it_needs_a_home(homeless: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def become_mlflow(*_: object) -> None:
        raise AssertionError("it cannot be imported")

    monkeypatch.setattr(os, "execve", become_mlflow)
    homeless.write("not looked at", "results/mlflow.db")
    for main, command in ((suite, "ui"), (analysis, "verdict")):
        assert main([command]) == 2
        errors = homeless.capsys.readouterr().err
        assert "environment: SUITE_DATA_DIR: name a folder for data sets with it: MLflow needs a home" in errors


def test_the_logs_of_other_files_are_shown_whatever_they_hold(project: Project) -> None:
    (project.folder / "results" / "runs" / ("a" * 64)).mkdir(parents=True)
    log = Path("results", "runs", "a" * 64, "log.txt")
    log.write_bytes(b"r\xe9sum\xe9 \xff\n")
    status, out, _ = project.suite("logs", "aaaa")
    assert status == 0 and out.startswith("r")
