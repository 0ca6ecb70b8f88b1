"""Measures training steps on a GPU, beside the usual loop and beside the shortest possible time on the device.

    python -m benchmarks.gpu [--steps 50] [--only NAME] [--compile MODE] [--times FILE] [--json FILE]

The cases are the ten networks of Table II at 32 kHz with 64 samples a step, and CNN14 with every input of Table I and
32 a step. Ours are in bfloat16, with the clips on the device. The peer trains the same network in TF32 on waveforms,
and computes their spectrograms and SpecAugment in every step. The roofline is that of eager bfloat16
(benchmarks/roofline.py), MFU is relative to the speed of a large matrix product on the device, and idle is the share of
the time in which no kernel ran. Whole epochs, with the peer's loader, are not measured. --compile measures
torch.compile too, in one of its modes ("reduce-overhead" means CUDA graphs); trials do not use it. --times writes the
file that benchmarks/tables.py reads.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F

from benchmarks import roofline
from benchmarks.measured import Row, against, at_least, at_most, not_measured, parser, show, write
from sweeps import deepship_backbones, deepship_rates
from trainable import finetune
from trainable.config import NETWORK, START, TrialConfig
from trainable.cost.measure import random_examples
from trainable.learning.learner import ready_learner
from trainable.network.backbone import Backbone
from trainable.network.networks import laid_out, start_network

NUM_CLASSES = 4
WARM_UP, PROFILED = 10, 20  # steps
SHARE, MFU, IDLE = 0.7, 0.40, 0.02  # goals: share of the roofline; share of the peak, for CNN14; share of the time
FASTER = {  # goals: ratio to the peer's speed
    "cnn14": 1.8,
    "mobilenetv1": 6.0,
    "timm/mobilenetv3_large_100.ra_in1k": 6.0,
    "timm/resnet50.a1_in1k": 2.5,
}

_started: dict[Hashable, Backbone] = {}  # only the last network


@dataclass(frozen=True)
class Step:
    """The cost of one step of a trial."""

    seconds: float
    idle: float  # share of the time
    eval_clip_s: float  # time to predict a clip


def cases() -> Iterator[TrialConfig]:
    """Yields a trial for every network of Table II and for every pair of rates of Table I, with their batch sizes."""
    for sweep in (deepship_backbones.SWEEP, deepship_rates.SWEEP):
        for trial in sweep.trials:
            if trial.seed == sweep.trials[0].seed:
                yield replace(trial, weights="none", precision="bfloat16")


def name_of(config: TrialConfig) -> str:
    """The name of a trial in its rows."""
    size = f"{config.num_samples} samples" if not config.given.spectrogram else f"{config.num_frames} frames"
    return f"{config.backbone} at {config.pretrain_hz // 1000} kHz, {size}, batch {config.batch}"


def started(config: TrialConfig) -> Backbone:
    """A network with its initial weights; drawing CNN14's 81 million takes seconds, so several inputs share them."""
    made_of = config.only(NETWORK, START)
    if made_of not in _started:
        _started.clear()
        _started[made_of] = start_network(config, NUM_CLASSES, None)
    return copy.deepcopy(_started[made_of])


def our_step(config: TrialConfig, num_steps: int, device: torch.device, mode: str = "") -> Step:
    """Measures `finetune.train_epoch`, called as in a trial.

    Args:
        mode: a mode of torch.compile, with which to compile the network; then only `seconds` are measured.
    """
    unit = config.clips_per_sample
    clips = random_examples(config, num_steps * config.batch * unit, device)
    network = laid_out(started(config), config, device)
    if mode:
        torch.compiler.reset()  # else the last network's graphs would count towards the limit of this one
        network.compile(mode=mode, dynamic=False)
    learner = ready_learner(config, network)

    def steps(num: int) -> object:
        num_clips = min(num * config.batch * unit, len(clips.labels))
        return finetune.train_epoch(learner, clips.first(num_clips), epoch=1)

    num_steps = min(num_steps, len(clips.labels) // (config.batch * unit))
    steps(min(WARM_UP, num_steps))
    took_s = seconds(lambda: steps(num_steps), device) / num_steps
    if mode:  # in a CUDA graph the next batch overwrites the logits, and `predict` keeps all of them
        return Step(took_s, 0.0, 0.0)
    finetune.predict(network, clips, config)
    eval_s = seconds(lambda: finetune.predict(network, clips, config), device) / len(clips.labels)
    return Step(took_s, idle_share(lambda: steps(min(PROFILED, num_steps)), device), eval_s)


def compiled(config: TrialConfig, eager: Step, args: argparse.Namespace, device: torch.device) -> Row:
    """The row of the compiled step; if it fails, the other rows are not lost."""
    name = f"{name_of(config)}: compiled, {args.compile}"
    try:
        step = our_step(config, args.steps, device, args.compile)
    except RuntimeError as error:
        return not_measured(name, "ms", "", str(error).partition("\n")[0])
    return against(name, "ms", 1e3 * step.seconds, 1e3 * eager.seconds, "ours, as trials are")


def peer_step(config: TrialConfig, num_steps: int, device: torch.device) -> float:
    """Seconds of a step of the usual loop; its waveforms are already on the device, which favours it."""
    from benchmarks.peers import PeersAugmentation, PeersFrontEnd, with_usual_layers  # torchlibrosa

    random = torch.Generator(device).manual_seed(0)
    waves = 0.1 * torch.randn(2 * config.batch, config.num_samples, generator=random, device=device)
    targets = F.one_hot(torch.arange(len(waves), device=device) % NUM_CLASSES, NUM_CLASSES).float()
    network = with_usual_layers(started(config)).to(device).train()
    front_end = torch.nn.Identity() if config.given.waves else PeersFrontEnd(config.card.front_end).to(device)
    augmentation = PeersAugmentation(config)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.lr)

    def steps(num: int) -> None:
        for _ in range(num):
            changed = augmentation.draw(len(waves))
            changed.lambdas = changed.lambdas.to(device)
            optimizer.zero_grad()
            F.cross_entropy(network(front_end(waves), changed), changed.mix(targets)).backward()
            optimizer.step()

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")  # TF32, as in the authors' code
    try:
        steps(min(WARM_UP, num_steps))
        return seconds(lambda: steps(num_steps), device) / num_steps
    finally:
        torch.set_float32_matmul_precision(before)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Seconds until the device has finished the work."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    began = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - began


