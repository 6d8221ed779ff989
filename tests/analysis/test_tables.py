import csv as csv_module
import io
import math
import sys

import numpy as np
import pandas as pd
import pytest
from rich.cells import cell_len
from rich.text import Text

from analysis.evidence.gather import Evidence, gather
from analysis.read.collect import collect
from analysis.report import words
from analysis.tables.main import main_table
from analysis.tables.render import csv, escape_latex, latex, markdown, show
from analysis.tables.sweeps import selection_table, sweep_table
from analysis.tables.table import Table
from analysis.tables.tables import all_tables
from analysis.tables.verdict_text import lines
from suite.registry.claims import Claim, Declared
from tests.analysis.frames import logged, row

RNG = np.random.default_rng(0)


def evidence(*rows: dict) -> Evidence:
    return gather(collect(logged(*rows)), Declared(), "mini")


def overview(runs: pd.DataFrame, profile: str) -> Table:
    return main_table(gather(collect(runs, profile), Declared(), profile))


def named(name: str, *rows: dict) -> Table:
    return next(table for table in all_tables(evidence(*rows)) if table.name == name)


def cells(table: Table) -> dict[str, list[str]]:
    return {label: [cell.text for cell in line] for block in table.blocks for label, line in block.rows}


def bold(table: Table) -> list[str]:
    return [label for block in table.blocks for label, line in block.rows if any(cell.bold for cell in line)]


def seeds(benchmark: str, loss: str, values: list[float], **others: object) -> list[dict]:
    return [row(benchmark, loss, seed, value, **others) for seed, value in enumerate(values)]


def test_mean_and_standard_deviation_are_those_of_numpy() -> None:
    values = list(RNG.normal(0.8, 0.05, 7))
    table = overview(logged(*seeds("image", "infonce", values)), "mini")
    assert cells(table)["infonce"] == [f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f} (7)"]
    (figures,) = csv_module.DictReader(io.StringIO(csv(table)))
    assert float(figures["mean"]) == pytest.approx(np.mean(values), abs=1e-15)
    assert float(figures["std"]) == pytest.approx(np.std(values, ddof=1), abs=1e-15)


def test_missing_incomplete_and_single_cells() -> None:
    rows = seeds("image", "infonce", [0.5, 0.6, 0.7]) + seeds("image", "dystress", [0.5, 0.6])
    rows += seeds("graph", "dystress", [0.25])
    assert cells(overview(logged(*rows), "mini")) == {
        "infonce": ["—", "0.6000 ± 0.1000 (3)"],
        "dystress": ["0.2500 (1)", "0.5500 ± 0.0707 (2 of 3)"],
    }


def test_order_and_blocks() -> None:
    rows = [row("image", name, 0) for name in ("temperature_free", "dystress", "infonce")]
    rows += [row("image", name, 0, kind="reference") for name in ("zeta", "supervised", "untrained", "chance", "raw")]
    losses, references = overview(logged(*rows), "mini").blocks
    assert [label for label, _ in losses.rows] == ["infonce", "dystress", "temperature_free"]
    assert [label for label, _ in references.rows] == ["chance", "raw", "untrained", "supervised", "zeta"]


def test_best_loss_is_bold_and_references_never_are() -> None:
    rows = [row("image", "infonce", 0, 0.5), row("image", "dystress", 0, 0.6)]
    rows += [row("image", "supervised", 0, 0.9, kind="reference")]
    assert bold(overview(logged(*rows), "mini")) == ["dystress"]


def test_best_of_a_minimised_metric() -> None:
    rows = [row("image", name, 0, value, goal="minimise") for name, value in (("infonce", 0.5), ("dystress", 0.6))]
    table = overview(logged(*rows), "mini")
    assert bold(table) == ["infonce"] and table.header == ["", "image: accuracy ↓"]


@pytest.mark.parametrize(("other", "shared"), [(0.50004, True), (0.5002, False)])
def test_with_one_seed_those_that_print_alike_share_bold(other: float, shared: bool) -> None:
    rows = [row("image", "infonce", 0, 0.5), row("image", "dystress", 0, other)]
    assert bold(overview(logged(*rows), "mini")) == (["infonce", "dystress"] if shared else ["dystress"])


