import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from analysis.cli.main import main
from suite.tracking import Mirror, create_store, default_uri
from tests.cluster import environment
from tests.records_factory import write_run
from tests.waiting import until


@pytest.fixture(autouse=True)
def no_server_and_no_registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    for seed in range(2):
        write_run(folder, "image", "infonce", seed, test=0.5 + seed / 10)
    write_run(folder, "image", "dystress", 0, state="failed")
    write_run(folder, "image", "infonce", 0, profile="smoke", test=0.1)
    write_run(folder, "image", "infonce", 0, profile="paper", state="interrupted")
    Mirror(folder, default_uri(folder), "first").push()
    return folder


def test_tables_are_written_and_the_same_twice(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uri = default_uri(out)
    contents = []
    for name in ("a", "b"):
        assert main(["tables", "--tracking-uri", uri, "--out", str(tmp_path / name)]) == 0
        files = sorted((tmp_path / name).rglob("*.*"))
        contents.append([(file.relative_to(tmp_path / name), file.read_bytes()) for file in files])
    assert contents[0] == contents[1]
    written = {str(path) for path, _ in contents[0]}
    stems = ("main", "verdicts", "significance", "cost", "benchmark-image", "left-out")  # no pair of losses: no seeds
    kinds = ("md", "tex", "csv", "html")
    assert written == {f"tables/{p}/{stem}.{kind}" for p in ("mini", "smoke") for stem in stems for kind in kinds}
    shown = capsys.readouterr().out
    assert "0.5500 ± 0.0707 (2)" in shown and "failed: non_finite: the loss is nan" in shown


def test_tables_come_from_mlflow_alone(out: Path, tmp_path: Path) -> None:
    code = (
        "import sys, analysis.cli.main\n"
        f"arguments = ['tables', '--tracking-uri', {default_uri(out)!r}, '--out', {str(tmp_path)!r}]\n"
        "assert analysis.cli.main.main(arguments) == 0\n"
        "assert not [m for m in sys.modules if m in ('torch', 'scipy.stats') or m.startswith('suite.benchmarks')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2], capture_output=True)


@contextlib.contextmanager
def drawing(out: Path, folder: Path) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """Start a report, and give it and the processes that it has started, when one of them can draw."""
    arguments = ["report", "--tracking-uri", default_uri(out), "--out", str(folder)]
    full = [sys.executable, "-m", "analysis", *arguments]
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may be under nohup
    with subprocess.Popen(full, **streams, cwd=folder, env=environment(), start_new_session=True) as running:
        signal.signal(signal.SIGHUP, before)
        try:
            process = psutil.Process(running.pid)
            until(lambda: any(_below(one) for one in _below(process)), "a process draws")
            yield running, process.children(recursive=True)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)


def _below(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):  # a report starts others for a moment, too
        return process.children()
    return []


@pytest.mark.parametrize(
    ("number", "send", "status", "said"),
    [
        (signal.SIGINT, os.killpg, 130, "interrupted\n"),
        (signal.SIGTERM, os.kill, 143, "interrupted\n"),
        (signal.SIGHUP, os.kill, 129, ""),
        (signal.SIGHUP, os.killpg, 129, ""),  # as a terminal that is closed
    ],
)
def test_what_ends_a_report_ends_the_processes_that_draw_without_a_traceback(
    out: Path, tmp_path: Path, number: int, send: Callable[[int, int], None], status: int, said: str
) -> None:
    with drawing(out, tmp_path) as (running, below):
        send(running.pid, number)
        assert running.communicate(timeout=300) == ("", said)
        assert running.returncode == status
        assert psutil.wait_procs(below, timeout=60)[1] == []


def test_processes_that_draw_for_a_report_that_is_killed_end_by_themselves(out: Path, tmp_path: Path) -> None:
    with drawing(out, tmp_path) as (running, below):
        running.kill()
        running.communicate(timeout=60)  # nobody holds its output any more
        assert psutil.wait_procs(below, timeout=60)[1] == []


def test_a_process_that_draws_and_is_killed_is_one_clear_error(out: Path, tmp_path: Path) -> None:
    arguments = ["plots", "--tracking-uri", default_uri(out), "--out", str(tmp_path)]
    code = (
        "import sys, psutil, analysis.cli.main\n"
        "from analysis.figures import image\n"
        "begin = image.begin\n"
        "def begun(*given):\n"
        "    drawn = begin(*given)\n"
        "    [one.kill() for server in psutil.Process().children() for one in server.children()]\n"
        "    return drawn\n"
        "image.begin = begun\n"
        f"sys.exit(analysis.cli.main.main({arguments!r}))\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=300)
    assert done.returncode == 1
    assert done.stderr == "error: a process that drew figures was killed, perhaps for want of memory\n"


def test_json(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["tables", "--tracking-uri", default_uri(out), "--out", str(tmp_path), "--profile", "mini", "--json"]
    assert main(arguments) == 0
    printed = json.loads(capsys.readouterr().out)
    assert list(printed["profiles"]) == ["mini"]
    figures, lost = printed["profiles"]["mini"]["tables"]["main"]
    assert (figures["row"], figures["mean"], figures["n"], figures["best"]) == ("infonce", 0.55, 2, True)
    assert (lost["row"], lost["mean"], lost["n"], lost["best"]) == ("dystress", None, 0, False)
    assert [run["loss"] for run in printed["left_out"]] == ["dystress"]
    assert all(Path(name).exists() for name in printed["profiles"]["mini"]["files"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "large"], "no run of profile 'large'; it has mini, paper, smoke"),
        (["--profile", "paper"], "no finished run"),
        (["--experiment", "second"], "no experiment 'second'; it has first"),
    ],
)
def test_nothing_to_show(out: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    before = sorted(out.rglob("*"))
    assert main(["tables", "--out", str(out), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert sorted(out.rglob("*")) == before


def test_no_store_and_empty_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tables", "--out", str(tmp_path / "none")]) == 2
    assert "no such file" in capsys.readouterr().err and not (tmp_path / "none").exists()
    create_store(default_uri(tmp_path), "empty")
    assert main(["tables", "--out", str(tmp_path)]) == 2
    assert "holds no run of the suite" in capsys.readouterr().err


def test_several_experiments_must_be_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path, seed=0)
    for name in ("one", "two"):
        Mirror(tmp_path, default_uri(tmp_path), name).push()
    assert main(["tables", "--out", str(tmp_path)]) == 2
    assert "--experiment: one, two" in capsys.readouterr().err
    assert main(["tables", "--out", str(tmp_path), "--experiment", "two"]) == 0


@pytest.mark.parametrize("arguments", [[], ["table"], ["tables", "--nothing"]])
def test_bad_command_lines(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


def test_a_report_from_a_bundle_lies_beside_it_and_is_the_same_twice(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "--tracking-uri", default_uri(out), "--out", str(tmp_path / "first")]) == 0
    bundle = tmp_path / "first" / "runs.parquet"
    (tmp_path / "second").mkdir()
    shutil.copy(bundle, tmp_path / "second" / "runs.parquet")
    contents = []
    for name in ("first", "second"):
        assert main(["report", "--from", str(tmp_path / name / "runs.parquet")]) == 0
        files = [path for path in sorted((tmp_path / name).rglob("*.*")) if path.name != "manifest.json"]
        contents.append({str(path.relative_to(tmp_path / name)): path.read_bytes() for path in files})
    assert contents[0] == contents[1]
    assert {"report.html", "tables/mini/main.tex", "tables/mini/verdicts.html"} <= set(contents[0])
    assert "The registry declares no claim." in capsys.readouterr().out


def test_verdicts_are_about_the_claims_of_the_registry_and_then_of_the_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(5):
        write_run(tmp_path, "image", "infonce", seed, test=0.5 + seed / 100)
        write_run(tmp_path, "image", "temperature_free", seed, test=0.6 + seed / 90)
    Mirror(tmp_path, default_uri(tmp_path), "first").push()
    claimed = ["--registry", str(Path(__file__).parents[2] / "benchmarks.yaml")]
    said = "temperature_free is not worse than infonce (declared): "
    assert main(["verdict", "--out", str(tmp_path), *claimed]) == 0  # the registry's metric is another than the runs'
    assert f"{said}open" in capsys.readouterr().out
    assert main(["verdict", "--out", str(tmp_path), *claimed, "--accept-changes"]) == 0
    assert f"{said}holds" in capsys.readouterr().out
    assert main(["export", "--out", str(tmp_path), *claimed]) == 0
    assert main(["verdict", "--from", str(tmp_path / "runs.parquet"), "--accept-changes"]) == 0
    assert f"{said}holds" in capsys.readouterr().out
    assert main(["verdict", "--from", str(tmp_path / "runs.parquet"), "--json"]) == 0
    capsys.readouterr()
    assert main(["select", "--out", str(tmp_path)]) == 0
    assert "no sweep was run" in capsys.readouterr().out
