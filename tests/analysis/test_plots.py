import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest

from analysis.cli.main import make_parser
from analysis.evidence.gather import Evidence
from analysis.evidence.series import DRAWN
from analysis.figures import plots
from analysis.figures.image import FOR_PAPERS, OF_RESULTS, Image, begin, subjects, write
from analysis.processes.pool import beside
from analysis.read.logged import Logged
from tests.analysis import evidences, searches
from tests.analysis.evidences import LOSSES, evidence, logged
from tests.cluster import environment

FIGURES = [*OF_RESULTS, *DRAWN]


def searched(found: Evidence) -> Evidence:
    """Return a campaign with searches beside its sweep."""
    return replace(found, searches=searches.evidence().searches)


def images(found: Evidence, runs: Logged) -> list[Image]:
    """Draw in this process."""
    with ThreadPoolExecutor(1) as pool:
        return [drawn.result() for drawn in begin(found, runs, pool, FOR_PAPERS)]


@pytest.fixture(scope="module")
def campaign() -> Evidence:
    return searched(evidence())


@pytest.fixture(scope="module")
def points(campaign: Evidence) -> pd.DataFrame:
    return evidences.curves(campaign)


@pytest.fixture(scope="module")
def written(campaign: Evidence, points: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write(images(campaign, logged(campaign, points)), tmp_path_factory.mktemp("plots") / "mini")


def test_what_is_sent_is_what_can_be_drawn_and_the_command_itself_does_without_matplotlib() -> None:
    assert list(plots.OF_RESULTS) == list(OF_RESULTS) and list(plots.OF_CURVES) == list(DRAWN)
    assert make_parser().parse_args(["plots"]).formats == FOR_PAPERS == tuple(plots.METADATA)
    code = "import sys, analysis.report.everything; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=environment(is_forked=False)).returncode == 0


def test_every_figure_is_written_as_svg_pdf_and_png_with_its_caption(written: list[Path]) -> None:
    expected = [f"{name}.{suffix}" for name in FIGURES for suffix in FOR_PAPERS]
    assert [path.name for path in written] == [*expected, "captions.md"]
    begin_with = {".svg": b"<?xml", ".pdf": b"%PDF", ".png": b"\x89PNG"}
    assert all(path.read_bytes().startswith(begin_with[path.suffix]) for path in written[:-1])
    captions = written[-1].read_text()
    assert all(f"**{name}**: " in captions for name in FIGURES) and captions.count("seeds") >= len(FIGURES) - 1


def test_the_same_runs_give_the_same_bytes_whatever_the_settings_the_order_of_the_curves_and_the_process(
    campaign: Evidence, points: pd.DataFrame, written: list[Path]
) -> None:
    shuffled = points.sample(frac=1.0, random_state=0)
    with mpl.rc_context({"font.size": 30, "lines.linewidth": 9, "svg.hashsalt": None}):
        again = images(campaign, logged(campaign, shuffled.sort_values(["run_id", "name", "step"])))
    with beside(["analysis.figures.plots"]) as pool:
        elsewhere = [one.result() for one in begin(campaign, logged(campaign, points), pool, FOR_PAPERS)]
    assert elsewhere == again
    content = {path.name: path.read_bytes() for path in written}
    for one in again:
        assert {suffix: content[f"{one.name}.{suffix}"] for suffix in FOR_PAPERS} == one.files, one.name


def test_an_svg_is_well_formed_has_its_words_as_text_and_nothing_of_where_or_when_it_was_made(
    written: list[Path],
) -> None:
    for path in written:
        if path.suffix == ".svg":
            text = path.read_text(encoding="utf-8")
            ElementTree.fromstring(text)
            assert "Matplotlib v" not in text and "<dc:date>" not in text, path.name
    assert all(row in written[len(FOR_PAPERS) * FIGURES.index("curves")].read_text() for row in LOSSES)


def test_a_png_has_a_white_ground_and_names_no_software(written: list[Path]) -> None:
    (png,) = (path for path in written if path.name == "forest.png")
    content = png.read_bytes()
    assert b"Software" not in content and b"atplotlib" not in content
    assert mpl.image.imread(png)[0, 0].tolist() == [1.0, 1.0, 1.0, 1.0]


def test_a_pdf_has_fonts_that_publishers_take_and_nothing_of_when_it_was_made(written: list[Path]) -> None:
    for path in written:
        if path.suffix == ".pdf":
            content = path.read_bytes()
            assert b"/Type3" not in content and b"/FontFile2" in content, path.name
            assert not any(word in content for word in (b"CreationDate", b"Producer", b"Creator")), path.name


def test_what_cannot_be_drawn_is_said_and_the_rest_is_drawn(tmp_path: Path) -> None:
    poor = evidence(["image"], losses=["infonce", "dystress"], claims={}, sweep=False)
    nothing = pd.DataFrame(columns=["run_id", "name", "step", "value"])
    files = write(images(poor, logged(poor, nothing)), tmp_path / "plots")
    assert [path.name for path in files] == [
        *(f"{name}.{kind}" for name in ("scores", "differences", "pairs", "cost") for kind in FOR_PAPERS),
        "captions.md",
    ]
    captions = files[-1].read_text()
    assert "**histograms**: not drawn. No run logged histograms" in captions
    assert "**ranks**: not drawn. Ranks need at least 3 rows" in captions


def test_an_unknown_loss_and_eight_benchmarks_are_drawn() -> None:
    many = searched(evidence([f"benchmark_{i}" for i in range(8)], losses=[*LOSSES, "somebody_s_loss"], seeds=range(2)))
    todo = subjects(many, logged(many, evidences.curves(many)))
    assert {one.name: len(plots.drawing(one).figure.axes) for one in todo} == {
        "forest": 1, "margins": 1, "scores": 8, "differences": 8, "pairs": 9, "cost": 8, "length": 8,
        "budget": 2, "temperature": 8, "ranks": 1, "profiles": 1, "curves": 24, "histograms": 8, "geometry": 16,
    }  # fmt: skip