def idle_share(work: Callable[[], object], device: torch.device) -> float:
    """The share of the time, from the first kernel to the last, in which no kernel ran; 0 without kernels."""
    if device.type != "cuda":
        return 0.0
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiled:
        work()
        torch.cuda.synchronize()
    kernels = [e.time_range for e in profiled.events() or [] if e.device_type == torch.autograd.DeviceType.CUDA]
    return gaps([(span.start, span.end) for span in kernels])


def gaps(spans: Iterable[tuple[float, float]]) -> float:
    """The share of the time between the first start and the last end that no span covers."""
    ordered = sorted(spans)
    if not ordered:
        return 0.0
    (began, until), covered = ordered[0], 0.0
    start = began
    for first, last in ordered[1:]:
        if first > until:
            covered += until - began
            began = first
        until = max(until, last)
    return 1 - (covered + until - began) / (until - start)


def rows_of(config: TrialConfig, ours: Step, peer_s: float, peaks: tuple[float, float]) -> list[Row]:
    """The rows of one trial's steps."""
    name, work = name_of(config), roofline.step_work(config, config.batch, started(config))
    speed = f"{config.batch / ours.seconds:,.0f} samples/s"
    rows = [
        against(name, "ms", 1e3 * ours.seconds, 1e3 * peer_s, "TF32 loop", FASTER.get(config.backbone), speed),
        at_most(f"{name}: idle", "", ours.idle, IDLE),
    ]
    least_s = sum(operation.seconds(peaks) for operation in work)
    rows.append(at_least(f"{name}: share of the roofline", "", least_s / ours.seconds, SHARE))
    mfu = sum(operation.flops for operation in work) / peaks[0] / ours.seconds
    has_goal = config.backbone == "cnn14" and config.num_frames == 501
    rows.append(at_least(f"{name}: MFU", "", mfu, MFU) if has_goal else Row(f"{name}: MFU", "", mfu))
    return rows


def keep(rows: Sequence[Row], times: Sequence[dict[str, object]], args: argparse.Namespace) -> None:
    """Writes the measurements so far, because the machine may be lost before the last network."""
    write(rows, args)
    if args.times:
        args.times.write_text(json.dumps(times, indent=1) + "\n", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, and writes it as JSON if asked."""
    command = parser(__doc__)
    command.add_argument("--steps", type=int, default=50)
    command.add_argument("--only", default="", help="only trials with this in their name")
    command.add_argument(
        "--compile", choices=("default", "reduce-overhead", "max-autotune"), help="also measure this mode"
    )
    command.add_argument("--times", type=Path, metavar="FILE", help="file for the seconds of each step")
    args = command.parse_args(argv)
    chosen = [config for config in cases() if args.only in name_of(config)]
    if not torch.cuda.is_available():
        goal = f">= {SHARE:g} of the roofline, idle <= {IDLE:g}"
        show([not_measured(name_of(c), "ms", goal, "no GPU") for c in chosen], args)
        return
    device, kind = torch.device("cuda"), torch.cuda.get_device_name(0)
    peaks = roofline.peaks(lambda work: seconds(work, device), device)
    print(f"{kind}: {peaks[0] / 1e12:.0f} TFLOP/s in a product, {peaks[1] / 1e12:.2f} TB/s in a copy", flush=True)
    rows, times = list[Row](), list[dict[str, object]]()
    for number, config in enumerate(chosen, start=1):
        try:
            ours = our_step(config, args.steps, device)
            peer_s = peer_step(replace(config, precision="float32"), args.steps, device)
            rows += rows_of(config, ours, peer_s, peaks)
        except RuntimeError as error:  # go on with the other networks
            rows.append(not_measured(name_of(config), "ms", "", str(error).partition("\n")[0]))
            continue
        if args.compile:
            rows.append(compiled(config, ours, args, device))
        measured = {"step_s": ours.seconds, "eval_clip_s": ours.eval_clip_s, "device": kind}
        times.append(
            {"backbone": config.backbone, "frames": config.num_frames, "batch": config.batch, **measured},
        )
        print(f"{name_of(config)}: {1e3 * ours.seconds:.2f} ms, the peer {1e3 * peer_s:.2f} ms", flush=True)
        unmeasured = [not_measured(name_of(c), "ms", "", "stopped before it") for c in chosen[number:]]
        keep([*rows, *unmeasured], times, args)
    show(rows, args)


if __name__ == "__main__":
    main()
