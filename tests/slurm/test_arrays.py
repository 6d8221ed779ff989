"""What a site allows, and what fits: arrays of a certain size, so many jobs at a time, runs side by side."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from suite import data
from tests.cluster import ROOT, events, metrics, mlflow_runs, shipped_part, suite
from tests.slurm.cluster import Cluster
from tests.slurm.sites import Site

MANY = ["--profile", "smoke", "--benchmarks", "blobs", "--losses", "cosine", "infonce"]
CLUSTER = ["--launcher", "slurm", "launcher.gpus=0", "launcher.memory=2G", "launcher.poll_seconds=1"]


@pytest.fixture(scope="module")
def small(make_cluster: Callable[..., Cluster]) -> Iterator[Cluster]:
    """A site that takes ten tasks an array and keeps no accounting."""
    made = make_cluster(max_array_size=10, accounting=False)
    yield made
    made.stop()


@pytest.fixture
def strict(small: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("SLURM_CONF", small.environment["SLURM_CONF"])
    yield Site(small, tmp_path)
    small.clear()


def arrays(folder: Path) -> list[int]:
    """The number of tasks of each array that was submitted."""
    files = (folder / "results").glob("launches/*/batches/*.json")
    return sorted((len(json.loads(file.read_text())["packs"]) for file in files), reverse=True)


def test_thirty_five_tasks_become_four_arrays_where_ten_fit_and_nobody_keeps_accounts(
    strict: Site, forked_python: Path
) -> None:
    assert not strict.cluster.accounting
    python = f"launcher.python={forked_python}"
    printed = strict.run(*MANY, "references", "--seeds", "0-10", python)  # 11 + 11 + 11 untrained + 1 chance
    assert "34 runs done" in printed
    strict.run(*MANY[:4], "--losses", "cosine", "--seeds", "11", python)
    assert arrays(strict.folder) == [10, 10, 10, 4, 1]
    found = metrics(strict.folder)
    assert len(found) == 35
    assert mlflow_runs(strict.folder) == {key: ["FINISHED"] for key in found}
    assert all([e["event"] for e in happened].count("started") == 1 for happened in events(strict.folder).values())


def test_submissions_are_held_back_by_the_cap_on_queued_jobs(strict: Site, forked_python: Path) -> None:
    seen: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            seen.append(len(strict.cluster.run("squeue", "--noheader", "--array").splitlines()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        printed = strict.run(*MANY, "--seeds", "0-3", "launcher.max_queued=5", f"launcher.python={forked_python}")
    finally:
        done.set()
        watcher.join()
    assert "8 runs done" in printed
    assert max(seen) == 5
    assert sum(arrays(strict.folder)) == 8


def test_runs_go_side_by_side_and_what_runs_out_of_memory_is_tried_once_more_with_fewer_beside_it(
    strict: Site,
) -> None:
    registry = strict.folder / "benchmarks.yaml"
    registry.write_text(registry.read_text().replace("  dies:", "  greedy: {_target_: tests.toys.Greedy}\n  dies:"))
    beside = ["launcher.cpus=2", "launcher.target=10m"]
    select = ["--profile", "smoke", "--benchmarks", "blobs", "--losses", "greedy", "cosine", "--seeds", "0"]
    printed = strict.run(*select, *beside)
    assert arrays(strict.folder) == [1], "one array task carries both"
    assert "2 runs done" in printed
    happened = next(found for found in events(strict.folder).values() if any(e["event"] == "failed" for e in found))
    ends = [(e["event"], e.get("class")) for e in happened if e["event"] in ("started", "failed", "finished")]
    assert ends == [("started", None), ("failed", "out_of_memory"), ("started", None), ("finished", None)]


@pytest.mark.data
def test_the_smoke_matrix_runs_here_and_a_benchmark_of_each_family_has_the_same_bits_on_slurm(
    on_slurm: Cluster, tmp_path: Path
) -> None:
    if data.missing(["fashion_mnist", "movielens_100k", "cora"]):
        pytest.skip("the data is not in the cache: python -m suite data fetch")
    families = ["image", "graph", "anomaly", "text", "recommendation"]
    matrix = ["--benchmarks", "all", "--losses", "headline"]
    part = ["--benchmarks", *families, "--losses", "dystress", *CLUSTER, "launcher.cpus=2", "launcher.target=1m"]
    found = []
    for name, words in {"local": matrix, "slurm": part}.items():
        place = tmp_path / name
        place.mkdir()
        (place / "benchmarks.yaml").write_text((ROOT / "benchmarks.yaml").read_text())
        done = suite(place, "run", "--profile", "smoke", "--seeds", "0", *words, "--quiet", timeout=480)
        assert done.returncode == 0, done.stdout + done.stderr
        found.append(metrics(place))
    here, there = found
    assert len(there) == len(families)
    assert here.keys() >= there.keys()
    assert {key: here[key] for key in there} == there


@pytest.mark.data
def test_a_run_spread_over_two_nodes_is_one_run(on_slurm: Cluster, tmp_path: Path) -> None:
    if data.missing(["fashion_mnist"]):
        pytest.skip("the data is not in the cache: python -m suite data fetch")
    (tmp_path / "benchmarks.yaml").write_text(shipped_part(["image"], ["infonce"]))
    select = ["--benchmarks", "image", "--profile", "smoke", "--losses", "infonce", "--seeds", "0", *CLUSTER]
    spread = ["launcher.cpus=1", "benchmarks.image.resources.smoke.nodes=2"]
    spread += ["launcher.setup=['export MASTER_ADDR=127.0.0.1']"]  # the cluster's nodes have no names of their own
    done = suite(tmp_path, "run", *select, *spread)
    assert done.returncode == 0, done.stdout + done.stderr
    ((key, values),) = metrics(tmp_path).items()
    run = json.loads((tmp_path / "results" / "runs" / key / "run.json").read_text())
    assert run["provenance"]["hardware"]["processes"] == 2
    assert values["test/few_label_accuracy"] > 0.3
    assert (tmp_path / "results" / "runs" / key / "log.1.txt").exists()
    select[select.index("--seeds") + 1] = "1"  # the run above is done, wherever one looks
    here = suite(tmp_path, "run", *select[: -len(CLUSTER)], spread[1])
    assert here.returncode == 2
    assert "asks for 2 processes a run, which --launcher slurm gives and local does not" in here.stderr
