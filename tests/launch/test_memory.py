"""Peak memory, and the kernel's count of what it killed for memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from suite.work import memory

PEAKS = """\
from suite.work import memory
large = b"x" * (200 * 2**20)
print(memory.peak()["host"])
del large
memory.start()
print(memory.peak()["host"])
another = b"x" * (100 * 2**20)
del another
print(memory.peak()["host"])
"""


def test_the_peak_is_that_since_the_start_and_not_that_of_a_life() -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("needs Linux's proc(5)")
    # in a small process: the kernel takes pages from a large one while it looks
    done = subprocess.run([sys.executable, "-c", PEAKS], capture_output=True, text=True, check=True)
    before, after, again = map(float, done.stdout.split())
    assert after < before - 150
    assert after + 80 < again < after + 150


def test_without_proc_the_peak_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: object, **options: object) -> str:
        raise OSError("no such file")

    measured = memory.peak()["host"]
    monkeypatch.setattr(Path, "read_text", missing)
    monkeypatch.setattr(Path, "write_text", missing)
    memory.start()
    assert memory.peak()["host"] >= 0.9 * measured
    assert memory.oom_kills() == 0


@pytest.mark.parametrize(
    ("own", "counters", "expected"),
    [
        ("0::/slurm/job_7\n", {"slurm/job_7/memory.events": "oom 3\noom_kill 2\noom_group_kill 0\n"}, 2),
        (
            "5:cpu,cpuacct:/x\n4:memory:/slurm/job_7\n0::/\n",
            {"memory/slurm/job_7/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"},
            4,
        ),
        ("0::/slurm/job_7\n", {}, 0),
        ("0::/slurm/job_7\n", {"slurm/job_7/memory.events": "oom 3\n"}, 0),
        ("0::/\n", {"memory.events": "oom_kill 1\n"}, 1),
    ],
)
def test_kills_are_counted_in_the_control_group_of_either_version(
    monkeypatch: pytest.MonkeyPatch, own: str, counters: dict[str, str], expected: int
) -> None:
    files = {"/proc/self/cgroup": own, **{f"/sys/fs/cgroup/{name}": text for name, text in counters.items()}}

    def read(path: Path, *arguments: object, **options: object) -> str:
        try:
            return files[str(path)]
        except KeyError as error:
            raise FileNotFoundError(path) from error

    monkeypatch.setattr(Path, "read_text", read)
    assert memory.oom_kills() == expected