def test_what_a_paired_test_does_not_tell_from_the_best_shares_bold() -> None:
    best = RNG.normal(0.8, 0.05, 6)
    rows = seeds("image", "infonce", list(best)) + seeds("image", "macl", list(best - 0.02 + RNG.normal(0, 0.001, 6)))
    rows += seeds("image", "dystress", list(best - 0.001 + 0.003 * np.array([1, -1, 1, -1, 1, -1])))
    assert bold(overview(logged(*rows), "mini")) == ["infonce", "dystress"]


def test_marks_say_what_differs_from_the_baseline_after_correction() -> None:
    base = RNG.normal(0.8, 0.05, 6)
    rows = seeds("image", "infonce", list(base)) + seeds("image", "siglip", list(base + RNG.normal(0, 0.01, 6)))
    rows += seeds("image", "dcl", list(base + 0.05 + RNG.normal(0, 0.001, 6)))
    rows += seeds("image", "macl", list(base - 0.05 + RNG.normal(0, 0.001, 6)))
    table = overview(logged(*rows), "mini")
    ends = {label: line[0][-1] for label, line in cells(table).items()}
    assert ends == {"infonce": ")", "siglip": ")", "dcl": "⁺", "macl": "⁻"}
    assert "⁺ ⁻ better or worse than infonce" in table.caption and "over the benchmarks of the row" in " ".join(
        table.caption.split()
    )
    minimised = overview(logged(*({**one, "goal": "minimise"} for one in rows)), "mini")
    assert {label: line[0][-1] for label, line in cells(minimised).items()} == {**ends, "dcl": "⁻", "macl": "⁺"}


def test_the_half_interval_may_stand_for_the_standard_deviation() -> None:
    values = [0.5, 0.6, 0.7]
    table = main_table(evidence(*seeds("image", "infonce", values)), spread="interval")
    half = 4.302652729911275 * 0.1 / math.sqrt(3)  # t(.975; 2)
    assert cells(table)["infonce"] == [f"0.6000 ± {half:.4f} (3)"] and "95 % t-interval" in table.caption


def test_decimals_follow_the_scale_of_the_column() -> None:
    rows = [row("a", "infonce", 0, 0.0612345), row("b", "infonce", 0, 83.456), row("c", "infonce", 0, 0.0)]
    assert cells(overview(logged(*rows), "mini"))["infonce"] == ["0.06123 (1)", "83.46 (1)", "0.0000 (1)"]


def test_what_decimals_would_hide_or_spell_out_is_printed_scientifically() -> None:
    edges = {3e-10: "3.000e-10", 1e-5: "0.00001000", 9e5: "900000.0", 2.3e12: "2.300e+12"}
    rows = [row(f"b{place}", "infonce", 0, value) for place, value in enumerate(edges)]
    assert cells(overview(logged(*rows), "mini"))["infonce"] == [f"{text} (1)" for text in edges.values()]


@pytest.mark.parametrize(
    ("scale", "said"),
    [
        (3e-8, "+6.00e-10 [+3.99e-10, +8.01e-10]"),
        (1.0, "+0.0200 [+0.0133, +0.0267]"),
        (1e9, "+2.00e+07 [+1.33e+07, +2.67e+07]"),
    ],
)
def test_a_difference_is_printed_at_any_scale(scale: float, said: str) -> None:
    spread = (-0.007, -0.003, 0.0, 0.003, 0.007)
    rows = [row("a", "infonce", seed, 0.7 * scale, margin=0.01 * scale) for seed in range(5)]
    rows += [row("a", "x", seed, (0.72 + spread[seed]) * scale, margin=0.01 * scale) for seed in range(5)]
    declared = Declared("infonce", {"x": Claim("x", "better", "infonce")})
    found = gather(collect(logged(*rows)), declared, "mini")
    assert said in list(lines(found))[-1]
    comparison = found.verdicts[1].comparison
    assert comparison is not None and words.difference_of(comparison) == said.replace("-", words.MINUS)


