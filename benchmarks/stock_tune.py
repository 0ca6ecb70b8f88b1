"""The peer of `benchmarks.chaos`: a grid on Ray Tune, its MLflow callback and `Tuner.restore`, as their documents say.

Its trial sleeps where ours trains, as long an epoch, and gives Tune a checkpoint as large after every one.

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
    """Goes on from Tune's checkpoint, and reports every epoch with a new one."""
    done = 0
    if checkpoint := tune.get_checkpoint():
        with checkpoint.as_directory() as folder:
            done = json.loads(Path(folder, "epoch.json").read_text())
    for epoch in range(done + 1, config["epochs"] + 1):
        time.sleep(config["epoch_s"])
        faults.reach("epoch is trained")
        with Path(config["log"]).open("a") as log:  # so short a line is appended whole
            log.write(f"{config['key']} {epoch} {time.time():.3f}\n")
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "epoch.json").write_text(json.dumps(epoch))
            Path(folder, "network").write_bytes(os.urandom(config["checkpoint_bytes"]))
            tune.report({"epoch": epoch, "val_loss": 1 / epoch}, checkpoint=tune.Checkpoint.from_directory(folder))


def main() -> None:
    """Restores the experiment where there is one, runs it, and exits with 1 if a trial has failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--storage", type=Path, required=True)
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--epoch-s", type=float, required=True)
    parser.add_argument("--checkpoint-bytes", type=int, required=True)
    parser.add_argument("--keep", type=int, help="of a trial's checkpoints; all, which is Tune's default, if not given")
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
