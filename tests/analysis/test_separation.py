import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.cli.main import main
from analysis.read.collect import collect
from analysis.read.load import load
from analysis.statistics.paired import block_test
from analysis.tables.curves import training_points, training_tables
from analysis.tables.render import csv, markdown
from analysis.tables.separation import SECTIONS, document, separation_tables
from analysis.tables.table import Table
from suite.tracking import Mirror, default_uri
from tests.analysis.frames import logged, row
from tests.records_factory import append, metrics_event, write_run

RNG = np.random.default_rng(0)
TEMPERATURES = (0.1, 0.5, 1.0)
SELECTION = (100, 101, 102)
#: Validation figures by temperature (rows) and selection seed: 0.5 is best, 1.0 worst.
LAYOUT = np.array([[0.62, 0.61, 0.66], [0.70, 0.72, 0.71], [0.50, 0.53, 0.52]])


def tables(*rows: dict) -> dict[str, Table]:
    return {table.name: table for table in separation_tables(collect(logged(*rows)), "mini")}


def seeds(loss: str, values: list[float], benchmark: str = "image", **others: object) -> list[dict]:
    if loss == "infonce":
        others = {"param.loss.temperature": "1.0", **others}
    return [row(benchmark, loss, seed, value, **others) for seed, value in enumerate(values)]


def references(name: str, values: list[float], **others: object) -> list[dict]:
    return seeds(name, values, kind="reference", **others)


def selection(loss: str, values: np.ndarray | list[float], **others: object) -> list[dict]:
    return [
        row("image", loss, seed, None, purpose="selection", **{"val/accuracy": value}, **others)
        for seed, value in zip(SELECTION, values, strict=False)
    ]


def sweep(layout: np.ndarray = LAYOUT, **others: object) -> list[dict]:
    named = zip(TEMPERATURES, layout, strict=True)
    return [one for t, values in named for one in selection(f"infonce@temperature={t}", list(values), **others)]


def shown(table: Table) -> dict[str, list[str]]:
    return {cells[0].text: [cell.text for cell in cells[1:]] for block in table.blocks for _, cells in block.rows}


def test_trained_is_infonce_at_the_validated_temperature_paired_by_seed() -> None:
    trained, untrained = [0.9, 0.8, 0.85, 0.87], [0.2, 0.3, 0.25, 0.21]
    rows = sweep() + seeds("infonce@temperature=0.5", trained) + seeds("infonce", [0.1] * 4)
    table = tables(*rows, *references("untrained", untrained), *references("raw", [0.6]))["references"]
    (first, second) = table.data.to_dict("records")
    interval = stats.ttest_rel(trained, untrained).confidence_interval(0.95)
    assert (first["loss"], first["reference"], first["n"]) == ("infonce@temperature=0.5", "untrained", 4)
    assert (first["mean"], first["low"], first["high"]) == pytest.approx((0.615, interval.low, interval.high))
    assert first["holds"] is True
    assert (second["reference"], second["n"], second["mean"]) == ("raw", 4, pytest.approx(0.255))
    assert "image: raw has one run, which every seed is compared with." in table.notes


def test_where_the_validated_temperature_has_no_evaluation_run_the_host_temperature_is_marked() -> None:
    table = tables(*sweep(), *seeds("infonce", [0.8, 0.9]), *references("untrained", [0.1, 0.1]))["references"]
    assert list(shown(table)) == ["infonce (host τ, not validated) - untrained"]
    assert "image: validation chose infonce@temperature=0.5, which has no evaluation run." in table.notes


def test_runs_at_the_host_temperature_count_as_validated_where_validation_chose_it() -> None:
    rows = sweep(LAYOUT[[0, 2, 1]]) + seeds("infonce", [0.8, 0.9]) + references("untrained", [0.1, 0.1])
    made = tables(*rows)
    assert list(shown(made["references"])) == ["infonce - untrained"]
    assert "image: validation chose the host temperature, 1.0." in made["test"].notes