def sweep() -> list[dict]:
    selection = [
        row("image", f"infonce@temperature={t}", seed, None, purpose="selection", **{"val/accuracy": t})
        for t in (0.1, 0.2)
        for seed in (10, 11)
    ]
    evaluation = [row("image", f"infonce@temperature={t}", s, 1 - t) for t in (0.1, 0.2) for s in range(3)]
    return selection + evaluation


def test_a_sweep_has_the_declared_the_validated_and_the_middle_member() -> None:
    selection = [
        row("image", f"infonce@temperature={t}", seed, None, purpose="selection", **{"val/accuracy": v})
        for t, v in (("0.1", 0.1), ("0.2", 0.9), ("0.5", 0.5), ("1.0", 0.6))
        for seed in (10, 11)
    ]
    tested = {"0.1": 0.9, "0.2": 0.3, "0.5": 0.4, "1.0": 0.6}
    members = [row("image", f"infonce@temperature={t}", s, value) for t, value in tested.items() for s in range(3)]
    table = overview(logged(*selection, *members, *seeds("image", "infonce", [0.8] * 3)), "mini")
    assert cells(table) == {
        "infonce (tau declared)": ["0.8000 ± 0.0000 (3)"],
        "infonce (tau validated)": ["0.3000 ± 0.0000 (3)"],
        "infonce (tau median)": ["0.6000 ± 0.0000 (3)"],  # ranked 0.2, 1.0, 0.5, 0.1: of two, the better one
    }
    assert "infonce (tau validated): image 0.2; chosen on validation, 8 training runs." in table.notes


def test_runs_at_the_declared_value_stand_for_the_chosen_member_where_it_is_the_same() -> None:
    selection = [one for one in sweep() if one["purpose"] == "selection"]
    host = [row("image", "infonce", seed, 0.7, **{"param.loss.temperature": "0.2"}) for seed in range(3)]
    found = cells(overview(logged(*selection, *host), "mini"))
    assert found["infonce (tau validated)"] == found["infonce (tau declared)"] == ["0.7000 ± 0.0000 (3)"]
    other = [{**one, "param.loss.temperature": "0.5"} for one in host]
    assert list(cells(overview(logged(*selection, *other), "mini"))) == ["infonce (tau declared)"]


def test_values_chosen_differently_are_named_in_a_note() -> None:
    elsewhere = [{**one, "benchmark": "graph", "val/accuracy": 1 - one["val/accuracy"]} for one in sweep()]
    table = overview(logged(*sweep(), *elsewhere), "mini")
    assert "infonce (tau validated): graph 0.1, image 0.2; chosen on validation, 8 training runs." in table.notes


def test_choice_without_evaluation_runs_is_said_with_the_command_that_makes_them() -> None:
    rows = [one for one in sweep() if one["purpose"] == "selection"] + seeds("image", "dystress", [0.5])
    table = overview(logged(*rows), "mini")
    assert list(cells(table)) == ["dystress"]
    assert "image: validation chose infonce@temperature=0.2, which has no evaluation run yet." in table.notes
    command = "python -m suite run --benchmarks image --losses infonce@temperature=0.2 --profile mini"
    assert f"To be run: {command}" in named("selection", *rows).notes


def test_sweep_table() -> None:
    table = sweep_table(evidence(*sweep()), "infonce")
    assert table.header == ["", "image: val accuracy ↑", "image: test accuracy ↑"]
    assert [(label, [(cell.text, cell.bold) for cell in line]) for label, line in table.blocks[0].rows] == [
        ("temperature=0.1", [("0.1000 ± 0.0000 (2)", False), ("0.9000 ± 0.0000 (3)", False)]),
        ("temperature=0.2", [("0.2000 ± 0.0000 (2)", True), ("0.8000 ± 0.0000 (3)", False)]),
    ]


