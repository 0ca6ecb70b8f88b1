"""Where do the best networks of a sweep, one per family, look (Mohammadi et al. 2024, Fig. 4)?

python -m analysis.inside.gradcam deepship_backbones --data-root ~/DeepShip
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from analysis.engine.figures import style
from analysis.engine.mixed import MADE_BY
from analysis.engine.rows import finished_runs, held, table_rows
from analysis.engine.runs.declared import with_added_seeds
from analysis.inside import attention, checkpoints
from analysis.inside.heatmaps import Averages, Seen, Trained, average, evenly_spread, map_size, maps_of, mean_logmels
from analysis.inside.panels import Panels, gradcam_figure
from datasets.engine import prepare
from datasets.engine.clips import open_clips
from datasets.engine.corpus import shown
from datasets.engine.prepare import Source
from datasets.engine.refusal import Refusal
from datasets.engine.words.flags import Flags
from datasets.engine.words.suggest import did_you_mean
from sweeps.engine.code import ROOT
from sweeps.engine.command.commandline import add_data_flags, add_plan_flags, add_store_flags, count, folder, options_of
from sweeps.engine.display import progress
from sweeps.engine.plan import Sweep, trial_name
from sweeps.engine.situation import wanted_by
from sweeps.engine.store.runs import Run, read_runs
from trainable import examples

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Int

    from trainable.examples import Examples

DONE, REFUSED = 0, 2


@dataclass(frozen=True)
class View:
    """The runs to look at, and the number of clips."""

    data: str  # first digits of their data or split hash; empty for all
    backbones: Sequence[str]  # empty for the best complete one of each family
    clips_per_class: int | None  # None for all clips


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the figure and the focus of the networks; returns 0 when done, 2 when something must be fixed first."""
    parser = _parser()
    args = parser.parse_args(argv)
    options = options_of(args)
    uri = options.store_uri
    try:
        runs = read_runs(uri)
        sweep = with_added_seeds(options.planned(_sweep(args.sweep)), options, runs, args.data)
        if options.small:
            options = options.invented(sweep.trials[0].corpus)
        if (source := options.source) is None:
            parser.error("--data-root: name the folder of the corpus; the clips are looked at again")
        view = View(args.data, args.backbones.split(",") if args.backbones else [], args.clips_per_class)
        contents = report(sweep, runs, options.storage, source, view)
    except (ValueError, Refusal) as error:
        print(f"{error}\n(store: {uri})", file=sys.stderr)
        return REFUSED
    out: Path = args.out or options.storage / "reports" / sweep.name / "gradcam"
    out.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (out / name).write_bytes(content)
    print(contents["focus.md"].decode())
    print(f"written: {out}/{', '.join(contents)}")
    return DONE


def report(sweep: Sweep, runs: Sequence[Run], storage: Path, source: Source, view: View) -> dict[str, bytes]:
    """Returns the files by name: `gradcam.png`, `gradcam.svg`, `focus.csv` and `focus.md`.

    Raises:
        ValueError: if a network is not complete or has no map, or if the clips, split, checkpoint or predictions are
            not those of the runs.
        StoreError: if predictions are gone.
        MissingWeights: if a checkpoint is gone.
    """
    rows = table_rows(sweep, runs, view.data, accept=MADE_BY)  # for pictures: no scores are averaged
    if (rows["status"] == "missing").all():
        raise ValueError(f"no run is of a trial that sweep {sweep.name} plans; {held(sweep, runs)}")
    names = view.backbones or checkpoints.best(rows)
    checkpoints.check_complete(rows, names)
    done = finished_runs(sweep, runs, view.data)
    trained = {
        name: [checkpoints.trained(t, done[t.key], storage) for t in sweep.trials if t.backbone == name]
        for name in names
    }
    sizes = {name: map_size(seeds[0].trial) for name, seeds in trained.items()}  # refuses before the work starts
    views = {
        name: _look_into(seeds, done[seeds[0].trial.key], source, view.clips_per_class)
        for name, seeds in trained.items()
    }
    focus = attention.focus({name: averages.samples for name, (averages, _) in views.items()})
    captions = attention.captions(
        {seeds[0].trial: sizes[name] for name, seeds in trained.items()}, view.clips_per_class
    )
    figure = gradcam_figure([panels for _, panels in views.values()], trained[names[0]][0].predictions.classes)
    return {
        "gradcam.png": style.png(figure),
        "gradcam.svg": style.svg(figure).encode(),
        "focus.csv": focus.to_csv(index=False).encode(),
        "focus.md": attention.markdown(focus, captions).encode(),
    }


def _look_into(
    networks: Sequence[Trained], run: Run, source: Source, clips_per_class: int | None
) -> tuple[Averages, Panels]:
    """The maps of one network, averaged over its seeds, and the panels to draw."""
    trial, num_classes = networks[0].trial, len(networks[0].predictions.classes)
    data = checkpoints.prepared(trial, run, source)
    (folder,) = prepare.clips(data, [trial.data_hz], wanted_by(trial).cut, source, progress.each).values()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    test = examples.load(trial, open_clips(folder, data.scan.corpus), data.split, "test", device)
    chosen = evenly_spread(test.labels.cpu().numpy(), clips_per_class)
    averages = average(_batches(networks, test, chosen), num_classes)
    name = trial.backbone.rpartition("/")[2] + " (over time alone)" * (not trial.given.spectrogram)
    logmels = mean_logmels(trial, test, chosen, num_classes)
    return averages, Panels(name, trial.card.front_end, trial.data_hz, averages.mean, averages.count, logmels)


def _batches(networks: Sequence[Trained], test: Examples, chosen: Int[np.ndarray, " chosen"]) -> Iterator[Seen]:
    for network in networks:
        print(f"Grad-CAM: {trial_name(network.trial)}, {len(chosen):,} of {len(test.labels):,} test clips", flush=True)
        yield from maps_of(network, test, chosen)


def _sweep(name: str) -> Sweep:
    """The sweep in a file of `sweeps/`.

    Raises:
        ValueError: if there is no sweep of that name.
    """
    studies = {path.stem for path in (ROOT / "sweeps").glob("*.py")}
    sweep = getattr(importlib.import_module(f"sweeps.{name}") if name in studies else None, "SWEEP", None)
    if not isinstance(sweep, Sweep):
        near = did_you_mean(studies - {"__init__", "__main__"}, name)
        raise ValueError(
            f"{shown(name)}: sweeps/ has no sweep of that name; name one, such as deepship_backbones{near}"
        )
    return sweep


def _parser() -> Flags:
    parser = Flags("python -m analysis.inside.gradcam", __doc__)
    parser.add_argument("sweep", help="a sweep over backbones, such as deepship_backbones")
    parser.add_argument(
        "--backbones", metavar="A,B", help="these networks, instead of the best complete one of each family"
    )
    parser.add_argument(
        "--clips-per-class", type=count, metavar="N", help="N test clips of each class, evenly spread (default: all)"
    )
    parser.add_argument("--data", default="", metavar="SHA", help="only runs whose data or split hash begins with SHA")
    parser.add_argument("--out", type=folder, help="default: reports/SWEEP/gradcam in --storage")
    add_plan_flags(parser)
    add_data_flags(parser)
    add_store_flags(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
