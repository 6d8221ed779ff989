import json
import math
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.cli.main import main
from analysis.explorer.figures import gradients_figure, maps_figure
from analysis.explorer.losses import ANGLES, HEADLINE, Scene, curves, key_numbers, named
from analysis.explorer.table import markdown, public_losses
from suite.losses import DySTreSS, InfoNCE, Loss, TemperatureFree
from suite.problems import InputError
from tests.cluster import environment

ROOT = Path(__file__).parents[2]
SCENE = Scene(positive=0.7, hardest=0.4, others=30)
FEW = [math.radians(degree) for degree in (5.0, 40.0, 85.0)]


def gradients(loss: Loss, angles: list[float]) -> pd.DataFrame:
    return curves({"loss": loss}, angles, SCENE)


@pytest.mark.parametrize("tau", [0.05, 0.5])
def test_the_gradients_of_infonce_are_those_of_the_cross_entropy(tau: float) -> None:
    for _, row in gradients(InfoNCE(tau).double(), FEW).iterrows():
        s = row["similarity"]
        odds = SCENE.others + math.exp(SCENE.hardest / tau)
        share = math.exp(s / tau) / (math.exp(s / tau) + odds)
        assert row["positive_by_similarity"] == pytest.approx((share - 1) / tau, rel=1e-12)
        assert row["positive_by_angle"] == pytest.approx((1 - share) * math.sin(row["angle"]) / tau, rel=1e-12)
        share = math.exp(s / tau) / (math.exp(s / tau) + SCENE.others + math.exp(SCENE.positive / tau))
        assert row["negative_by_similarity"] == pytest.approx(share / tau, rel=1e-12)
        assert row["negative_by_angle"] == pytest.approx(-share * math.sin(row["angle"]) / tau, rel=1e-12)


def test_the_temperature_free_gradient_at_alignment_vanishes_by_the_angle_but_not_by_the_cosine() -> None:
    angle = 0.002  # not yet clamped
    (row,) = gradients(TemperatureFree().double(), [angle]).to_dict("records")
    odds = SCENE.others + (1 + SCENE.hardest) / (1 - SCENE.hardest)
    assert row["positive_by_similarity"] == pytest.approx(-odds / 2, rel=1e-4)
    assert row["positive_by_angle"] == pytest.approx(odds * angle / 2, rel=1e-4)
    clamped = gradients(TemperatureFree().double(), [0.001]).iloc[0]
    assert clamped["positive_by_similarity"] == clamped["positive_by_angle"] == 0.0


@pytest.mark.parametrize(
    ("s", "logit", "secant", "local"),
    [
        (0.1, 0.201, 0.498, 0.495),
        (0.5, 1.099, 0.455, 0.375),
        (0.7, 1.735, 0.404, 0.255),
        (0.9, 2.944, 0.306, 0.095),
        (0.99, 5.293, 0.187, 0.010),
    ],
)
def test_the_effective_temperatures_of_the_temperature_free_loss_are_the_known_ones(
    s: float, logit: float, secant: float, local: float
) -> None:
    row = curves({"free": TemperatureFree()}, [math.acos(s)]).iloc[0]
    shown = [row["logit"], row["secant_temperature"], row["local_temperature"]]
    assert shown == pytest.approx([logit, secant, local], abs=5.1e-4)


def test_dystress_with_one_temperature_is_infonce() -> None:
    pd.testing.assert_frame_equal(gradients(DySTreSS(0.1, 0.1), FEW), gradients(InfoNCE(0.1), FEW), rtol=1e-12)


def test_the_local_temperature_is_that_of_the_gradient_as_it_is_passed_on() -> None:
    detached, attached = DySTreSS(), DySTreSS(form="dcl")
    angle = math.acos(0.5)  # tau(0.5) = 0.135 and tau'(0.5) = 0.065 pi
    first, second = (curves({"loss": loss}, [angle]).iloc[0] for loss in (detached, attached))
    assert first["secant_temperature"] == pytest.approx(0.135) == second["secant_temperature"]
    assert first["local_temperature"] == pytest.approx(0.135)
    assert second["local_temperature"] == pytest.approx(0.135**2 / (0.135 - 0.5 * 0.065 * math.pi))


