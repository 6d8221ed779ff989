"""``python -m suite check-loss``, as users call it."""

import json
import re
import subprocess
import sys

import pytest

from tests import nursery
from tests.conftest import Project

pytestmark = pytest.mark.slow

MINE = """\
from suite.losses import LogitLoss
from suite.parameters import Positive


class Cubic(LogitLoss):
    def __init__(self, scale: Positive = 4.0) -> None:
        super().__init__()
        print("made")
        self.scale = scale

    def logits(self, similarity):
        return self.scale * (similarity + similarity**3)


class Artanh(LogitLoss):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def logits(self, similarity):
        return self.scale * similarity.atanh()


class Refuses(LogitLoss):
    def __init__(self, low: float = 1.0, high: float = 0.0) -> None:
        super().__init__()
        if low > high:
            raise ValueError(f"low must not exceed high, got {low} and {high}")
"""


@pytest.fixture
def mine(project: Project) -> Project:
    project.write(MINE, "my_losses.py")
    return project


def test_a_loss_in_a_file_of_ones_own_conforms(mine: Project) -> None:
    ended = mine.process("check-loss", "my_losses.Cubic", "scale=2.0", **{nursery.WANTED: "1"})
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[-1] == "my_losses.Cubic(scale=2.0) conforms: 18 passed"
    for check in ("finite: two_view", "gradient", "checkpoint", "compile"):
        assert re.search(rf"^ {check} +pass ", ended.stdout, re.MULTILINE), check
    assert "made" in ended.stderr  # what the loss prints is no part of the answer


def test_what_fails_is_told_with_place_and_remedy(mine: Project) -> None:
    status, out, _ = mine.suite("check-loss", "my_losses.Artanh", "scale=2.0")
    assert status == 1
    text = " ".join(out.split())
    assert "finite: with_queue FAIL the value is nan and the gradient is nan at anchor 0, candidate 0" in text
    assert "(positive, cosine 1), for duplicate rows in float64. A map with an infinite value or slope" in text
    assert out.splitlines()[-1] == "my_losses.Artanh(scale=2.0) does not conform: 11 passed, 7 failed"


def test_json_is_for_programs_whatever_the_loss_prints(mine: Project) -> None:
    status, out, _ = mine.suite("check-loss", "my_losses.Cubic", "--json")
    answer = json.loads(out)
    assert status == 0
    assert (answer["loss"], answer["arguments"], answer["passed"]) == ("my_losses.Cubic", {"scale": 4.0}, True)
    assert {"name": "compile", "passed": True, "supported": True, "detail": "torch.compile changes nothing"} in answer[
        "checks"
    ]
    status, out, _ = mine.suite("check-loss", "suite.losses.MACL", "--json")
    answer = json.loads(out)
    assert (status, answer["passed"]) == (0, True)
    unsupported = {check["name"]: check for check in answer["checks"] if not check["supported"]}
    assert list(unsupported) == ["finite: labelled", "finite: labelled, one alone"]
    assert "one positive an anchor" in unsupported["finite: labelled"]["detail"]


def found(project: Project, *arguments: str) -> str:
    """Return the loss that a command line stands for, without checking it."""
    from suite.registry.named_loss import find

    name, *parameters = arguments
    return str(find(name, parameters))


def test_a_loss_of_the_registry_has_its_arguments(project: Project) -> None:
    assert found(project, "cosine") == "tests.toys.Cosine(scale=5.0)"
    assert found(project, "cosine", "scale=3") == "tests.toys.Cosine(scale=3.0)"
    assert found(project, "cosine@scale=10.0") == "tests.toys.Cosine(scale=10.0)"


def test_what_arguments_refer_to_is_taken_from_the_first_benchmark(project: Project) -> None:
    assert found(project, "infonce") == "suite.losses.InfoNCE(temperature=0.5) as in benchmark blobs"
    assert found(project, "infonce", "temperature=0.07") == "suite.losses.InfoNCE(temperature=0.07)"


def test_an_entry_point_needs_no_place_in_the_registry(project: Project) -> None:
    assert found(project, "temperature_free", "scale=1.0").startswith("suite.losses.TemperatureFree(scale=1.0, ")


def test_the_registry_may_be_another_file(project: Project) -> None:
    project.write((project.folder / "benchmarks.yaml").read_text().replace("cosine", "plainest"), "b.yaml")
    assert "Valid: cosine, infonce" in project.suite("check-loss", "plainest")[2]
    errors = project.suite("check-loss", "plainest", "scale=x", "--registry", "b.yaml")[2]
    assert "command line: scale: 'x' will not do: expected a number" in errors


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["my_losses.Cubik"], ["my_losses defines no 'Cubik'; did you mean 'Cubic'?"]),
        (["my_loses.Cubic"], ["no module named 'my_loses' can be imported from here; did you mean 'my_losses'?"]),
        (["infonec"], ["did you mean 'infonce'?", "a dotted path like my_losses.MyLoss"]),
        (["cosine@scale=3.0"], ["did you mean 'cosine@scale=2.0'?"]),
        (["my_losses.Cubic", "scale=-1"], ["command line: scale: -1 will not do: must be > 0"]),
        (
            ["my_losses.Cubic", "scale=red", "sclae=1", "3"],
            ["'red' will not do", "did you mean 'scale'?", ": 3: no par"],
        ),
        (["my_losses.Cubic", "scale=1,2"], ["scale=1,2: no parameter; expected key=value"]),
        (["my_losses.Cubic", "scale=${host_temperature}"], ["${host_temperature} is not defined here"]),
        (["my_losses.Artanh"], ["my_losses.Artanh scale=...: my_losses.Artanh needs a value for 'scale'"]),
        (["my_losses.Refuses"], ["ValueError: low must not exceed high, got 1.0 and 0.0"]),
        (["tests.toys.Blobs"], ["tests.toys.Blobs is not a loss: it has no method 'forward'"]),
        (["my_losses.Cubic", "--jsno"], ["no such option; did you mean '--json'?"]),
        ([], ["the following arguments are required: loss"]),
    ],
    ids=" ".join,
)
def test_bad_input_is_refused_before_anything_is_checked(
    mine: Project, arguments: list[str], messages: list[str]
) -> None:
    status, out, errors = mine.suite("check-loss", *arguments)
    assert (status, out) == (2, "")
    for message in messages:
        assert message in errors


def test_bad_names_are_refused_without_importing_torch(mine: Project) -> None:
    program = "import sys; from suite.cli.main import main; print(main(sys.argv[1:]), 'torch' in sys.modules)"
    command = [sys.executable, "-c", program, "check-loss", "my_losses.Cubic", "scale=-1"]
    ended = subprocess.run(command, cwd=mine.folder, capture_output=True, text=True, check=True)
    assert ended.stdout == "2 False\n"
