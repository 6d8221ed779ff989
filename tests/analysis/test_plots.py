import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.collect import collect
from analysis.plots import temperature_figure, write_figures
from tests.analysis.frames import logged, row


def run(loss: str, seed: int, purpose: str, val: float) -> dict[str, Any]:
    return row("image", loss, seed, purpose=purpose, **{"val/accuracy": val})


def sweep() -> pd.DataFrame:
    members = [
        run(f"infonce@temperature={tau}", seed, "selection", 0.8 - abs(tau - 0.2) / 10 + seed / 1e4)
        for tau in (0.1, 0.2, 0.5)
        for seed in (100, 101)
    ]
    levels = [run("temperature_free", seed, "selection", 0.79) for seed in (100, 101)]
    return logged(*members, *levels, run("temperature_free", 0, "evaluation", 0.1))


def test_the_curve_holds_the_means_over_the_selection_seeds_and_the_level_those_of_the_same_seeds() -> None:
    figure = temperature_figure(collect(sweep()))
    assert figure is not None
    (axis,) = figure.axes
    curve = axis.lines[0]
    assert list(curve.get_xdata()) == [0.1, 0.2, 0.5]
    assert list(curve.get_ydata()) == pytest.approx([0.79 + 0.01005, 0.8 + 0.01005, 0.77 + 0.01005])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["infonce", "temperature_free"]
    level = next(line for line in axis.lines if line.get_label() == "temperature_free")
    assert list(level.get_ydata()) == pytest.approx([0.79, 0.79])
    assert "2 selection seeds" in axis.get_xlabel()


def test_without_a_sweep_there_is_no_figure(tmp_path: Path) -> None:
    runs = sweep()
    assert write_figures(collect(runs[runs["loss"] == "temperature_free"]), tmp_path / "plots") == []
    assert not (tmp_path / "plots").exists()


def test_the_same_runs_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_figures(collect(sweep()), tmp_path / name) for name in ("a", "b"))
    assert [path.name for path in first] == ["temperature.png", "temperature.svg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    ElementTree.parse(first[1])