def test_a_constant_added_to_the_logits_changes_no_temperature() -> None:
    class Shifted(InfoNCE):
        def logits(self, similarity):  # type: ignore[no-untyped-def]
            return super().logits(similarity) + 3.0

    row = curves({"shifted": Shifted(0.2)}, [1.0]).iloc[0]
    assert [row["secant_temperature"], row["local_temperature"]] == pytest.approx([0.2, 0.2])


def named_in_full(cls: type[Loss]) -> str:
    return f"suite.losses.{cls.__name__}" + ("@temperature=0.1" if cls is InfoNCE else "")


@pytest.mark.parametrize("cls", public_losses(), ids=lambda cls: cls.__name__)
def test_every_loss_of_the_suite_can_be_explored(cls: type[Loss]) -> None:
    frame = curves(named([named_in_full(cls)]), FEW, SCENE)
    for role in ("positive", "negative"):
        by_similarity, by_angle = frame[f"{role}_by_similarity"], frame[f"{role}_by_angle"]
        push = by_similarity * (-1 if role == "positive" else 1)
        # where its positives coincide, PPS is at its least temperature, and its push below the least of floats
        assert (push >= 0).all() and (push[1:] > 0).all() and (push[0] > 0 or cls.__name__ == "PPS")
        np.testing.assert_allclose(by_angle, -np.sin(frame["angle"]) * by_similarity, rtol=1e-12)


def test_gradients_end_where_the_hardest_negative_would_not_be_the_hardest() -> None:
    frame = curves({"loss": InfoNCE(0.5)})
    assert len(frame) == len(ANGLES)
    assert (frame["positive_by_angle"].isna() == (frame["similarity"] < 0)).all()
    assert frame["logit"].notna().all()


def test_where_a_loss_is_not_defined_its_curve_is_empty() -> None:
    losses = named(["suite.losses.MACL@alpha=2@threshold=0.8"])  # tau > 0 only where the alignment exceeds 0.3
    frame = curves(losses, [math.acos(0.29), math.acos(0.31)])
    assert list(frame["positive_by_angle"].isna()) == [True, False]
    assert frame["logit"].isna().all()


def test_losses_are_labelled_by_what_is_not_default() -> None:
    names = ["infonce@temperature=0.1", "suite.losses.InfoNCE@temperature=0.1", "dystress", "temperature_free@scale=4"]
    losses = named([",".join(names[:2]), *names[2:]], ROOT / "benchmarks.yaml")
    assert list(losses) == ["InfoNCE(temperature=0.1)", "DySTreSS", "TemperatureFree(scale=4.0)"]


def test_all_that_is_wrong_with_names_is_told_at_once() -> None:
    wrong = ["infonc", "suite.losses.InfoNCE@temperatur=1", "suite.losses.DySTreSS@tau_min=0.5", "json.JSONDecoder"]
    with pytest.raises(InputError) as raised:
        named([*wrong, "suite.losses.TemperatureFree"], ROOT / "benchmarks.yaml")
    report = raised.value.report()
    assert "did you mean 'infonce'?" in report and "did you mean 'temperature'?" in report
    assert "tau_min must not exceed tau_max" in report and "json.JSONDecoder" in report


def test_the_key_numbers_are_points_of_the_curves() -> None:
    losses = named(HEADLINE[2:4])
    numbers = key_numbers(losses).set_index("loss")
    frame = curves(losses, [math.acos(0.999)]).set_index("loss")
    for column in ("positive_by_similarity", "positive_by_angle", "negative_by_similarity", "negative_by_angle"):
        assert list(numbers[f"{column}_0.999"]) == list(frame[column])
    assert numbers.loc["TemperatureFree", "logit_0.5"] == pytest.approx(math.log(3))
    assert numbers.loc["DySTreSS", "local_temperature_0"] == pytest.approx(0.07)


def test_panels_name_their_variable_and_say_how_far_a_curve_leaves_them() -> None:
    losses = named(HEADLINE)
    frame = curves(losses)
    figure = gradients_figure(frame)
    for axis, variable in zip(figure.axes, ("cosine", "angle", "cosine", "angle"), strict=True):
        assert axis.get_xlabel().startswith(variable) and f"by its {variable}" in axis.get_title()
        assert "254 negatives at" in axis.get_title()
    notes = [[text.get_text() for text in axis.texts] for axis in figure.axes]
    largest = frame["positive_by_similarity"].min()
    assert notes[0] == [f"up to {-largest:.4g} at 0.9999985"] and notes[1] == []
    curve = figure.axes[1].lines[2]
    aligned = np.argmin(curve.get_xdata())
    assert curve.get_ydata()[aligned] == frame.loc[frame["loss"] == "TemperatureFree", "positive_by_angle"].iloc[0]