def test_a_difference_on_the_worse_side_does_not_hold() -> None:
    rows = seeds("infonce", [0.1, 0.11, 0.12]) + references("untrained", [0.5, 0.5, 0.5])
    assert shown(tables(*rows)["references"])["infonce (host τ, not validated) - untrained"][-1] == "no"
    down = [{**one, "goal": "minimise"} for one in rows]
    assert shown(tables(*down)["references"])["infonce (host τ, not validated) - untrained"][-1] == "yes"


def test_no_contrast_is_reported_without_a_verdict() -> None:
    rows = seeds("infonce", [0.5, 0.51]) + references("no_contrast", [0.1, 0.1]) + references("untrained", [0.1, 0.1])
    cells = shown(tables(*rows)["references"])
    assert cells["infonce (host τ, not validated) - no_contrast"][-1] == "—"
    assert cells["infonce (host τ, not validated) - untrained"][-1] == "yes"


def test_the_sweep_is_tested_as_a_randomised_block_design() -> None:
    table = tables(*sweep())["temperature"]
    (figures,) = table.data.to_dict("records")
    expected = block_test(LAYOUT)
    assert (figures["best"], figures["worst"], figures["n"]) == (0.5, 1.0, 3)
    assert (figures["f"], figures["p"], figures["residual_std"]) == pytest.approx(
        (expected.f, expected.p, expected.residual_std)
    )
    gap = LAYOUT[1] - LAYOUT[2]
    assert (figures["mean"], figures["std"]) == pytest.approx((gap.mean(), gap.std(ddof=1)))
    assert figures["holds"] and table.blocks[0].rows[0][1][0].text == "0.5"


def test_of_a_minimised_metric_the_lowest_temperature_is_best() -> None:
    made = tables(*sweep(goal="minimise"), *selection("dystress", [0.55, 0.56, 0.57], goal="minimise"))
    (figures,) = made["temperature"].data.to_dict("records")
    assert (figures["best"], figures["worst"]) == (1.0, 0.5) and figures["mean"] < 0
    assert shown(made["validation"])["dystress"][1] == "2 of 3"


def test_an_incomplete_temperature_is_left_out_and_named() -> None:
    rows = [one for one in sweep() if (one["loss"], one["seed"]) != ("infonce@temperature=1.0", 101)]
    table = tables(*rows)["temperature"]
    (figures,) = table.data.to_dict("records")
    assert (figures["worst"], figures["settings_df"]) == (0.1, 1)
    assert "image: temperature=1.0 left out, selection seeds are missing." in table.notes


def test_losses_stand_beside_the_sweep_with_paired_differences() -> None:
    free = np.array([0.69, 0.65, 0.66])
    table = tables(*sweep(), *selection("temperature_free", free), *seeds("infonce", [0.5]))["validation"]
    assert list(shown(table)) == [*(f"infonce@temperature={t}" for t in TEMPERATURES), "temperature_free"]
    figures = table.data.set_index("loss").loc["temperature_free"]
    assert (figures["beats"], figures["of"]) == (2, 3)
    for what, base in (("best", LAYOUT[1]), ("host", LAYOUT[2]), ("median", np.median(LAYOUT, axis=0))):
        gap = free - base
        found = figures[f"mean_minus_{what}"], figures[f"std_minus_{what}"], figures[f"n_minus_{what}"]
        assert found == pytest.approx((gap.mean(), gap.std(ddof=1), 3))
    own = table.data.set_index("loss").loc["infonce@temperature=0.5"]
    assert (own["beats"], own["of"]) == (2, 2)


def test_a_host_temperature_outside_the_sweep_needs_runs_of_its_own() -> None:
    host = {"param.loss.temperature": "0.4"}
    without = tables(*sweep(), *seeds("infonce", [0.5], **host))["validation"]
    assert "image: no selection run at the host temperature 0.4." in without.notes
    assert shown(without)["infonce@temperature=0.1"][3] == "—"
    own = tables(*sweep(), *selection("infonce", [0.6, 0.6, 0.6], **host))["validation"]
    assert not any("host" in note for note in own.notes)
    assert own.data.set_index("loss")["mean_minus_host"]["infonce@temperature=0.5"] == pytest.approx(0.11)


