"""Measures how much a search saves by giving up early: the same searches without a pruner and with ASHA.

    python -m benchmarks.search [--seeds 6,7,8,9,10] [--evaluations 20] [--epochs 27] [--sampler random] [--json FILE]

For every seed of the sampler, both searches run in this process, on a synthetic corpus. Random proposals are the same
for both, so all differences come from the pruner; other samplers learn from results, and their proposals diverge. The
table has the number of trained epochs and the best validation score of each; the goal is half of the epochs at an equal
or better score.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.measured import Row, against, at_least, parser, show
from datasets.engine import manifest, prepare, splits
from datasets.engine.prepare import Source, Wanted
from datasets.synthetic.deepship import write as write_deepship
from sweeps.engine.running.rounds import judge_of
from sweeps.engine.search.search import SAMPLERS, Proposals, Search, best, evaluation
from sweeps.engine.search.space import LogUniform
from sweeps.recipes.mohammadi import RATES
from trainable import trial
from trainable.device.place import Place
from trainable.result import record

BASE = RATES.but(augment="mixup", data_hz=2_000, weights="none", width=1 / 32, batch=8)
SPACE = {"lr": LogUniform(1e-5, 1e-1), "weight_decay": LogUniform(1e-6, 1e-2)}


@dataclass(frozen=True)
class Found:
    """The outcome of one search."""

    sampler_seed: int
    pruner: str
    epochs: int
    best: float
    gave_up: int


def run(search: Search, place: Place, folder: Path) -> Found:
    """Runs all rounds of a search, one trial after another."""
    proposals = Proposals(search)
    while trials := proposals.ask():
        judge, answers = judge_of(search, proposals.evaluations), []
        for number, config in enumerate(trials, len(proposals.evaluations)):
            trial_place = replace(place, folder=folder / f"{number:03d}", gives_up=replace(judge))
            trial.run(config, trial_place, lambda row: None)
            committed = record.read(trial_place.folder)
            assert committed is not None
            answers.append(evaluation(search, number, config, committed.scores, committed.history))
        proposals.tell(answers)
    evaluations, winner = proposals.evaluations, best(search, proposals.evaluations)
    value = winner.scores[search.metric] if winner else float("nan")
    gave_up = sum(e.state == "PRUNED" for e in evaluations)
    return Found(search.seed, search.pruner, sum(len(e.curve) for e in evaluations), value, gave_up)


def rows(outcomes: list[Found]) -> list[Row]:
    """The rows with both searches of each seed, and the goals over all seeds."""
    pairs = list(zip(outcomes[::2], outcomes[1::2], strict=True))
    lines = [
        against(
            f"seed {full.sampler_seed}",
            "epochs",
            pruned.epochs,
            full.epochs,
            "no pruner",
            note=f"{pruned.gave_up} gave up; best loss {pruned.best:.4f}, without a pruner {full.best:.4f}",
        )
        for full, pruned in pairs
    ]
    saved = statistics.median(1 - pruned.epochs / full.epochs for full, pruned in pairs)
    equal = sum(pruned.best <= full.best for full, pruned in pairs)
    lines.append(at_least("epochs saved, median over the seeds", "", saved, 0.5))
    lines.append(at_least("searches whose best loss is equal or better", "", equal, len(pairs)))
    return lines


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, and writes it as JSON if asked."""
    command = parser(__doc__)
    command.add_argument(
        "--seeds", default="6,7,8,9,10", help="for the sampler; ASHA's settings were chosen with 1 to 5"
    )
    command.add_argument("--evaluations", type=int, default=20)
    command.add_argument("--epochs", type=int, default=27, help="in an evaluation that is not given up")
    command.add_argument("--sampler", choices=SAMPLERS, default="random")
    command.add_argument("--recordings", type=int, default=96, help="in each of four classes")
    args = command.parse_args(argv)
    outcomes = []
    base = replace(BASE, epochs=args.epochs, patience=args.epochs, keep_by="loss")
    with tempfile.TemporaryDirectory(prefix="search-") as name:
        folder = Path(name)
        write_deepship(folder / "ships", num_per_class=args.recordings, seconds=(5, 6), rate_hz=8_000)
        source = Source(folder / "ships", folder / "cache")
        prepared = prepare.prepare(Wanted(base.corpus, (), base.split, base.clip_s), source)
        clips = prepare.clips(prepared, [base.data_hz], base.clip_s, source)[base.data_hz]
        split, scan = splits.write(prepared.split, folder / "splits"), manifest.write(prepared.scan, folder / "scans")
        place = Place(clips, split, None, folder, scan=scan)
        for seed in map(int, args.seeds.split(",")):
            for pruner in ("none", "asha"):
                settings = {"metric": "best_val_loss", "sampler": args.sampler, "pruner": pruner, "seed": seed}
                search = Search("search", base, SPACE, args.evaluations, **settings)
                outcomes.append(run(search, place, folder / f"{seed}-{pruner}"))
                print(outcomes[-1], flush=True)
    show(rows(outcomes), args)


if __name__ == "__main__":
    main()
