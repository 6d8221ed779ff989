"""What `suite` and `analysis` offer to notebooks."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

import analysis
import suite
from suite.problems import InputError
from tests.conftest import ROOT, Project

REFERENCE = ROOT / "results" / "reference" / "runs.parquet"
CLOCK = """
import sys, time
start = time.process_time()
import suite, analysis
spent = time.process_time() - start
heavy = [name for name in ("torch", "mlflow", "pandas", "numpy", "hydra") if name in sys.modules]
print(spent, heavy)
"""


def test_to_import_them_takes_no_time_and_nothing_heavy() -> None:
    found = []
    for _ in range(5):
        spent, heavy = subprocess.check_output([sys.executable, "-c", CLOCK], cwd=ROOT, text=True).split(maxsplit=1)
        assert heavy.strip() == "[]"
        found.append(float(spent))
    assert min(found) < 0.05


@pytest.mark.parametrize("module", [suite, analysis])
def test_every_name_that_is_offered_is_there_and_declared(module: object) -> None:
    stub = Path(str(module.__file__)).with_suffix(".pyi").read_text()
    declared = set(re.findall(r"(?:as (\w+)|^(\w+):)", stub, re.MULTILINE))
    assert {first or second for first, second in declared} == set(module.__all__) <= set(dir(module))
    assert all(getattr(module, name) is not None for name in module.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = module.nothing


def test_every_loss_of_the_suite_is_offered() -> None:
    from suite import losses

    classes = {name for name in losses.__all__ if name[0].isupper()} - {"AnchorLoss", "LogitLoss"}
    assert classes <= set(suite.__all__)


def test_the_version_is_that_of_the_project() -> None:
    assert f'version = "{suite.__version__}"' in (ROOT / "pyproject.toml").read_text()


def test_a_campaign_from_python_is_that_of_the_command_line(project: Project, capsys: pytest.CaptureFixture) -> None:
    registry = suite.load_registry("benchmarks.yaml", launcher="debug")
    plan = suite.make_plan(registry, "blobs", ["cosine", "infonce"], seeds=0, profile="smoke")
    assert list(pd.DataFrame(plan.runs)["loss"]) == ["cosine", "infonce"]
    assert suite.run(registry, plan, quiet=True).outcome.executed == 2
    assert capsys.readouterr().out == ""
    again = suite.make_plan(registry, "blobs", "cosine,infonce", "0", "smoke")
    assert [one.key for one in again.runs] == [one.key for one in plan.runs]
    assert {one.state for one in again.runs} == {"done"}
    assert suite.run(registry, again).already_done == 2
    with pytest.raises(InputError, match="cosine"):
        suite.make_plan(registry, "blobs", "cosin")


@pytest.mark.parametrize("launcher", ["debug", "local"])
def test_a_campaign_may_be_run_from_another_thread_than_the_main_one(project: Project, launcher: str) -> None:
    registry = suite.load_registry("benchmarks.yaml", launcher=launcher)
    plan = suite.make_plan(registry, "blobs", "cosine", seeds=0, profile="smoke")
    with ThreadPoolExecutor(1) as other:
        report = other.submit(suite.run, registry, plan, quiet=True).result()
    assert report.outcome.executed == 1


def test_a_plan_is_carried_out_as_things_stand_when_it_is_used_again(
    project: Project, capsys: pytest.CaptureFixture
) -> None:
    project.edit("benchmarks:\n", "  explodes: {_target_: tests.toys.Explodes}\nbenchmarks:\n")
    registry = suite.load_registry("benchmarks.yaml", launcher="debug")
    plan = suite.make_plan(registry, "blobs", ["cosine", "explodes"], seeds=0, profile="smoke")
    first = suite.run(registry, plan)
    assert (first.outcome.executed, len(first.outcome.failed)) == (1, 1)
    capsys.readouterr()
    again = suite.run(registry, plan)
    assert (again.outcome.executed, again.outcome.failed, again.already_done) == (0, (), 1)
    said = capsys.readouterr().out
    assert "nothing to run: 1 of 2 runs are done" in said
    assert "not tried again: blobs/explodes/seed0: non_finite: " in said and "rerun='failed' tries it" in said
    assert suite.run(registry, plan, rerun="done", quiet=True).outcome.executed == 1
    assert len(suite.run(registry, plan, rerun=["failed"], quiet=True).outcome.failed) == 1


def test_tables_and_verdicts_are_frames_of_every_profile() -> None:
    logged = analysis.load(REFERENCE)
    made = analysis.tables(logged)
    assert {"main", "verdicts", "significance", "cost"} <= made.keys()
    assert set(made["main"]["profile"]) == set(logged.runs["profile"].dropna())
    main = made["main"].query("profile == 'mini' and kind == 'loss'")
    committed = pd.read_csv(ROOT / "results" / "reference" / "tables" / "mini" / "main.csv").query("kind == 'loss'")
    assert list(main["mean"].astype(float)) == list(committed["mean"])
    assert set(analysis.verdicts(logged, "mini")["profile"]) == {"mini"}


@pytest.mark.parametrize("first", ["import analysis.tables.main", "pass"])
def test_tables_can_be_called_whatever_was_imported_before(first: str) -> None:
    program = f"{first}\nfrom analysis import tables, load\nprint(len(tables(load({str(REFERENCE)!r}))))"
    assert int(subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True)) > 10
