import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest

from analysis.evidence.gather import Evidence
from analysis.figures.plots import OF_CURVES, OF_RESULTS, Image, begin, tasks, write
from analysis.processes.pool import beside
from analysis.read.logged import Logged
from tests.analysis import evidences, searches
from tests.analysis.evidences import LOSSES, evidence, logged

FIGURES = [*OF_RESULTS, *OF_CURVES]


def searched(found: Evidence) -> Evidence:
    """Return a campaign with searches beside its sweep."""
    return replace(found, searches=searches.evidence().searches)


def images(found: Evidence, runs: Logged) -> list[Image]:
    """Draw in this process."""
    with ThreadPoolExecutor(1) as pool:
        return [drawn.result() for drawn in begin(found, runs, pool)]


@pytest.fixture(scope="module")
def campaign() -> Evidence:
    return searched(evidence())


@pytest.fixture(scope="module")
def points(campaign: Evidence) -> pd.DataFrame:
    return evidences.curves(campaign)


@pytest.fixture(scope="module")
def written(campaign: Evidence, points: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write(images(campaign, logged(campaign, points)), tmp_path_factory.mktemp("plots") / "mini")


def test_every_figure_is_written_as_png_and_svg_with_its_caption(written: list[Path]) -> None:
    expected = [f"{name}.{suffix}" for name in FIGURES for suffix in ("png", "svg")]
    assert [path.name for path in written] == [*expected, "captions.md"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written if path.suffix == ".png")
    captions = written[-1].read_text()
    assert all(f"**{name}**: " in captions for name in FIGURES) and captions.count("seeds") >= len(FIGURES) - 1


def test_the_same_runs_give_the_same_bytes_whatever_the_settings_the_order_of_the_curves_and_the_process(
    campaign: Evidence, points: pd.DataFrame, written: list[Path]
) -> None:
    shuffled = points.sample(frac=1.0, random_state=0)
    with mpl.rc_context({"font.size": 30, "lines.linewidth": 9, "svg.hashsalt": None}):
        again = images(campaign, logged(campaign, shuffled.sort_values(["run_id", "name", "step"])))
    with beside(["analysis.figures.plots"]) as pool:
        elsewhere = [one.result() for one in begin(campaign, logged(campaign, points), pool)]
    assert elsewhere == again
    content = {path.name: path.read_bytes() for path in written}
    for one in again:
        assert (content[f"{one.name}.png"], content[f"{one.name}.svg"]) == (one.png, one.svg), one.name


def test_an_svg_is_well_formed_has_its_words_as_text_and_nothing_of_where_or_when_it_was_made(
    written: list[Path],
) -> None:
    for path in written:
        if path.suffix == ".svg":
            text = path.read_text(encoding="utf-8")
            ElementTree.fromstring(text)
            assert "Matplotlib v" not in text and "<dc:date>" not in text, path.name
    assert all(row in written[1 + 2 * FIGURES.index("curves")].read_text() for row in LOSSES)


def test_a_png_has_a_white_ground_and_names_no_software(written: list[Path]) -> None:
    content = written[0].read_bytes()
    assert b"Software" not in content and b"atplotlib" not in content
    assert mpl.image.imread(written[0])[0, 0].tolist() == [1.0, 1.0, 1.0, 1.0]


def test_what_cannot_be_drawn_is_said_and_the_rest_is_drawn(tmp_path: Path) -> None:
    poor = evidence(["image"], losses=["infonce", "dystress"], claims={}, sweep=False)
    nothing = pd.DataFrame(columns=["run_id", "name", "step", "value"])
    files = write(images(poor, logged(poor, nothing)), tmp_path / "plots")
    assert [path.name for path in files] == [
        *(f"{name}.{kind}" for name in ("scores", "differences", "pairs", "cost") for kind in ("png", "svg")),
        "captions.md",
    ]
    captions = files[-1].read_text()
    assert "**histograms**: not drawn. No run logged histograms" in captions
    assert "**ranks**: not drawn. Ranks need at least 3 rows" in captions


def test_an_unknown_loss_and_eight_benchmarks_are_drawn() -> None:
    many = searched(evidence([f"benchmark_{i}" for i in range(8)], losses=[*LOSSES, "somebody_s_loss"], seeds=range(2)))
    todo = tasks(many, logged(many, evidences.curves(many)))
    assert {name: len(draw().figure.axes) for name, draw in todo.items()} == {
        "forest": 1, "margins": 1, "scores": 8, "differences": 8, "pairs": 9, "cost": 8, "length": 8,
        "budget": 2, "temperature": 8, "ranks": 1, "profiles": 1, "curves": 24, "histograms": 8, "geometry": 16,
    }  # fmt: skip
