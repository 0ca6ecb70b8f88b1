"""What giving up early saves a search: the same searches without a pruner and with ASHA, on a synthetic corpus.

    python -m benchmarks.search [--seeds 1,2,3] [--evaluations 20] [--epochs 27] [--json FILE]

For every seed of the sampler both searches are run, in this process. Printed are the epochs that were trained and the
best validation score that each found; the goal is half of the epochs at an equal or better score.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from datasets import prepare, splits
from datasets.prepare import Source, Wanted
from datasets.synthetic import write_deepship
from sweeps.search import Proposals, Search, best, evaluation
from sweeps.searching import judge_of
from sweeps.space import LogUniform
from trainable import record, trial
from trainable.config import TrialConfig
from trainable.place import Place

BASE = TrialConfig(
    corpus="deepship",
    backbone="cnn14",
    augment="mixup",
    pretrain_hz=8_000,
    data_hz=2_000,
    seed=1,
    weights="none",
    width=1 / 32,
    batch=8,
)
SPACE = {"lr": LogUniform(1e-5, 1e-1), "weight_decay": LogUniform(1e-6, 1e-2)}


@dataclass(frozen=True)
class Found:
    """What came of one search."""

    sampler_seed: int
    pruner: str
    epochs: int
    best: float
    gave_up: int


def run(search: Search, place: Place, folder: Path) -> Found:
    """All rounds of a search, one trial after another."""
    proposals = Proposals(search)
    while trials := proposals.ask():
        judge, answers = judge_of(search, proposals.evaluations), []
        for number, config in enumerate(trials, len(proposals.evaluations)):
            here = replace(place, folder=folder / f"{number:03d}", gives_up=replace(judge))
            trial.run(config, here, lambda row: None)
            kept = record.read(here.folder)
            assert kept is not None
            answers.append(evaluation(search, number, config, kept.scores, kept.history))
        proposals.tell(answers)
    done, winner = proposals.evaluations, best(search, proposals.evaluations)
    value = winner.scores[search.metric] if winner else float("nan")
    gave_up = sum(e.state == "PRUNED" for e in done)
    return Found(search.seed, search.pruner, sum(len(e.curve) for e in done), value, gave_up)


def table(found: list[Found]) -> str:
    """Both searches of each seed, and the ratios."""
    lines = [f"{'seed':>4} {'pruner':<6} {'epochs':>7} {'gave up':>8} {'best val_loss':>14}"]
    lines += [f"{f.sampler_seed:>4} {f.pruner:<6} {f.epochs:>7} {f.gave_up:>8} {f.best:>14.4f}" for f in found]
    pairs = list(zip(found[::2], found[1::2], strict=True))
    saved = statistics.median(1 - pruned.epochs / whole.epochs for whole, pruned in pairs)
    equal = sum(pruned.best <= whole.best for whole, pruned in pairs)
    lines.append(f"epochs saved, median: {saved:.0%}; best equal or better in {equal} of {len(pairs)} searches")
    return "\n".join(lines)


def main() -> None:
    """Prints the table, and writes everything as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1,2,3", help="of the sampler")
    parser.add_argument("--evaluations", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=27, help="of an evaluation that does not give up")
    parser.add_argument("--recordings", type=int, default=24, help="of each of four classes")
    parser.add_argument("--json", type=Path, help="file for the results")
    args = parser.parse_args()
    found = []
    base = replace(BASE, epochs=args.epochs, patience=args.epochs, keep_by="loss")
    with tempfile.TemporaryDirectory(prefix="search-") as name:
        folder = Path(name)
        write_deepship(folder / "ships", num_per_class=args.recordings, seconds=(5, 6), rate_hz=8_000)
        source = Source(folder / "ships", folder / "cache")
        prepared = prepare.prepare(Wanted(base.corpus, (), base.split, base.clip_s), source)
        clips = prepare.clips(prepared, [base.data_hz], base.clip_s, source)[base.data_hz]
        place = Place(clips, splits.write(prepared.split, folder / "splits"), None, folder)
        for seed in map(int, args.seeds.split(",")):
            for pruner in ("none", "asha"):
                search = Search(
                    "search", base, SPACE, args.evaluations, metric="best_val_loss", pruner=pruner, seed=seed
                )
                found.append(run(search, place, folder / f"{seed}-{pruner}"))
                print(table(found) if pruner == "asha" else f"seed {seed}: without a pruner is done", flush=True)
    if args.json:
        document = {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release()}",
            "versions": {package: importlib.metadata.version(package) for package in ("optuna", "torch")},
            "flags": {name: str(value) for name, value in vars(args).items()},
            "found": [asdict(one) for one in found],
        }
        args.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
