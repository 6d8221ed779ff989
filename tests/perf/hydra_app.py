"""The peer of a campaign of runs that do nothing: Hydra's multirun, jobs through submitit, MLflow in each job."""

from __future__ import annotations

import hydra
import mlflow
import torch
from omegaconf import DictConfig


@hydra.main(version_base=None, config_path=None)
def main(config: DictConfig) -> None:
    """Log one metric."""
    mlflow.set_tracking_uri(config.store)
    mlflow.set_experiment("peer")
    with mlflow.start_run(run_name=f"seed{config.seed}"):
        mlflow.log_params({"seed": config.seed})
        mlflow.log_metric("test/accuracy", float(torch.zeros(1)))


if __name__ == "__main__":
    main()
