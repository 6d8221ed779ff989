"""The package clients themselves, on packages built here: real pip, apt and npm, without the network."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from suite.data import DataError, Source, sources
from suite.launch import clean
from tests.data.datasets_factory import (
    CONTENTS,
    dataset,
    debian,
    read,
    served,
    small_disk,
    source,
    store,
    tar,
    wheel,
    write,
)

INSIDE = {"a.bin": "tinydata/a.bin", "b.bin": "tinydata/b.bin.gz"}
PACKED = {"tinydata/a.bin": CONTENTS["a.bin"], "tinydata/b.bin.gz": gzip.compress(CONTENTS["b.bin"])}


@pytest.fixture
def links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder that pip looks into."""
    folder = tmp_path / "links"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


@pytest.mark.parametrize(
    "tag", ["py3-none-any", "cp37-cp37m-manylinux_2_17_x86_64.manylinux2014_x86_64", "py3-none-win32"]
)
def test_pip_fetches_a_wheel_of_any_platform(tmp_path: Path, links: Path, tag: str) -> None:
    file = wheel(links, PACKED, tag=tag)
    root = tmp_path / 'a "cache" of é #1'
    store(root, dataset(source("pip", "tinydata==1.0", file, INSIDE))).fetch(["tiny"])
    assert read(root / "tiny") == CONTENTS
    assert sorted(path.name for path in root.rglob("*")) == [".fetch", "a.bin", "b.bin", "tiny", "tiny.lock"]


def test_pip_says_why_it_failed(tmp_path: Path, links: Path) -> None:
    file = wheel(links, PACKED)
    with pytest.raises(
        DataError, match=r"pip tinydata==2.0: ERROR: .*No matching distribution found for tinydata==2.0"
    ):
        store(tmp_path / "cache", dataset(source("pip", "tinydata==2.0", file, INSIDE))).fetch(["tiny"])


def test_a_wheel_with_another_checksum_is_refused(tmp_path: Path, links: Path) -> None:
    expected = source("pip", "tinydata==1.0", wheel(links, PACKED), INSIDE)
    wheel(links, PACKED | {"more": b""})
    with pytest.raises(DataError, match=r"tinydata-1.0-py3-none-any.whl is (corrupted|truncated)"):
        store(tmp_path / "cache", dataset(expected)).fetch(["tiny"])
    assert not (tmp_path / "cache/tiny").exists()


