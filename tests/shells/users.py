"""Commands as other users of this machine, of whom a test that runs as root can be any."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster import command, environment
from tests.conftest import ROOT

#: Numbers that no passwd of a distribution has.
ANNE, BERT, GROUP = 54_321, 54_322, 54_300
#: May read everything, as where checkout and interpreter lie in a folder of root's; writing needs permission as ever.
READER = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]


@functools.cache
def obstacle() -> str | None:
    """Return why no command can be another user's here; None if it can."""
    if os.geteuid() != 0:
        return "to be another user, the tests must run as root"
    if shutil.which("setpriv") is None:
        return "needs setpriv (Debian: apt-get install util-linux)"
    done = run([sys.executable, "-c", "import suite.cli.main"], ROOT, {}, ANNE)
    return f"another user cannot import the suite here: {done.stderr.strip()[-200:]}" if done.returncode else None


def as_user(command: Sequence[str], user: int) -> list[str]:
    """Return the command line by which root has a user of the group give a command."""
    return ["setpriv", f"--reuid={user}", f"--regid={GROUP}", "--clear-groups", *READER, *command]


def run(
    command: Sequence[str], folder: Path, variables: Mapping[str, str], user: int | None = None, umask: int = -1
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in a folder, with these variables alone, and as some user."""
    return subprocess.run(
        command if user is None else as_user(command, user), cwd=folder, env=dict(variables), umask=umask,
        capture_output=True, encoding="utf-8", errors="surrogateescape", timeout=600,
    )  # fmt: skip


#: Gives commands one after another, forked from a process that has imported what takes seconds: :mod:`tests.nursery`.
SHELL = """\
import json, subprocess, sys
from tests import nursery
nursery.install()
for line in sys.stdin:
    done = subprocess.run(json.loads(line), capture_output=True, text=True)
    print(json.dumps([done.returncode, done.stdout, done.stderr]), flush=True)
"""


class Login:
    """A user who has logged in and types commands in a folder.

    Parameters
    ----------
    user : int
    folder : Path
    umask : int
        Of all that this user starts.
    """

    def __init__(self, user: int, folder: Path, umask: int) -> None:
        self._folder = folder
        self._shell = subprocess.Popen(
            as_user([sys.executable, "-c", SHELL], user), cwd=folder, umask=umask, text=True,
            env={**environment(), "HOME": str(folder)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def suite(self, *words: str) -> str:
        """Give a command of the suite on the toy registry, which has to succeed; return what it prints."""
        return self.type(command(self._folder, *words))

    def type(self, words: Sequence[str]) -> str:
        """Give any command, which has to succeed; return what it prints."""
        assert self._shell.stdin is not None and self._shell.stdout is not None
        self._shell.stdin.write(json.dumps(list(words)) + "\n")
        self._shell.stdin.flush()
        status, said, errors = json.loads(self._shell.stdout.readline())
        assert status == 0 and "Traceback" not in errors, f"{words}: {said}{errors}"
        return str(said)

    def log_out(self) -> None:
        """End the shell."""
        self._shell.communicate()
