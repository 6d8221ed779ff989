"""Mistakes in a launcher file: all of them at once, each with its line, the choices and what was meant."""

import pytest

from tests.conftest import Project
from tests.registry.test_malformed import F, rejected

LAUNCHERS = [
    ("workers", "kind: local\nworkers: 0\n", [("launchers/mine.yaml:2: launcher.workers", "must be >= 1 or 'auto'")]),
    ("key", "kind: local\nworker: 2\n", [("launchers/mine.yaml:2: launcher.worker:", "did you mean 'workers'?")]),
    (
        "kind",
        "kind: sulrm\n",
        [
            (
                "launchers/mine.yaml:1: launcher.kind",
                "'sulrm'",
                "expected 'debug', 'generic', 'local', 'pool' or 'slurm'",
                "did you mean 'slurm'?",
            )
        ],
    ),
    ("no-kind", "workers: 1\n", [("launchers/mine.yaml:1: launcher.kind", "is missing")]),
    ("yaml", "kind: local\nworkers: [\n", [("launchers/mine.yaml:3", "not valid YAML")]),
    (
        "slurm",
        "kind: slurm\ntime: 14400\nmemory: 16\nsignal: HUP\ngpu: 2\ntarget: soon\ncpus: 0\n",
        [
            ("launchers/mine.yaml:2: launcher.time", "14400", "90m, 4h or 1d 12h"),
            ("launchers/mine.yaml:3: launcher.memory", "16 will not do", "16G or 500M"),
            ("launchers/mine.yaml:4: launcher.signal", "'HUP'", "'USR1', 'USR2' or 'TERM'"),
            ("launchers/mine.yaml:5: launcher.gpu:", "did you mean 'gpus'?"),
            ("launchers/mine.yaml:6: launcher.target", "'soon'", "90m, 4h or 1d 12h"),
            ("launchers/mine.yaml:7: launcher.cpus", "must be >= 1"),
        ],
    ),
    (
        "benchmarks",
        "kind: slurm\nbenchmarks:\n  blobz: {gpus: 1}\n  blobs:\n    memory: 16\n    poll_seconds: 3\n    gpu: 2\n"
        "    cpus: 0\n    time: 60s\n",
        [
            ("launchers/mine.yaml:3: launcher.benchmarks.blobz:", "no benchmark 'blobz'", "did you mean 'blobs'?"),
            ("launchers/mine.yaml:5: launcher.benchmarks.blobs.memory", "16 will not do", "16G or 500M"),
            ("launchers/mine.yaml:6: launcher.benchmarks.blobs.poll_seconds:", "unknown key", "partition, account"),
            ("launchers/mine.yaml:7: launcher.benchmarks.blobs.gpu:", "did you mean 'gpus'?"),
            ("launchers/mine.yaml:8: launcher.benchmarks.blobs.cpus", "must be >= 1"),
            ("launchers/mine.yaml:9: launcher.benchmarks.blobs.time", "launcher.signal_seconds, 120"),
        ],
    ),
    (
        "benchmarks-of-a-kind-without",
        "kind: local\nbenchmarks: {blobs: {}}\n",
        [("launchers/mine.yaml:2: launcher.benchmarks:", "unknown key", "workers")],
    ),
    (
        "scratch",
        "kind: pool\nscratch: tmp/data\n",
        [("launchers/mine.yaml:2: launcher.scratch", "'tmp/data'", "expected an absolute folder", "$TMPDIR")],
    ),
    (
        "several",
        "kind: local\ncheckpoint_minutes: soon\nmax_attempts: 0\nthreads: many\n",
        [
            ("launchers/mine.yaml:2: launcher.checkpoint_minutes", "'soon'", "expected a number"),
            ("launchers/mine.yaml:3: launcher.max_attempts", "must be >= 1"),
            ("launchers/mine.yaml:4: launcher.threads", "expected a whole number or 'auto'"),
        ],
    ),
]


@pytest.mark.parametrize(("text", "says"), [pytest.param(text, says, id=name) for name, text, says in LAUNCHERS])
def test_malformed_launcher(project: Project, text: str, says: list[tuple[str, ...]]) -> None:
    project.write(text, "launchers/mine.yaml")
    rejected(project, tuple(says), "plan", "--launcher", "mine")


def test_launcher_that_the_registry_names_but_nobody_wrote(project: Project) -> None:
    project.edit("launcher: local}", "launcher: lcoal}")
    rejected(project, ((f"{F}:1", "no launcher 'lcoal'", "did you mean 'local'?", "debug"),), "plan")


def test_launcher_settings_in_the_registry_are_located_there(project: Project) -> None:
    project.edit("experiment: toy", "experiment: toy\nlauncher: {workers: 0}")
    rejected(project, ((f"{F}:3: launcher.workers", "must be >= 1 or 'auto'"),), "plan")


@pytest.mark.parametrize("named", ["launcher=mine", "launchers@launcher=mine"])
def test_a_mistake_in_a_launcher_that_an_override_names_is_located_in_its_file(project: Project, named: str) -> None:
    project.write("kind: local\nworker: 2\n", "launchers/mine.yaml")
    status, _, errors = project.suite("plan", named)
    assert status == 2
    assert "  launchers/mine.yaml:2: launcher.worker: unknown key; did you mean 'workers'?" in errors
    assert "Valid: kind, threads," in errors, "and nothing that may not stand in a file"
