import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from suite.tracking import create_store, default_uri, store
from tests.tracking import migrations
from tests.tracking.servers import MlflowServer


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(store, "_create_file", migrations.by_mlflow)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture(scope="session")
def fresh_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_create_file", migrations.by_mlflow)
        create_store(f"sqlite:///{folder}/mlflow.db")
    return folder / "mlflow.db"


@pytest.fixture
def out(tmp_path: Path, fresh_store: Path) -> Path:
    (tmp_path / "results").mkdir()
    shutil.copy(fresh_store, tmp_path / "results" / "mlflow.db")
    return tmp_path / "results"


@pytest.fixture
def server(out: Path) -> Iterator[MlflowServer]:
    made = MlflowServer(default_uri(out), out)
    try:
        made.start()
        yield made
    finally:
        made.stop()
