"""Folders with code, and what a snapshot has of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from suite.provenance.snapshot import Snapshot


def write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write files by their paths below a folder."""
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)


def package(folder: Path) -> Path:
    """Write a package with a module and a data file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "__init__.py").touch()
    write(folder, {"losses.py": "VALUE = 1\n", "data/table": "1,2\n"})
    return folder


def copied(taken: Snapshot, top: str) -> dict[str, bytes]:
    """The files of a snapshot whose paths begin with `top`."""
    files = (path for path in taken.code.rglob("*") if path.is_file())
    return {name: p.read_bytes() for p in files if (name := str(p.relative_to(taken.code))).startswith(top)}


def described(taken: Snapshot) -> dict[str, object]:
    content: dict[str, object] = json.loads((taken.folder / "snapshot.json").read_text())
    return content


def python(code: str, path: Path, cwd: Path) -> str:
    """What an interpreter prints that has `path` first."""
    environment = {**os.environ, "PYTHONPATH": str(path), "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def repository(folder: Path) -> str:
    """Commit everything in a folder; returns the commit."""
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "all")
    return git(folder, "rev-parse", "HEAD")