def test_on_test_losses_are_compared_with_both_temperatures() -> None:
    host, chosen, free = (list(RNG.normal(0.8, 0.01, 5)) for _ in range(3))
    rows = seeds("infonce", host) + seeds("infonce@temperature=0.5", chosen) + seeds("temperature_free", free)
    table = tables(*sweep(), *rows)["test"]
    assert list(shown(table)) == ["infonce", "infonce@temperature=0.5", "temperature_free"]
    figures = table.data.set_index("loss").loc["temperature_free"]
    for what, base in (("host", host), ("validated", chosen)):
        interval = stats.ttest_rel(free, base).confidence_interval(0.95)
        found = figures[f"low_minus_{what}"], figures[f"high_minus_{what}"]
        assert found == pytest.approx((interval.low, interval.high))
    assert shown(table)["infonce"][1:3] == ["—", "—"]


def test_selection_runs_never_enter_test_figures_nor_evaluation_runs_validation() -> None:
    rows = sweep(**{"test/accuracy": 99.0}) + seeds("infonce@temperature=0.5", [0.8, 0.9], **{"val/accuracy": 99.0})
    rows += references("untrained", [0.1, 0.1]) + seeds("dystress", [0.7, 0.7], **{"val/accuracy": 99.0})
    assert not any("99.0" in markdown(table) for table in tables(*rows).values())
    assert "image: no selection run of dystress." in tables(*rows)["validation"].notes


CAMPAIGNS = {
    "one run": seeds("infonce", [0.5]),
    "one seed of everything": seeds("infonce", [0.5])
    + references("untrained", [0.1])
    + [one for one in sweep() if one["seed"] == 100],
    "only references": references("raw", [0.5]) + references("untrained", [0.4]),
    "only a sweep": sweep(),
    "one temperature": selection("infonce@temperature=0.5", [0.5, 0.6, 0.7]),
    "a user's loss": seeds("mine@gain=2", [0.5, 0.6]),
    "a sweep of something else": selection("infonce@gain=2", [0.5, 0.6, 0.7]),
    "no two seeds in common": [*seeds("infonce", [0.5]), row("image", "untrained", 7, 0.1, kind="reference")],
    "equal everywhere": sweep(np.full((3, 3), 0.5)),
    "a failure": [row("image", "infonce", 0, status="FAILED"), *seeds("dystress", [0.1])],
}


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_what_is_missing_is_no_error_and_no_number(name: str) -> None:
    made = tables(*CAMPAIGNS[name])
    assert list(made) == list(SECTIONS)
    for table in made.values():
        text = markdown(table)
        assert "nan" not in text and "inf " not in text and "None" not in text
        assert csv(table)
        assert {len(cells) + 1 for block in table.blocks for _, cells in block.rows} <= {len(table.header)}


def test_what_is_missing_is_said() -> None:
    (notes,) = (made["references"].notes for made in [tables(*CAMPAIGNS["a failure"])])
    assert notes == [
        "image: no temperature sweep with selection seeds, so no validated temperature.",
        "image: no evaluation run of infonce.",
        "image: no run of untrained.",
        "image: no run of raw or popularity.",
        "Runs left out: 1; python -m analysis tables lists them and says why.",
    ]
    one_seed = tables(*CAMPAIGNS["one seed of everything"])
    assert "image: one selection seed, no noise to compare with." in one_seed["temperature"].notes
    assert "image: one temperature, nothing to compare it with." in tables(*CAMPAIGNS["one temperature"])[
        "temperature"
    ].notes  # fmt: skip