def test_a_loss_looks_the_same_in_both_figures() -> None:
    frame = curves(named(["suite.losses.DCL", "suite.losses.TemperatureFree"]), FEW)
    maps, gradients = maps_figure(frame), gradients_figure(frame)
    assert maps is not None
    legends = [
        {text.get_text(): line.get_color() for line, text in zip(legend.get_lines(), legend.get_texts(), strict=True)}
        for legend in (maps.legends[0], gradients.legends[0])
    ]
    assert list(legends[0]) == ["TemperatureFree"] and list(legends[1]) == ["DCL", "TemperatureFree"]
    assert legends[0]["TemperatureFree"] == legends[1]["TemperatureFree"] != legends[1]["DCL"]


def test_without_a_map_there_is_no_figure_of_maps() -> None:
    assert maps_figure(curves(named(["suite.losses.DCL"]), FEW)) is None


def test_the_command_writes_the_same_bytes_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["losses", "--losses", "suite.losses.TemperatureFree", "suite.losses.SigLIP"]
    for name in ("a", "b"):
        assert main([*arguments, "--out", str(tmp_path / name)]) == 0
    first, second = (sorted((tmp_path / name / "losses").iterdir()) for name in ("a", "b"))
    expected = ["curves.csv", "gradients.png", "gradients.svg", "losses.md", "maps.png", "maps.svg"]
    assert [path.name for path in first] == expected
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    ElementTree.parse(tmp_path / "a" / "losses" / "gradients.svg")
    assert list(pd.read_csv(first[0])["loss"].unique()) == ["TemperatureFree", "SigLIP"]
    shown = " ".join(capsys.readouterr().out.split())
    assert "│ TemperatureFree │ 2.944 │ 0.5 │ 0.095 │ -114 │" in shown and str(first[1]) in shown


def test_a_users_own_loss_from_the_current_directory(tmp_path: Path) -> None:
    (tmp_path / "my_losses.py").write_text(
        "from suite.losses import LogitLoss\n"
        "class Cubic(LogitLoss):\n"
        "    def __init__(self, scale: float = 4.0) -> None:\n"
        "        super().__init__()\n"
        "        self.scale = scale\n"
        "    def logits(self, similarity):\n"
        "        return self.scale * (similarity + similarity**3)\n"
    )
    command = [sys.executable, "-m", "analysis", "losses", "--losses", "my_losses.Cubic@scale=2", "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    (numbers,) = printed["losses"]
    assert numbers["loss"] == "my_losses.Cubic(scale=2.0)"
    assert numbers["logit_0.5"] == pytest.approx(1.25) and numbers["local_temperature_0"] == pytest.approx(0.5)
    assert all((tmp_path / name).exists() for name in printed["files"])


def test_an_unknown_loss_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["losses", "--losses", "infonc", "--out", str(tmp_path / "out")]) == 2
    assert "did you mean 'infonce'?" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_reference_table_in_the_docs_is_up_to_date() -> None:
    assert (ROOT / "docs" / "losses" / "losses.md").read_text() == markdown()


def test_the_reference_table_tells_all_of_every_loss() -> None:
    lines = {line.split("`")[1]: line for line in markdown().splitlines() if line.startswith("| `")}
    assert set(lines) == {cls.__name__ for cls in public_losses()}
    for cls in public_losses():
        assert cls.equation and cls.equation in lines[cls.__name__], cls
        assert cls.source and cls.needs in lines[cls.__name__]
        assert len(lines[cls.__name__].split(" | ")) == 6
    assert "`temperature` |" in lines["InfoNCE"] and "`form='nt_xent'` or `'dcl'`" in lines["DySTreSS"]
    assert lines["MACL"].endswith("| exactly one positive an anchor |")


def test_the_curves_in_the_docs_are_up_to_date() -> None:
    committed = pd.read_csv(ROOT / "docs" / "losses" / "curves.csv")
    pd.testing.assert_frame_equal(committed, curves(named(HEADLINE)), rtol=1e-8, atol=1e-12, check_dtype=False)