def test_an_ablation_is_completed_by_the_loss_as_declared_and_has_no_empty_column() -> None:
    rows = [row("image", f"temperature_free@scale={x}", s, 0.4) for x in ("1.0", "2.0") for s in range(2) if x != "2.0"]
    rows += [row("image", "temperature_free@scale=2.0", 9, 0.1, status="FAILED")]
    rows += [row("image", "temperature_free", s, 0.7, **{"param.loss.scale": "2.0"}) for s in range(2)]
    rows += [row("image", "temperature_free@scale=2.0", 5, None, purpose="evaluation", status="KILLED")]
    rows += [row("graph", "temperature_free@scale=2.0", 0, 0.3)]
    table = sweep_table(evidence(*rows), "temperature_free")
    assert table.header == ["", "graph: test accuracy ↑", "image: test accuracy ↑"]
    assert cells(table)["scale=2.0"] == ["0.3000 (1)", "0.7000 ± 0.0000 (2)"]
    assert "Nothing was chosen" in table.notes[0]


def test_the_selection_table_says_what_choosing_cost() -> None:
    host = [row("image", "infonce", 0, 0.7, **{"param.loss.temperature": "0.1"})]
    table = selection_table(evidence(*sweep(), *host))
    assert table is not None
    assert cells(table) == {
        "image: infonce (tau declared)": ["0.1", "0.1000", "2", "2", "0", "0.0"],
        "image: infonce (tau validated)": ["0.2", "0.2000", "2", "2", "4", "0.0"],
        "image: infonce (tau median)": ["0.2", "0.2000", "2", "2", "4", "0.0"],
    }
    assert selection_table(evidence(*seeds("image", "infonce", [0.5]))) is None


def test_benchmark_table_has_secondary_metrics_and_seconds() -> None:
    rows = [
        row("image", "infonce", s, 0.5, **{"test/b10": 0.1 * s, "test/b9": 0.2, "seconds/training": s}) for s in (1, 3)
    ]
    rows += [row("graph", "infonce", 0, **{"test/other": 1.0})]
    table = named("benchmark-image", *rows)
    assert table.header == ["", "accuracy", "b9", "b10", "training [s]"]
    expected = ["0.5000 ± 0.0000 (2)", "0.2000 ± 0.0000 (2)", "0.2000 ± 0.1414 (2)", "2.0"]
    assert cells(table)["infonce"] == expected


@pytest.mark.parametrize(
    ("goal", "said"),
    [
        ("maximise", "better than no_contrast, not significantly: accuracy +0.0333 [-0.1101, +0.1768], n = 3."),
        ("minimise", "worse than no_contrast, not significantly: accuracy +0.0333 [-0.1101, +0.1768], n = 3."),
    ],
)
def test_contrast_against_no_contrast_is_paired_by_seed(goal: str, said: str) -> None:
    rows = seeds("recommendation", "infonce", [0.5, 0.6, 0.8, 0.1], goal=goal)
    rows += seeds("recommendation", "no_contrast", [0.5, 0.6, 0.7], kind="reference", goal=goal)
    notes = overview(logged(*rows, row("image", "infonce", 0)), "mini").notes
    assert notes == [f"recommendation: infonce is on average {said}"]


def test_level_with_no_contrast_and_no_common_seed() -> None:
    rows = [
        row("r", "infonce", 0, 0.5),
        row("r", "dystress", 9, 0.5),
        row("r", "no_contrast", 0, 0.5, kind="reference"),
    ]
    assert overview(logged(*rows), "mini").notes == [
        "r: infonce is on average level with no_contrast (one seed): accuracy +0.0000, n = 1.",
        "r: dystress and no_contrast share no seed.",
    ]


def test_left_out_runs_are_under_the_table_and_in_their_own() -> None:
    rows = seeds("image", "infonce", [0.5]) + [row("image", "dystress", s, status="KILLED") for s in range(12)]
    tables = all_tables(evidence(*rows))
    assert "Left out: image/dystress/seed0 (evaluation): ended before it was done." in tables[0].notes
    assert tables[0].notes[-1] == "2 more runs are left out, see left-out.csv."
    assert len(tables[-1].blocks[0].rows) == 12 and csv(tables[-1]).count("\n") == 13