def test_the_order_of_the_store_does_not_matter() -> None:
    rows = sweep() + seeds("infonce", [0.5, 0.6]) + references("raw", [0.1]) + selection("dystress", [0.5, 0.6, 0.7])
    rows += seeds("infonce", [0.3, 0.2], benchmark="graph")
    texts = set()
    for _ in range(4):
        RNG.shuffle(rows)
        made = tables(*rows).values()
        texts.add(document(made) + "".join(csv(table) for table in made))
    assert len(texts) == 1


def points(*values: tuple[str, str, float]) -> pd.DataFrame:
    rows = [[run_id, "similarity_positive", point, 0, value] for run_id, point, value in values]
    return pd.DataFrame(rows, columns=["run_id", "quantity", "point", "step", "value"])


def test_what_training_saw_is_a_mean_over_the_runs_of_a_loss() -> None:
    runs = collect(logged(*seeds("infonce", [0.5, 0.5]), *seeds("dystress", [0.5])))
    ids = dict(zip(zip(runs.runs["loss"], runs.runs["seed"], strict=True), runs.runs["run_id"], strict=True))
    first, second, other = ids["infonce", 0], ids["infonce", 1], ids["dystress", 0]
    known = points((first, "first", 0.1), (second, "first", 0.3), (first, "last", 0.9), (other, "last", math.nan))
    (table,) = training_tables(runs, "mini", known)
    assert [(label, cells[0].text) for label, cells in table.blocks[0].rows] == [
        ("infonce (2)", "0.2 → — → 0.9"),
        ("dystress (1)", "—"),
    ]
    assert list(table.data["n"]) == [2, 1]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    for seed in range(3):
        key = write_run(folder, "image", "infonce", seed, test=0.8 + seed / 100, steps=5)
        append(folder, key, metrics_event(4, similarity_positive=math.inf if seed else 0.25))
        write_run(folder, "image", "untrained", seed, kind="reference", test=0.1 + seed / 50, steps=0)
    Mirror(folder, default_uri(folder), "first").push()
    return folder


def test_training_points_are_the_first_middle_and_last_of_what_was_logged(out: Path) -> None:
    stored = load(tracking_uri=default_uri(out))
    found = training_points(stored, collect(stored.runs).runs)
    losses = found[found["quantity"] == "loss"].groupby("run_id")[["point", "step", "value"]]
    assert len(losses) == 3
    for _, three in losses:
        expected = [("first", 0, 1.0), ("middle", 2, 1 / 3), ("last", 4, 0.2)]
        assert [tuple(point) for point in three.to_numpy()] == expected
    similarities = found.loc[found["quantity"] == "similarity_positive", "value"]
    assert sorted(similarities.dropna()) == [0.25] * 3 and similarities.isna().sum() == 6


def test_the_command_writes_the_same_bytes_twice_and_prints_every_section(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    contents = []
    for name in ("a", "b"):
        assert main(["separation", "--tracking-uri", default_uri(out), "--out", str(tmp_path / name)]) == 0
        files = sorted((tmp_path / name).rglob("*.*"))
        contents.append({str(file.relative_to(tmp_path / name)): file.read_bytes() for file in files})
    assert contents[0] == contents[1]
    stems = (*SECTIONS, "training-image")
    kinds = ("md", "tex", "csv", "html")
    assert set(contents[0]) == {"separation.md"} | {f"separation/mini/{s}.{kind}" for s in stems for kind in kinds}
    printed = capsys.readouterr().out
    assert "infonce (host τ, not validated) - untrained" in printed and "+0.6900 ± 0.0100 (3)" in printed
    page = contents[0]["separation.md"].decode()
    assert [line for line in page.splitlines() if line.startswith("### ")] == [f"### {stem}" for stem in stems]


def test_json_for_programs(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["separation", "--tracking-uri", default_uri(out), "--out", str(tmp_path), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out, parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))
    (figures,) = printed["profiles"]["mini"]["tables"]["references"]
    assert (figures["mean"], figures["holds"]) == (pytest.approx(0.69), True)
    assert "image: no run of raw or popularity." in printed["profiles"]["mini"]["notes"]
    assert Path(printed["page"]).exists()