def test_pip_on_a_full_disk(tmp_path: Path, links: Path) -> None:
    contents = {"a.bin": bytes(i * i % 251 for i in range(400_000))}
    origin = source(
        "pip",
        "tinydata==1.0",
        wheel(links, {"a.bin": contents["a.bin"]} | {"z": hashlib.shake_256(b"z").digest(400_000)}),
        {"a.bin": "a.bin"},
    )
    with (
        small_disk(tmp_path / "disk", "256k") as disk,
        pytest.raises(DataError, match="the disk is full: cannot write"),
    ):
        store(disk, dataset(origin, contents=contents)).fetch(["tiny"])


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """A Debian repository in a folder, the only one that apt is told of."""
    if not shutil.which("apt-get"):
        pytest.skip("apt-get is not on this machine")
    folder = tmp_path / "repository"
    folder.mkdir()
    inside = {member: f"usr/share/{path}" for member, path in INSIDE.items()}
    file = debian(folder, {f"usr/share/{path}": data for path, data in PACKED.items()})
    found = source("debian", "tiny-data=1.0", file, inside)
    assert found.package is not None
    (folder / "Packages").write_text(
        "Package: tiny-data\nVersion: 1.0\nArchitecture: all\nMaintainer: T <t@example.org>\nDescription: t\n"
        f"Filename: ./{file.name}\nSize: {found.package.size}\nSHA256: {found.package.sha256}\n"
    )
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] copy:{folder} ./\n")
    (tmp_path / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{tmp_path / "sources.list"}";\nDir::Etc::sourceparts "/dev/null";\n'
        f'APT::Update::Post-Invoke {{"touch {tmp_path / "hook-ran"}";}};\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    return found


def test_apt_fetches_a_package_and_leaves_the_system_alone(tmp_path: Path, repository: Source) -> None:
    lists = {path: path.lstat().st_mtime_ns for path in Path("/var/lib/apt").rglob("*")}
    root = tmp_path / 'a "cache" of é #1'
    store(root, dataset(repository)).fetch(["tiny"])
    assert read(root / "tiny") == CONTENTS
    assert sorted(path.name for path in root.rglob("*")) == [".fetch", "a.bin", "b.bin", "tiny", "tiny.lock"]
    assert lists == {path: path.lstat().st_mtime_ns for path in Path("/var/lib/apt").rglob("*")}
    assert not (tmp_path / "hook-ran").exists()


def test_apt_says_why_it_failed_and_the_next_source_is_asked(tmp_path: Path, links: Path, repository: Source) -> None:
    absent = Source("debian", "tiny-data=2.0", repository.members, repository.package)
    with pytest.raises(DataError, match=r"debian tiny-data=2.0: E: Version '2.0' for 'tiny-data' was not found"):
        store(tmp_path / "cache", dataset(absent)).fetch(["tiny"])
    (tmp_path / "repository/Packages").unlink()
    fallback = source("pip", "tinydata==1.0", wheel(links, PACKED), INSIDE)
    store(tmp_path / "cache", dataset(repository, fallback)).fetch(["tiny"])
    assert read(tmp_path / "cache/tiny") == CONTENTS


def test_a_machine_without_apt_says_so(tmp_path: Path, repository: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="apt-get cannot be run: No such file or directory"):
        store(tmp_path / "cache", dataset(repository)).fetch(["tiny"])
    mirror = tmp_path / "mirror"
    write(mirror, {"tiny-data_1.0_all.deb": (tmp_path / "repository/tiny-data_1.0_all.deb").read_bytes()})
    with pytest.raises(DataError, match=r"dpkg-deb, which unpacks tiny-data_1.0_all.deb, cannot be run"):
        store(tmp_path / "cache", dataset(repository)).fetch(["tiny"], mirror=mirror, offline=True)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    """An npm registry on the loopback, the only one that npm is told of, with one package."""
    if not shutil.which("npm"):
        pytest.skip("npm is not on this machine")
    folder = tmp_path / "registry"
    folder.mkdir()
    about = {"name": "tiny-data", "version": "1.0.0", "scripts": {"prepare": "false", "install": "false"}}
    contents = {"package.json": json.dumps(about).encode(), **PACKED}
    file = tar(folder / "tiny-data-1.0.0.tgz", {f"package/{path}": data for path, data in contents.items()})
    with served(folder) as (url, _):
        version = {**about, "dist": {"tarball": f"{url}/{file.name}"}}
        packument = {"name": "tiny-data", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
        (folder / "tiny-data").write_text(json.dumps(packument))
        monkeypatch.setenv("npm_config_registry", url)
        monkeypatch.setenv("npm_config_noproxy", "127.0.0.1")
        monkeypatch.setenv("npm_config_userconfig", str(tmp_path / "npmrc"))
        yield source("npm", "tiny-data@1.0.0", file, {name: f"package/{path}" for name, path in INSIDE.items()})


def test_npm_fetches_a_package_and_runs_nothing_of_it(tmp_path: Path, registry: Source) -> None:
    root = tmp_path / 'a "cache" of é #1'
    store(root, dataset(registry)).fetch(["tiny"])
    assert read(root / "tiny") == CONTENTS
    assert sorted(path.name for path in root.rglob("*")) == [".fetch", "a.bin", "b.bin", "tiny", "tiny.lock"]


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("tiny-data@2.0.0", "No matching version found for tiny-data@2.0.0"),
        ("little-data@1.0.0", "npm error 404 .*little-data"),
    ],
)
def test_npm_says_why_it_failed(tmp_path: Path, registry: Source, spec: str, complaint: str) -> None:
    absent = Source("npm", spec, registry.members, registry.package)
    with pytest.raises(DataError, match=rf"npm {spec}: npm error code E\w+; .*{complaint}"):
        store(tmp_path / "cache", dataset(absent)).fetch(["tiny"])


