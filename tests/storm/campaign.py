"""One campaign under fire: its folder, its launcher, its processes, and what is left of it afterwards."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from suite.records.files import is_held, read_json
from tests.cluster import command, environment, events, metrics, toy_registry
from tests.nursery import NAME as NURSERY
from tests.storm.errors import unexplained
from tests.storm.tracking import Tracking
from tests.waiting import PATIENCE_S, until

SELECTION = ("--profile", "mini", "--losses", "good", "--seeds", "0-1")
#: What a launcher leaves beside a file until it has replaced it: :func:`suite.records.files.atomic_write`.
TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}")
#: Commands that a patient user would type, one after another, before giving up.
COMMANDS = 12
#: Half a minute more than a clean ending takes, processes that wait for a partner killed.
ENDING_S = 40.0

#: What Python needs to live with libfaketime.
CLOCK = Path(__file__).resolve().parent / "clock"

Figures = dict[str, dict[str, float]]


@dataclass
class Aftermath:
    """What was wrong once a campaign had ended; all empty if it survived."""

    problems: list[str] = field(default_factory=list)

    def expect(self, holds: bool, what: str) -> None:
        """Note what does not hold."""
        if not holds:
            self.problems.append(what)


class Campaign:
    """Four toy runs in a folder, started by the same command until it says that all are done.

    Parameters
    ----------
    folder : Path
        Made here.
    options : sequence of str
        Of ``run``, on top of the selection: the launcher's.
    tracking : Tracking
        Where it logs to.
    """

    def __init__(self, folder: Path, options: Sequence[str], tracking: Tracking) -> None:
        folder.mkdir()
        self.folder = folder
        self.results = folder / "results"
        self.tracking = tracking
        self.options = [*SELECTION, *options, *tracking.options(folder)]
        self.launcher: subprocess.Popen[bytes] | None = None
        self.offset: str | None = None
        self.struck: list[str] = []
        self.again: Counter[str] = Counter()
        self.said = folder / "said.txt"
        self.kept = folder / "kept"
        self.kept.mkdir()
        toy_registry(folder)

    def start(self) -> None:
        """Start the launcher, if none runs; its clock is wrong if `offset` says so."""
        if self.is_attached():
            return
        full, variables = command(self.folder, "run", *self.options), environment()
        if self.offset is not None:
            # a fork of a process that runs already would keep its clock
            full, variables = ["faketime", "-f", self.offset, *full], environment(is_forked=False)
            variables["FAKETIME_DONT_FAKE_MONOTONIC"] = "1"
            variables["PYTHONPATH"] = os.pathsep.join([str(CLOCK), variables["PYTHONPATH"]])
        with self.said.open("ab") as said:
            self.launcher = subprocess.Popen(full, cwd=self.folder, env=variables, stdout=said, stderr=said)

    def is_attached(self) -> bool:
        """Whether the launcher runs."""
        return self.launcher is not None and self.launcher.poll() is None

    def is_complete(self) -> bool:
        """Whether the launcher has said that all runs are done."""
        return self.launcher is not None and self.launcher.poll() == 0

    def processes(self) -> list[psutil.Process]:
        """Return the processes that work in the folder or name it, the launcher among them."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE and self._owns(process):
                    found.append(process)
        return found

    def _owns(self, process: psutil.Process) -> bool:
        here = str(self.folder)
        return (process.cwd() + "/").startswith(here + "/") or any(here + "/" in word for word in process.cmdline())

    def workers(self) -> list[psutil.Process]:
        """Return all of its processes but the launcher, and those that only fork others."""
        ours, found = self.launcher.pid if self.launcher is not None else None, []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                if process.pid != ours and process.name() != NURSERY:
                    found.append(process)
        return found

    def keep_what_is_printed(self) -> None:
        """Keep a link to what workers print: a launch whose runs are done is forgotten, and that with it."""
        for file in [*self.results.glob("launches/*/jobs/*.out"), *self.results.glob("launches/*/*.log")]:
            with contextlib.suppress(OSError):  # it is there already, gone meanwhile, or the disk is full
                os.link(file, self.kept / f"{file.relative_to(self.results).parts[1]}-{file.name}")

    def lose_the_node(self) -> None:
        """Kill all of its processes at once, as a power cut does."""
        while victims := self.processes():
            for victim in victims:
                with contextlib.suppress(psutil.Error):
                    victim.kill()
            if self.launcher is not None:
                self.launcher.wait(ENDING_S)
            psutil.wait_procs(victims, timeout=ENDING_S)

    def finish(self, tend: Callable[[Campaign], object]) -> bool:
        """Type the same command until all runs are done; False if that does not come.

        Parameters
        ----------
        tend : callable (Campaign)
            What goes on beside the launcher; called every second.
        """
        self.offset = None
        for _ in range(COMMANDS):
            self.start()
            assert self.launcher is not None
            status = self._ended(self.launcher, tend)
            if status is None:
                self.again["did not end"] += 1
                self.launcher.send_signal(signal.SIGABRT)
                return False
            if status == 0:
                return True
            self.again[f"status {status} ({', '.join(self._failures()) or 'no run failed'})"] += 1
            self.launcher = None
            self.tracking.do_as_told(self.folder)
        return False

    def _ended(self, launcher: subprocess.Popen[bytes], tend: Callable[[Campaign], object]) -> int | None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            tend(self)
            self.keep_what_is_printed()
            with contextlib.suppress(subprocess.TimeoutExpired):
                return launcher.wait(1.0)
        return None

    def _failures(self) -> list[str]:
        found = [read_json(path) for path in self.results.glob("runs/*/failure.json")]
        return sorted({f"{failure['class']}: {failure['message'][:60]}" for failure in found if failure})

    def aftermath(self, expected: Figures) -> Aftermath:
        """Look at what is left, after ``sync`` and ``clean``."""
        found = Aftermath()
        with contextlib.suppress(AssertionError):
            until(lambda: not self.processes(), "no process is left", ENDING_S)
        left = [f"{p.pid} {' '.join(p.cmdline())[:200]}" for p in self.processes()]
        found.expect(not left, f"process left: {left}")
        self.check_runs(found, expected)
        self.check_errors(found)
        for words in (["sync", *self.tracking.options(self.folder)], ["clean", "--yes", "--superseded"]):
            if words[0] == "clean":
                self._age()
            done = self._type(words)
            # the store may be what was struck last, when all runs were done
            if done.returncode and self.tracking.do_as_told(self.folder):
                done = self._type(words)
            found.expect(done.returncode == 0, f"{words[0]} failed: {done.stderr.strip()[-300:]}")
        logged = self.tracking.statuses(self.folder)
        found.expect(logged == {key: ["FINISHED"] for key in expected}, f"in MLflow: {logged}")
        litter = [str(p.relative_to(self.folder)) for p in self.results.rglob("*") if TEMPORARY.fullmatch(p.name)]
        found.expect(not litter, f"temporary file left: {litter}")
        held = [str(p.relative_to(self.folder)) for p in self.results.rglob("*lock") if p.is_file() and is_held(p)]
        found.expect(not held, f"lock left: {held}")
        return found

    def _type(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, keeping what it says of errors."""
        done = subprocess.run(
            command(self.folder, *words), cwd=self.folder, env=environment(), capture_output=True, text=True
        )
        with self.said.open("a") as file:
            file.write(done.stderr)
        return done

    def check_runs(self, found: Aftermath, expected: Figures) -> None:
        """Look at the records alone: each key done once, with the bits that it should have."""
        have = metrics(self.folder)
        found.expect(not expected.keys() - have.keys(), f"lost: {sorted(expected.keys() - have.keys())}")
        for key in expected.keys() & have.keys():
            found.expect(have[key] == expected[key], f"other bits: {key}: {have[key]} instead of {expected[key]}")
        for key, happened in events(self.folder).items():
            # a worker that was killed between its result and this event leaves none; a torn result is made again
            times = [event["event"] for event in happened].count("finished")
            allowed = 1 + sum("result.json" in fault and key[:12] in fault for fault in self.struck)
            found.expect(times <= allowed, f"done {times} times: {key}")
        checkpoints = list((self.results / "runs").glob("*/checkpoint*.pt"))
        found.expect(not checkpoints, f"checkpoint left: {checkpoints}")

    def check_errors(self, found: Aftermath) -> None:
        """Look at what was printed and recorded: no error but those that a fault has caused."""
        logs = [*self.kept.iterdir(), *self.results.glob("*/*/log*.txt"), *([self.said] if self.said.exists() else [])]
        errors = unexplained(self.results, logs, {fault.partition(":")[0] for fault in self.struck})
        found.expect(not errors, f"error that no fault explains: {errors}")

    def _age(self) -> None:
        """Date all files an hour back: ``clean`` leaves alone what has just changed."""
        then = time.time() - 3600
        for path in (self.results, *self.results.rglob("*")):
            with contextlib.suppress(FileNotFoundError):
                os.utime(path, (then, then), follow_symlinks=False)

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder)
