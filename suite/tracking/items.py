"""The outcomes of runs' test items as artifacts of their MLflow runs, which a mirror logs when it is asked to.

A tag has the checksum that the result has of the file. It is set once the artifact is there: without it there is none.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from suite.outcomes import Outcomes
from suite.records import items
from suite.tracking.frame import existing

TAG = "suite.items"
PAGE = 1000

logger = logging.getLogger("suite")


def log(client: Any, run_id: str, folder: Path, sha256: str) -> bool:
    """Log the outcomes of a record as an artifact; as often as one likes.

    Parameters
    ----------
    client : MlflowClient
    run_id : str
        Of MLflow.
    folder : Path
        Of the record.
    sha256 : str
        What the result says of the file.

    Returns
    -------
    bool
        False, after a warning, where the file is not there or not the one that the result speaks of.
    """
    try:
        content = (folder / items.FILE).read_bytes()
    except FileNotFoundError:
        content = b""
    if hashlib.sha256(content).hexdigest() != sha256:
        logger.warning("%s is not what its run wrote: it is not logged", folder / items.FILE)
        return False
    with tempfile.TemporaryDirectory() as checked:
        file = Path(checked) / items.FILE
        file.write_bytes(content)
        client.log_artifact(run_id, str(file))
    client.set_tag(run_id, TAG, sha256)
    return True


def read(uri: str, experiment: str, run_ids: Iterable[str]) -> dict[str, dict[str, Outcomes]]:
    """Return the outcomes that were logged, by run id and metric; what is damaged or gone is named in a warning.

    Parameters
    ----------
    uri : str
        Tracking address.
    experiment : str
        Name of the experiment.
    run_ids : iterable of str
        Those without such an artifact are left out.

    Raises
    ------
    TrackingUnavailable
        If the store or its artifacts cannot be read.
    """
    found, wanted = {}, set(run_ids)
    with existing(uri) as client, tempfile.TemporaryDirectory() as folder:
        for run_id, sha256 in _logged(client, experiment):
            if run_id not in wanted:
                continue
            try:
                found[run_id] = _of_run(client, run_id, sha256, Path(folder))
            except ValueError as error:
                logger.warning("MLflow run %s: %s; it counts as missing", run_id, error)
    return found


def _of_run(client: Any, run_id: str, sha256: str, folder: Path) -> dict[str, Outcomes]:
    sizes = {one.path: one.file_size or 0 for one in client.list_artifacts(run_id)}
    if items.FILE not in sizes:
        raise ValueError(f"its {items.FILE} is gone")
    if sizes[items.FILE] > items.LARGEST:
        raise ValueError(f"its {items.FILE} has {sizes[items.FILE]} bytes")
    file = Path(client.download_artifacts(run_id, items.FILE, str(folder)))
    return items.read(file, sha256)


def _logged(client: Any, experiment: str) -> list[tuple[str, str]]:
    """Return the runs that have the artifact, with its checksum."""
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return []
    runs: list[tuple[str, str]] = []
    token = None
    while True:
        marked = f"tags.{TAG} LIKE '%'"
        page = client.search_runs([found.experiment_id], marked, max_results=PAGE, page_token=token)
        runs += [(run.info.run_id, run.data.tags[TAG]) for run in page]
        token = page.token
        if not token:
            return runs
