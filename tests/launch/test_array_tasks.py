"""How runs become array tasks, and what sbatch gets."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from suite.launch.jobs import LaunchError
from suite.launch.kinds.slurm import SlurmLauncher
from suite.launch.queue import SchedulerUnavailable
from suite.launch.slurm import client
from suite.launch.slurm.sbatch import check, packs, parameters, slots
from suite.problems import InputError
from suite.records.specs import Pack
from suite.registry.launchers import Resources
from suite.registry.registry import Registry
from tests.launch.simulated import keys, launcher, run


def registry(**resources: Resources) -> Registry:
    entries = {"blobs": SimpleNamespace(resources={}), "large": SimpleNamespace(resources=resources)}
    return cast(Registry, SimpleNamespace(document=SimpleNamespace(benchmarks=entries)))


def script(given: SlurmLauncher, folder: Path, shape: Pack | None = None) -> str:
    """Return what sbatch would get."""
    from submitit.slurm.slurm import _make_sbatch_string

    return str(_make_sbatch_string("true", folder, **parameters(given, shape)))


@pytest.mark.parametrize(
    ("fields", "memory", "expected"),
    [
        ({"cpus": 4}, {}, 4),  # the runs of a CPU task are as many as its cores ...
        ({"cpus": 4}, {"host": 600.0}, 4),  # ... whatever they take, unless asked to look
        ({"cpus": 4, "runs_per_gpu": "auto"}, {"host": 400.0}, 2),
        ({"cpus": 4, "runs_per_gpu": "auto"}, {"host": 5000.0}, 1),
        ({"cpus": 4, "runs_per_gpu": "auto"}, {}, 4),
        ({"gpus": 2}, {}, 2),
        ({"gpus": 2, "runs_per_gpu": 3}, {"host": 9000.0, "device": 9000.0, "device_total": 1e4}, 6),
        # on the device with its context: 24000 / 1.1 (5000 + 600) = 3.9
        (
            {"gpus": 2, "cpus": 16, "memory": "64G", "runs_per_gpu": "auto"},
            {"host": 1000.0, "device": 5000.0, "device_total": 24000.0},
            6,
        ),
        # not more than there are cores, nor than the host's memory holds
        (
            {"gpus": 2, "cpus": 4, "memory": "64G", "runs_per_gpu": "auto"},
            {"host": 1000.0, "device": 500.0, "device_total": 24000.0},
            4,
        ),
        (
            {"gpus": 2, "cpus": 16, "memory": "8G", "runs_per_gpu": "auto"},
            {"host": 2000.0, "device": 500.0, "device_total": 24000.0},
            3,
        ),
    ],
)
def test_as_many_runs_side_by_side_as_fit(fields: dict[str, Any], memory: dict[str, float], expected: int) -> None:
    assert slots(run("a", memory_mib=memory), launcher(**fields)) == expected


def test_without_a_history_auto_uses_every_gpu_of_the_task() -> None:
    assert slots(run("a"), launcher(gpus=2, runs_per_gpu="auto")) == 2


def test_runs_are_packed_up_to_the_target_and_spread_ones_apart() -> None:
    spread = registry(mini=Resources(2, 4))
    asked = [run(key, 40.0) for key in keys(5)] + [run("e" * 64, 30.0, "large"), run("f" * 64, 5.0, "large")]
    asked.append(run("d" * 64, 5.0, "large", kind="reference"))
    found = packs(asked, spread, launcher())
    assert [(len(p.keys), p.nodes, p.gpus, p.slots) for p in found if p.gpus > 1] == [(2, 2, 4, 1)]
    assert sorted(len(p.keys) for p in found if p.gpus == 1) == [1, 2, 3], "references are never spread"
    side_by_side = packs([run(key, 40.0) for key in keys(5)], spread, launcher(cpus=2))
    assert [(len(p.keys), p.slots, p.seconds) for p in side_by_side] == [(4, 2, 80.0), (1, 1, 40.0)]


def test_sbatch_gets_what_the_launcher_says(tmp_path: Path) -> None:
    given = launcher(
        partition="gpu", account="me", qos="long", constraint="a|b", gpus=2, gpu_type="a100", cpus=8, memory="16G",
        time="90m", signal="USR1", signal_seconds=90, array_parallelism=7,
        sbatch={"mail-type": "END", "reservation": "work shop", "exclusive": True},
    )  # fmt: skip
    text = script(given, tmp_path / "with a blank")
    lines = {line.removeprefix("#SBATCH --") for line in text.splitlines() if line.startswith("#SBATCH")}
    assert {
        "partition=gpu", "account=me", "qos=long", "constraint='a|b'", "gres=gpu:a100:2", "cpus-per-task=8",
        "mem=16384M", "time=90", "nodes=1", "ntasks-per-node=1", "signal=USR1@90", "requeue", "mail-type=END",
        "reservation='work shop'", "exclusive", "open-mode=append",
    } <= lines  # fmt: skip
    assert not any(line.startswith(("gpus-per-node", "error")) for line in lines)
    assert "--kill-on-bad-exit" not in text
    (command,) = [shlex.split(line) for line in text.splitlines() if line.startswith("srun")]
    assert str(tmp_path / "with a blank" / "%j_%t_log.out") in command
    assert "--cpus-per-task=8" in command


def test_sbatch_gets_nothing_that_the_launcher_leaves_open(tmp_path: Path) -> None:
    text = script(launcher(time="61s"), tmp_path)
    for option in ("partition", "account", "qos", "constraint", "gres", "gpus-per-node"):
        assert f"--{option}" not in text
    assert "--time=2\n" in text
    assert "--gpus-per-node=3\n" in script(launcher(gpus=3), tmp_path)


def test_a_spread_run_has_a_process_a_gpu_which_end_together(tmp_path: Path) -> None:
    shape = Pack(("a",), 1.0, 1, 2, 4)
    text = script(launcher(gpus=1), tmp_path, shape)
    for option in ("nodes=2", "ntasks-per-node=4", "gpus-per-node=4"):
        assert f"#SBATCH --{option}\n" in text
    assert "--kill-on-bad-exit=1" in text
    on_cpu = script(launcher(gpus=0), tmp_path, shape)
    assert "gpus" not in on_cpu and "--ntasks-per-node=4" in on_cpu


def test_workers_learn_how_many_threads_they_have() -> None:
    assert launcher(cpus=8).work_settings().threads == 1
    assert launcher(cpus=8, gpus=1).work_settings().threads is None
    assert launcher(cpus=8, gpus=1, threads=2).work_settings().threads == 2


@pytest.mark.usefixtures("queue")
def test_partitions_may_be_several_and_the_longest_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "partitions", lambda cluster: {"short": "30:00", "long": "1-00:00:00"})
    monkeypatch.setattr(client, "submission_problem", lambda script: None)
    check(launcher(partition="short,long", time="4h"), ["blobs"])
    for fields in ({"partition": "short,nowhere"}, {"partition": "short", "time": "4h"}, {"time": "4h"}):
        with pytest.raises(InputError):
            check(launcher(**fields), ["blobs"])


@pytest.mark.usefixtures("queue")
def test_a_controller_that_does_not_say_which_cluster_this_is_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(cluster: str | None) -> str:
        raise SchedulerUnavailable("Unable to contact slurm controller")

    monkeypatch.setattr(client, "partitions", lambda cluster: {"short": "30:00"})
    monkeypatch.setattr(client, "submission_problem", lambda script: None)
    monkeypatch.setattr(client, "identity", silent)
    with pytest.raises(LaunchError, match="nothing was submitted"):
        check(launcher(time="10m"), ["blobs"])