HOSTILE = r"a_b&c%d$e#f{g}h~i^j\k<l>m|n*o"


def test_latex_escapes_everything() -> None:
    assert escape_latex(HOSTILE) == (
        r"a\_b\&c\%d\$e\#f\{g\}h\textasciitilde{}i\textasciicircum{}j\textbackslash{}k\textless{}l\textgreater{}m"
        r"\textbar{}n*o"
    )
    text = latex(overview(logged(row(HOSTILE, HOSTILE, 0, metric="a_b")), "mini"))
    assert escape_latex(HOSTILE) + " & \\textbf{" in text and HOSTILE not in text
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1 and r"\begin{tabular}{lc}" in text


def test_markdown_columns_survive_hostile_names() -> None:
    text = markdown(overview(logged(row(HOSTILE, HOSTILE, 0)), "mini"))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in lines} == {3}
    assert "**0.5000 (1)**" in text


def test_every_format_shows_the_same_figures(capsys: pytest.CaptureFixture[str]) -> None:
    table = overview(logged(*seeds("image", "infonce", [0.5, 0.7])), "mini")
    show(table)
    assert "0.6000 ± 0.1414 (2)" in capsys.readouterr().out and "0.6000 ± 0.1414 (2)" in markdown(table)
    assert r"0.6000 $\pm$ 0.1414 (2)" in latex(table)


@pytest.mark.parametrize("columns", ["20", "80", "300"])
def test_no_number_is_broken_however_narrow_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    values = {loss: list(RNG.normal(size=5)) for loss in ("infonce", "dystress")}
    table = named("significance", *(one for loss in values for one in seeds("image", loss, values[loss])))
    show(table)
    lines = [[cell.strip() for cell in line.split("│")] for line in capsys.readouterr().out.splitlines()]
    for block in table.blocks:
        for label, found in block.rows:
            assert ["", label, *(cell.text for cell in found), ""] in lines


@pytest.mark.parametrize("columns", [80, 120])
def test_thirty_losses_on_twenty_benchmarks_stand_in_parts_that_fit_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    losses = [HOSTILE, "n" * 60, "对比损失函数的名字", *(f"loss_{i}" for i in range(27))]
    benchmarks = ["b" * 60, *(f"benchmark_{i}" for i in range(19))]
    table = overview(
        logged(*(one for at in benchmarks for loss in losses for one in seeds(at, loss, [0.5, 0.7]))), "mini"
    )
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    show(table)
    out = Text.from_ansi(capsys.readouterr().out).plain
    printed = [line for line in out.splitlines() if line and line[0] in "┏┃┡│├└"]
    assert max(map(cell_len, printed)) <= columns
    parts = sum(line.startswith("┏") for line in printed)
    found = [[cell.strip() for cell in line.strip("│").split("│")] for line in printed if line.startswith("│")]
    of_first = [cells[1:] for cells in found if cells[0] == "loss_0"]
    assert len(of_first) == parts > 1
    assert [cell for cells in of_first for cell in cells] == [
        cell.text for cell in dict(table.blocks[0].rows)["loss_0"]
    ]


def test_the_order_of_the_store_does_not_matter() -> None:
    rows = sweep() + seeds("image", "dystress", list(RNG.normal(0.5, 0.1, 5)))
    rows += [row("image", "raw", 0, kind="reference"), row("graph", "infonce", 0, status="FAILED", failure="x")]
    texts = set()
    for _ in range(5):
        RNG.shuffle(rows)
        tables = all_tables(evidence(*rows))
        texts.add("".join(write(table) for table in tables for write in (markdown, latex, csv)))
    assert len(texts) == 1


def test_no_losses_only_references() -> None:
    table = overview(logged(row("image", "raw", 0, 0.5, kind="reference")), "mini")
    assert cells(table) == {"raw": ["0.5000 (1)"]} and not bold(table) and math.isnan(table.data["std"][0])