TORCHVISION = """
import os, sys
from pathlib import Path

class {name}:
    def __init__(self, root, download):
        print("a progress bar that must not be seen")
        assert download
        folder = Path(root) / "{name}" / "raw"
        folder.mkdir(parents=True)
        for name in os.listdir({origin!r}):
            {action}
"""


@pytest.mark.parametrize("linked", [False, True])
def test_torchvision_downloads_in_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], linked: bool
) -> None:
    origin = write(tmp_path / "origin")
    action = f"(folder / name).{'symlink_to' if linked else 'write_bytes'}(Path({str(origin)!r}, name)"
    action += ")" if linked else ".read_bytes())"
    package = tmp_path / "path/torchvision"
    write(package, {"__init__.py": b""})
    (package / "datasets.py").write_text(TORCHVISION.format(name="TinyMNIST", origin=str(origin), action=action))
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    tiny = Source("torchvision", "TinyMNIST", {name: f"TinyMNIST/raw/{name}" for name in CONTENTS}, None)
    fetched = store(tmp_path / "cache", dataset(tiny))
    if linked:
        with pytest.raises(DataError, match=r"it did not deliver TinyMNIST/raw/a\.bin"):
            fetched.fetch(["tiny"])
    else:
        fetched.fetch(["tiny"])
        assert read(tmp_path / "cache/tiny") == CONTENTS
    assert capfd.readouterr() == ("", "")


def test_bytes_are_counted_where_a_client_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "path/torchvision"
    program = b"import tempfile, time; open(tempfile.mkstemp()[1], 'wb').write(bytes(5000)); time.sleep(1)"
    write(package, {"__init__.py": program})
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    slow = Source("torchvision", "MNIST", {name: name for name in CONTENTS}, None)
    seen: list[int] = []
    with pytest.raises(DataError, match="torchvision MNIST"):
        store(tmp_path, dataset(slow)).fetch(["tiny"], on_progress=lambda event: seen.append(event.bytes_done))
    assert 5000 in seen


@pytest.fixture
def vanishing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of 7 bytes with a folder that is listed and gone when it is opened, as package clients leave them."""
    (tmp_path / "watched/gone").mkdir(parents=True)
    (tmp_path / "watched/kept").write_bytes(bytes(7))
    scandir = os.scandir

    def late(path: str | Path | int) -> object:
        if not isinstance(path, int) and Path(path).name == "gone":
            shutil.rmtree(path, ignore_errors=True)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", late)
    return tmp_path / "watched"


@pytest.mark.parametrize("size", [pytest.param(sources._size, id="fetching"), pytest.param(clean._size, id="cleaning")])
def test_a_folder_that_vanishes_while_bytes_are_counted_counts_nothing(
    size: Callable[[Path], int], vanishing: Path
) -> None:
    assert size(vanishing) == 7
    assert not (vanishing / "gone").exists()


def test_a_client_that_stalls_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "path/torchvision"
    write(package, {"__init__.py": b"import time; time.sleep(600)"})
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setattr(sources, "STALLED", 0.5)
    stalled = Source("torchvision", "MNIST", {name: name for name in CONTENTS}, None)
    with pytest.raises(DataError, match="torchvision MNIST: nothing arrived for"):
        store(tmp_path / "cache", dataset(stalled)).fetch(["tiny"])


def test_a_client_that_cannot_be_run_says_so(tmp_path: Path, links: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origin = source("pip", "tinydata==1.0", wheel(links, PACKED), INSIDE)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(DataError, match="python cannot be run: No such file or directory"):
        store(tmp_path / "cache", dataset(origin)).fetch(["tiny"])
