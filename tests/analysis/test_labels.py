"""Labels of losses and benchmarks: in the files for readers, nowhere that a command could be typed from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analysis.evidence.gather import Evidence
from analysis.report import paragraph
from analysis.tables.html import html
from analysis.tables.render import csv, latex, markdown, show
from analysis.tables.tables import all_tables
from suite.plan.run import expand
from suite.problems import InputError
from suite.registry.claims import Declared, Labels
from suite.registry.load import load
from suite.registry.registry import Registry
from tests.analysis import evidences
from tests.conftest import REGISTRY

LABELS = Labels({"infonce": "InfoNCE", "temperature_free": "temperature-free"}, {"image": "Fashion-MNIST"})


@pytest.fixture(scope="module")
def labelled() -> Evidence:
    made = evidences.evidence()
    return replace(made, declared=replace(made.declared, labels=LABELS))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("infonce", "InfoNCE"),
        ("infonce (tau validated)", "InfoNCE (tau validated)"),
        ("infonce@temperature=0.2", "InfoNCE@temperature=0.2"),
        ("temperature_free is not worse than infonce.", "temperature-free is not worse than InfoNCE."),
        ("image: infonce has the most", "Fashion-MNIST: InfoNCE has the most"),
        ("image", "Fashion-MNIST"),
        ("an image of the curve", "an image of the curve"),
        ("focal_infonce, my.infonce, infonce.Own", "focal_infonce, my.infonce, infonce.Own"),
        ("run: python -m suite run --losses infonce", "run: python -m suite run --losses infonce"),
    ],
)
def test_names_are_replaced_whole_and_never_in_a_command(text: str, said: str) -> None:
    assert LABELS.put_into(text) == said


def test_files_for_readers_have_the_labels_and_csv_and_the_terminal_the_names(
    labelled: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    main = next(table for table in all_tables(labelled) if table.name == "main")
    for text in (latex(main), markdown(main), html(main)):
        assert "temperature-free" in text and "Fashion-MNIST: " in text
        assert "infonce" not in text.replace("python -m", "") and "temperature\\_free" not in text
    show(main)
    for text in (csv(main), capsys.readouterr().out):
        assert "temperature_free" in text and "InfoNCE" not in text and "Fashion-MNIST" not in text


def test_without_labels_every_file_is_as_it_was() -> None:
    made = evidences.evidence()
    for table in all_tables(made):
        assert table.labelled() is table


def test_the_paragraph_for_a_paper_has_the_labels(labelled: Evidence, tmp_path: Path) -> None:
    for file in paragraph.write(labelled, tmp_path):
        assert "temperature-free" in file.read_text() and "infonce" not in file.read_text()


def with_label(folder: Path, label: str) -> Path:
    file = folder / "benchmarks.yaml"
    infonce = "  infonce: {_target_: suite.losses.InfoNCE, "
    assert REGISTRY.count(infonce) == 1
    file.write_text(REGISTRY.replace(infonce, f"{infonce}label: {label}, ") if label else REGISTRY)
    return file


def test_a_label_enters_no_key_and_is_kept_with_the_claims(tmp_path: Path) -> None:
    before, after = load(with_label(tmp_path, "")), load(with_label(tmp_path, "InfoNCE"))
    keys = [[run.key for run in expand(one, ["blobs"], ["infonce"], [0, 1], "mini")] for one in (before, after)]
    assert keys[0] == keys[1] and len(keys[0]) == 2
    assert after.declared.labels.losses == {"infonce": "InfoNCE"}
    assert Declared.from_json(after.declared.to_json()).labels == after.declared.labels
    assert "labels" not in before.declared.to_json() and before.declared == after.declared


def test_a_label_that_is_no_text_is_refused_where_it_stands(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        load(with_label(tmp_path, "[InfoNCE]"))
    assert len(refused.value.problems) == 1
    problem = refused.value.report()
    assert "benchmarks.yaml:8" in problem and "label" in problem and "expected a text" in problem


def test_all_that_the_suite_offers_has_a_label_of_its_own(shipped: Registry) -> None:
    labels = shipped.declared.labels
    assert labels.losses.keys() == shipped.document.losses.keys()
    assert labels.benchmarks.keys() == shipped.document.benchmarks.keys()
    assert len({*labels.losses.values(), *labels.benchmarks.values()}) == len(labels.losses) + len(labels.benchmarks)
