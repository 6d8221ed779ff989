from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.read.bundle import SCHEMA, write
from analysis.read.load import NothingToShow, load
from analysis.read.logged import Logged
from suite.problems import InputError
from suite.registry.claims import Claim, Declared
from suite.tracking import Mirror, TrackingUnavailable, default_uri
from tests.records_factory import append, metrics_event, write_run

CLAIMED = Declared("infonce", {"free": Claim("temperature_free", "better", "infonce")})
OTHER = Declared("infonce", {"free": Claim("temperature_free", "not_worse", "infonce")})


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    for seed in range(3):
        key = write_run(folder, seed=seed, state="failed" if seed == 2 else "finished", config={"a": {"b": seed}})
        append(folder, key, metrics_event(9, similarity_positive=0.1))
        append(folder, key, {"time": 1.7e9, "event": "histograms", "shares": {"similarity_positive": [0.5, 0.5]}})
    Mirror(folder, default_uri(folder), "first").push()
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)


def exported(logged: Logged, folder: Path, **changes: object) -> str:
    parts = {"runs": logged.runs, "declared": CLAIMED, "experiment": "first", "read_points": logged.read_points}
    return str(write(Logged(**{**parts, **changes}), folder)[0])  # type: ignore[arg-type]


def test_a_bundle_says_what_the_store_says_that_it_was_exported_from(out: Path, tmp_path: Path) -> None:
    stored = load(out=out)
    assert stored.origin == default_uri(out) and stored.experiment == "first" and stored.declared == Declared()
    assert stored.curve_names == ["histogram/similarity_positive", "train/loss", "train/similarity_positive"]
    file = exported(stored, tmp_path)
    bundled = load([file])
    pd.testing.assert_frame_equal(stored.runs, bundled.runs)
    pd.testing.assert_frame_equal(stored.curves(), bundled.curves())
    assert len(stored.curves()) == 3 * (3 + 1 + 2)
    assert bundled.origin == file and bundled.declared == CLAIMED


@pytest.mark.parametrize("sources", [(), ("mlflow",)])
def test_no_source_is_the_store(out: Path, sources: tuple[str, ...]) -> None:
    assert len(load(sources, tracking_uri=default_uri(out)).runs) == 3


def test_the_same_bundle_twice_is_one(out: Path, tmp_path: Path) -> None:
    file = exported(load(out=out), tmp_path)
    assert len(load([file, file]).runs) == 3


def test_claims_come_from_the_registry_that_is_there_or_named(out: Path, tmp_path: Path) -> None:
    file = exported(load(out=out), tmp_path)
    registry = Path(__file__).parents[2] / "benchmarks.yaml"
    named = load([file], registry=registry)
    assert named.declared.baseline == "infonce" and named.declared != CLAIMED
    assert load([file]).declared == CLAIMED
    for folder in ("launchers", "benchmarks.yaml"):
        (tmp_path / folder).symlink_to(registry.parent / folder)
    assert load(out=out).declared == named.declared
    with pytest.raises(InputError, match="no such"):
        load([file], registry=Path("none.yaml"))


def test_all_bad_files_are_told_at_once(out: Path, tmp_path: Path) -> None:
    logged = load(out=out)
    good = exported(logged, tmp_path / "good")
    (tmp_path / "text.parquet").write_text("no parquet at all")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    later = pq.read_table(good)
    manifest = later.schema.metadata[b"contrastive-suite.manifest"].replace(b'"schema": 2', b'"schema": 99')
    pq.write_table(later.replace_schema_metadata({b"contrastive-suite.manifest": manifest}), tmp_path / "later.parquet")
    pq.write_table(pq.read_table(good).slice(1), tmp_path / "short.parquet")
    (tmp_path / "cut.parquet").write_bytes(Path(good).read_bytes()[:-100])
    second = exported(logged, tmp_path / "second", experiment="second")
    files = ["none.parquet", "good", "text.parquet", "other.parquet", "later.parquet", "short.parquet", "cut.parquet"]
    with pytest.raises(InputError) as refused:
        load([good, *files, second])
    report = refused.value.report()
    assert report.startswith("error: 8 problems in what was given; nothing was done")
    for text in (
        "none.parquet: there is no such file",
        "good: is a folder; name the runs.parquet in it",
        "text.parquet: is not a parquet file",
        "other.parquet: is not a bundle of this suite; `python -m analysis export` makes one",
        f"later.parquet: has schema 99, and this version of the suite reads schema {SCHEMA}",
        "short.parquet: was changed after its export",
        "cut.parquet: is not a parquet file, or was cut off",
        f"{second}: is of experiment 'second' but {good} of 'first'",
    ):
        assert text in report


def test_curves_that_are_held_are_those_of_the_store_and_are_read_once(out: Path) -> None:
    stored = load(out=out)
    first, second, _ = stored.runs["run_id"]
    held = stored.holding([first])
    (name, *_) = stored.curve_names
    object.__setattr__(stored, "read_points", None)
    whole = load(out=out)
    pd.testing.assert_frame_equal(held.curves(), whole.curves([first]))
    pd.testing.assert_frame_equal(held.curves([first, second], [name]), whole.curves([first], [name]))


def test_bundles_that_claim_different_things_need_a_registry(out: Path, tmp_path: Path) -> None:
    logged = load(out=out)
    files = [exported(logged, tmp_path / str(number), declared=one) for number, one in enumerate((CLAIMED, OTHER))]
    with pytest.raises(InputError, match=r"declares other claims than .* --registry"):
        load(files)
    assert load(files, registry=Path(__file__).parents[2] / "benchmarks.yaml").declared.claims
    silent = exported(logged, tmp_path / "silent", declared=Declared())
    assert load([silent, files[1]]).declared == OTHER


def test_an_experiment_may_be_named_for_bundles_too(out: Path, tmp_path: Path) -> None:
    file = exported(load(out=out), tmp_path)
    assert len(load([file], experiment="first").runs) == 3
    with pytest.raises(InputError, match="is of experiment 'first', not 'second'"):
        load([file], experiment="second")


def test_a_colleague_s_bundle_stands_beside_ones_own_runs(out: Path, tmp_path: Path) -> None:
    """Of another experiment, with claims of its own: whose count has to be said, and either may."""
    own = load(out=out)
    runs = own.runs.assign(
        key=[one * 64 for one in "def"], run_id=[f"theirs{n}" for n in range(len(own.runs))], seed=range(70, 73)
    )
    theirs = exported(own, tmp_path / "theirs", runs=runs, experiment="second", declared=OTHER)
    with pytest.raises(InputError, match=r"is of experiment 'second' but .*--registry"):
        load(["mlflow", theirs], out=out)
    both = load(["mlflow", theirs], out=out, registry=Path(theirs))
    assert len(both.runs) == 6 and set(both.runs["seed"]) >= {70, 71, 72}
    assert both.declared == OTHER
    registry = Path(__file__).parents[2] / "benchmarks.yaml"
    assert load(["mlflow", theirs], out=out, registry=registry).declared != OTHER


def test_a_store_without_runs_or_none_at_all(out: Path, tmp_path: Path) -> None:
    with pytest.raises(TrackingUnavailable, match="no such file"):
        load(out=tmp_path)
    with pytest.raises(NothingToShow, match="no experiment 'second'; it has first"):
        load(out=out, experiment="second")
