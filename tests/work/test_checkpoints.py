"""Checkpoints that a lost node has torn: noticed, never a failure, and the bits at the end are the same."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from suite.losses import InfoNCE
from suite.training import Checkpoint, Context, Interrupted, Streams, evaluate, train
from suite.work import checkpoints
from tests.conftest import Project
from tests.toys import Blobs

Damage = Callable[[bytes], bytes]
DAMAGES: dict[str, Damage] = {
    "cut": lambda content: content[: len(content) // 2],
    "cut-in-its-heading": lambda content: content[:20],
    "empty": lambda content: b"",
    "zeros": lambda content: b"\0" * len(content),
    "zeros-at-its-end": lambda content: content[:-512] + b"\0" * 512,
    "garbage": lambda content: b"\x80\x04garbage\n" * 100,
    "one-bit": lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
    "a-pickle": lambda content: b"cos\nsystem\n(S'touch pwned'\ntR.",
    "without-its-heading": lambda content: content.partition(b"\n")[2],
}


def trained(checkpoint: Checkpoint | None = None, last: int | None = None) -> dict[str, Any]:
    context = Context(Streams(0), torch.device("cpu"), lambda dataset, member: Path())
    task, steps = Blobs(epochs=1).task(context), []
    train(
        task,
        InfoNCE(0.2),
        context.streams,
        lambda step, metrics: steps.append(step.index),
        checkpoint,
        lambda: bool(steps) and steps[-1] + 1 == last,
    )
    return {"first": steps[0], "model": task.model.state_dict(), "metrics": evaluate(task)}


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    return trained()


def interrupted(folder: Path, last: int) -> Checkpoint:
    """Stop after step `last`, with a checkpoint at every step."""
    checkpoint = Checkpoint(folder / "checkpoint.pt", lambda: True, checkpoints.save, checkpoints.read)
    with pytest.raises(Interrupted):
        trained(checkpoint, last)
    return checkpoint


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.parametrize(("damaged", "first"), [(1, 3), (2, 0)])
def test_a_damaged_checkpoint_costs_steps_and_no_bit(
    tmp_path: Path, whole: dict[str, Any], name: str, damaged: int, first: int, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = interrupted(tmp_path, 4)
    for file in (checkpoint.path, checkpoints.previous(checkpoint.path))[:damaged]:
        file.write_bytes(DAMAGES[name](file.read_bytes()))
    with caplog.at_level(logging.WARNING, "suite"):
        resumed = trained(checkpoint)
    assert resumed["first"] == first
    assert resumed["metrics"] == whole["metrics"]
    assert all(torch.equal(resumed["model"][part], tensor) for part, tensor in whole["model"].items())
    assert caplog.text.count("is damaged") == damaged
    assert ("continuing from the checkpoint before the last" in caplog.text) == (damaged == 1)


def test_a_sound_checkpoint_is_used(tmp_path: Path, whole: dict[str, Any]) -> None:
    resumed = trained(interrupted(tmp_path, 4))
    assert resumed["first"] == 4 and resumed["metrics"] == whole["metrics"]


def test_a_kill_between_the_two_files_leaves_the_one_before(tmp_path: Path) -> None:
    checkpoint = interrupted(tmp_path, 4)
    checkpoint.path.replace(checkpoints.previous(checkpoint.path))
    assert trained(checkpoint)["first"] == 4


def test_a_damaged_one_never_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoints.save(path, {"step": 1})
    checkpoints.save(path, {"step": 2})
    path.write_bytes(b"torn")
    assert checkpoints.read(path) is not None and not path.exists()
    checkpoints.save(path, {"step": 3})
    path.unlink()
    content = checkpoints.read(path)
    assert content is not None and b"step" in content


def test_a_run_goes_on_behind_a_cut_checkpoint(project: Project) -> None:
    """Before, the run failed for good: `user_code: PytorchStreamReader failed`."""
    project.write(
        "from pathlib import Path\nfrom tests.toys import Cosine\n"
        "class Once(Cosine):\n"
        "    steps = 0\n"
        "    def forward(self, pairs):\n"
        "        Once.steps += 1\n"
        "        if Once.steps == 6 and not Path('struck').exists():\n"
        "            Path('struck').touch()\n"
        "            raise KeyboardInterrupt\n"
        "        return super().forward(pairs)\n",
        "mine.py",
    )
    project.edit("cosine: {_target_: tests.toys.Cosine,", "cosine: {_target_: mine.Once,")
    select = ["run", "--launcher", "debug", "--benchmarks", "blobs", "--losses", "cosine", "--seeds", "0"]
    select += ["--profile", "smoke", "--quiet", "launcher.checkpoint_steps=1"]
    assert project.suite(*select)[0] == 130
    (record,) = (project.folder / "results" / "runs").iterdir()
    file = record / "checkpoint.pt"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    status, out, errors = project.suite(*select)
    assert status == 0, out + errors
    log = (record / "log.txt").read_text(encoding="utf-8")
    assert "checkpoint.pt is damaged" in log and "continuing from the checkpoint before the last" in log
    assert not list(record.glob("checkpoint*"))
    assert project.suite(*select, "--out", "calm")[0] == 0
    results = [json.loads((out / record.name / "result.json").read_bytes()) for out in map(Path, OUTS)]
    assert results[0]["metrics"] == results[1]["metrics"]


OUTS = ("results/runs", "calm/runs")
