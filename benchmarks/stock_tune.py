"""The peer of `benchmarks.chaos`: a grid on Ray Tune with its MLflow callback and `Tuner.restore`, as documented.

Its trial sleeps for as long as our epochs train, and gives Tune a checkpoint of the same size after every epoch.

Source:
    "How to Enable Fault Tolerance in Ray Tune" and the pages of `Tuner.can_restore` and `MLflowLoggerCallback`,
    docs.ray.io, for Ray 2.60.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback

from trainable.device import faults

NAME = "chaos"


def trial(config: dict[str, Any]) -> None:
    """Continues from Tune's checkpoint, and reports every epoch with a new one."""
    last_epoch = 0
    if checkpoint := tune.get_checkpoint():
        with checkpoint.as_directory() as folder:
            last_epoch = json.loads(Path(folder, "epoch.json").read_text())
    for epoch in range(last_epoch + 1, config["epochs"] + 1):
        time.sleep(config["epoch_s"])
        faults.reach("epoch is trained")
        with Path(config["log"]).open("a") as log:  # a line this short is appended atomically
            log.write(f"{config['key']} {epoch} {time.time():.3f}\n")
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "epoch.json").write_text(json.dumps(epoch))
            Path(folder, "network").write_bytes(os.urandom(config["checkpoint_bytes"]))
            tune.report({"epoch": epoch, "val_loss": 1 / epoch}, checkpoint=tune.Checkpoint.from_directory(folder))


def main() -> None:
    """Restores the experiment if it exists, runs it, and exits with 1 if a trial has failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--storage", type=Path, required=True)
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--epoch-s", type=float, required=True)
    parser.add_argument("--checkpoint-bytes", type=int, required=True)
    parser.add_argument("--keep", type=int, help="number of checkpoints to keep per trial; by default all, as in Tune")
    args = parser.parse_args()
    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    path = str(args.storage / "tune" / NAME)
    if tune.Tuner.can_restore(path):
        tuner = tune.Tuner.restore(path, trainable=trial, resume_errored=True)
    else:
        store = MLflowLoggerCallback(tracking_uri=f"sqlite:///{args.storage / 'mlflow.db'}", experiment_name=NAME)
        tuner = tune.Tuner(
            trial,
            param_space={
                "key": tune.grid_search([f"trial-{n:02d}" for n in range(args.trials)]),
                "epochs": args.epochs,
                "epoch_s": args.epoch_s,
                "checkpoint_bytes": args.checkpoint_bytes,
                "log": str(args.storage / "work.txt"),
            },
            run_config=tune.RunConfig(
                name=NAME,
                storage_path=str(args.storage / "tune"),
                callbacks=[store],
                failure_config=tune.FailureConfig(max_failures=2),
                checkpoint_config=tune.CheckpointConfig(num_to_keep=args.keep),
            ),
        )
    if tuner.fit().errors:
        sys.exit("one of the trials failed")


if __name__ == "__main__":
    main()
