"""The sound of an invented ship that passes a hydrophone: propeller, engine, gears, generators, water and sea.

Levels are power densities in dB re full scale squared per hertz, set so that a recording's level and tilt are those of
DeepShip (rms 0.002 to 0.04; about -80 dB at 100 Hz, -110 dB at 10 kHz).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from datasets.synthetic.sounds import played, shaped_noise, table

if TYPE_CHECKING:
    from jaxtyping import Float

Range = tuple[float, float]

SOUND_SPEED_M_S = 1_485.0
HYDROPHONE_DEPTH_M = 140.0
GENERATOR_HZ = 60.0
MAX_RANGE_M = 2_000.0


@dataclass(frozen=True, kw_only=True)
class Kind:
    """The parameters of one class of ships: the range of each parameter of a `Vessel`, at service speed.

    Every two classes overlap in every parameter, so that no single one tells them apart.
    """

    ais_codes: tuple[int, ...]
    num_screws: Range
    num_blades: Range
    shaft_hz: Range
    depth_m: Range  # of the propeller
    level_db: Range  # of the cavitation at its peak, heard from 1 km
    peak_hz: Range  # where cavitation is loudest: lower for a larger propeller
    slope_db: Range  # its fall above the peak, per decade
    modulation: Range  # how much of it comes and goes with the blades
    propeller_db: Range  # lines of the blade rate, above the cavitation around them; so are the next three
    firing_hz: Range  # of all cylinders together
    firing_db: Range
    whine_hz: Range  # gear teeth that mesh
    whine_db: Range
    generator_db: Range


KINDS = {
    "Cargo": Kind(  # a slow two-stroke diesel on the shaft of a large propeller
        ais_codes=(70, 71, 74, 79), num_screws=(1, 1), num_blades=(4, 6), shaft_hz=(1.2, 2.2), depth_m=(5, 9),
        level_db=(-71, -62), peak_hz=(45, 100), slope_db=(18, 23), modulation=(0.2, 0.7), propeller_db=(8, 20),
        firing_hz=(9, 24), firing_db=(8, 18), whine_hz=(250, 1_000), whine_db=(-8, 8), generator_db=(0, 12),
    ),
    "Passengership": Kind(  # diesel-electric or medium-speed diesels, two screws that beat
        ais_codes=(60, 69), num_screws=(1, 2), num_blades=(4, 5), shaft_hz=(1.7, 3.6), depth_m=(3, 6),
        level_db=(-76, -66), peak_hz=(65, 170), slope_db=(15, 21.5), modulation=(0.1, 0.5), propeller_db=(1, 11),
        firing_hz=(20, 80), firing_db=(2, 12), whine_hz=(400, 2_000), whine_db=(0, 14), generator_db=(9, 24),
    ),
    "Tanker": Kind(  # as cargo, but larger, slower and deeper in the water
        ais_codes=(80, 81, 82, 84, 89), num_screws=(1, 1), num_blades=(4, 5), shaft_hz=(1.0, 1.8), depth_m=(5.5, 12),
        level_db=(-72, -63), peak_hz=(32, 70), slope_db=(21, 26), modulation=(0.15, 0.6), propeller_db=(10, 22),
        firing_hz=(6, 21), firing_db=(9, 20), whine_hz=(200, 800), whine_db=(-10, 6), generator_db=(2, 14),
    ),
    "Tug": Kind(  # small loaded propellers that cavitate hard, geared high-speed diesels
        ais_codes=(52,), num_screws=(1, 2), num_blades=(4, 5), shaft_hz=(1.7, 5.0), depth_m=(2.5, 6.5),
        level_db=(-77, -67), peak_hz=(65, 280), slope_db=(13, 21.5), modulation=(0.3, 0.9), propeller_db=(2, 14),
        firing_hz=(20, 140), firing_db=(4, 16), whine_hz=(600, 3_500), whine_db=(6, 20), generator_db=(0, 13),
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Vessel:
    """One ship, the same in all its recordings. A field that `Kind` has too is one value out of its range."""

    ais_code: int
    num_screws: int
    num_blades: int
    shaft_hz: float
    depth_m: float
    level_db: float
    peak_hz: float
    slope_db: float
    modulation: float
    propeller_db: float
    firing_hz: float
    firing_db: float
    whine_hz: float
    whine_db: float
    generator_db: float
    screw_mismatch: float  # by which share the second screw turns faster
    resonances: tuple[tuple[float, float], ...]  # of the hull: (Hz, dB), an octave wide
    line_seed: int  # draws how strong each harmonic is


@dataclass(frozen=True, kw_only=True)
class Passage:
    """The conditions of one recording."""

    start_range_m: float
    end_range_m: float
    speed: float  # share of the service speed
    drift: float  # share of the shaft rate
    drift_s: float  # period of the drift
    sea_db: float  # wind and waves, below 500 Hz
    traffic_db: float  # ships behind the horizon, below 60 Hz


def draw_vessel(kind: Kind, rng: np.random.Generator, spread: float = 1.0) -> Vessel:
    """A ship of a class: the middle of a range, of the logarithm of a frequency, is the likeliest.

    Args:
        spread: width of the ranges, as a share of those of the kind; classes overlap less where it is small.
    """
    values: dict[str, float] = {}
    for name in (field.name for field in dataclasses.fields(Kind) if field.name != "ais_codes"):
        low, high = getattr(kind, name)
        if name.startswith("num_"):
            values[name] = int(rng.integers(low, high + 1))
        elif name.endswith("_hz"):
            ends = np.log(low), np.log(low * high) / 2, np.log(high)
            values[name] = float(np.exp(_drawn(*ends, spread, rng)))
        else:
            values[name] = float(_drawn(low, (low + high) / 2, high, spread, rng))
    resonances = tuple((float(50 * 2 ** rng.uniform(0, 7.5)), float(rng.normal(0, 3))) for _ in range(6))
    return Vessel(
        ais_code=int(rng.choice(kind.ais_codes)),
        screw_mismatch=float(rng.uniform(0.005, 0.03)),
        resonances=resonances,
        line_seed=int(rng.integers(2**31)),
        **values,  # type: ignore[arg-type]
    )


def _drawn(low: float, middle: float, high: float, spread: float, rng: np.random.Generator) -> float:
    nearer = 1 - spread
    return rng.triangular(low + nearer * (middle - low), middle, high - nearer * (high - middle))


def draw_passage(duration_s: float, rng: np.random.Generator) -> Passage:
    """The conditions of a recording; the range changes by at most 8 m/s."""
    start_range_m = rng.uniform(200, MAX_RANGE_M)
    end_range_m = np.clip(start_range_m + duration_s * rng.uniform(-8, 8), 150, MAX_RANGE_M)
    return Passage(
        start_range_m=float(start_range_m),
        end_range_m=float(end_range_m),
        speed=float(rng.uniform(0.8, 1.05)),
        drift=float(rng.uniform(0.002, 0.01)),
        drift_s=float(rng.uniform(20, 60)),
        sea_db=float(rng.uniform(-104, -88)),
        traffic_db=float(rng.uniform(-90, -74)),
    )


def ship_sound(
    vessel: Vessel, passage: Passage, num_samples: int, rate_hz: int, rng: np.random.Generator
) -> Float[np.ndarray, " samples"]:
    """The sound at the hydrophone."""
    time_s = np.arange(num_samples) / rate_hz
    angle = 2 * np.pi * time_s / passage.drift_s + rng.uniform(0, 2 * np.pi)
    drifted_s = time_s - passage.drift * passage.drift_s / (2 * np.pi) * np.cos(angle)
    shaft_cycles = vessel.shaft_hz * passage.speed * drifted_s
    screws = [shaft_cycles * (1 + k * vessel.screw_mismatch) + rng.random() for k in range(vessel.num_screws)]
    heard = _cavitation(vessel, passage, screws, rate_hz, rng) + _lines(vessel, passage, screws, rate_hz, rng)
    range_m = np.linspace(passage.start_range_m, passage.end_range_m, num_samples, dtype=np.float32)
    # Spreading by 15 dB per decade, between a sphere's 20 and a channel's 10.
    return (range_m / 1_000) ** -0.75 * heard + shaped_noise(num_samples, rate_hz, lambda f: sea(passage, f), rng)


def water(
    vessel: Vessel, passage: Passage, frequency_hz: Float[np.ndarray, " features"]
) -> Float[np.ndarray, " features"]:
    """Power that the way to the hydrophone passes, at the mean range and without spreading.

    The surface reflects the sound turned over, so that direct and reflected sound interfere (Lloyd's mirror): a shallow
    propeller loses its low notes. Scattering adds a low-pass whose corner falls with the range.
    """
    range_m = (passage.start_range_m + passage.end_range_m) / 2
    slant_m = np.hypot(range_m, HYDROPHONE_DEPTH_M)
    delay_s = 2 * vessel.depth_m * HYDROPHONE_DEPTH_M / slant_m / SOUND_SPEED_M_S
    reflected = 0.8 / (1 + (frequency_hz / 1_500) ** 2)  # short waves see a rough surface
    mirror = 1 + reflected**2 - 2 * reflected * np.cos(2 * np.pi * delay_s * frequency_hz)
    corner_hz = 6_000 * (1_000 / range_m)
    return mirror / (1 + (frequency_hz / corner_hz) ** 2)


def cavitation(
    vessel: Vessel, passage: Passage, frequency_hz: Float[np.ndarray, " features"]
) -> Float[np.ndarray, " features"]:
    """Mean power density of the ship's broadband noise, at 1 km and before the `water`."""
    octave = np.log2(frequency_hz)
    hull_db = np.zeros_like(frequency_hz)
    for resonance_hz, height_db in vessel.resonances:
        hull_db += height_db * np.exp(-2 * (octave - np.log2(resonance_hz)) ** 2)
    ratio = (frequency_hz / vessel.peak_hz) ** 2
    level_db = vessel.level_db + 50 * np.log10(passage.speed) + hull_db
    return 10 ** (level_db / 10) * ratio / (1 + ratio) ** (1 + vessel.slope_db / 20)


def sea(passage: Passage, frequency_hz: Float[np.ndarray, " features"]) -> Float[np.ndarray, " features"]:
    """Power density of the sea: wind falls by 17 dB per decade above 500 Hz (Wenz 1962), traffic by 30 above 60 Hz."""
    wind = 10 ** (passage.sea_db / 10) * (1 + (frequency_hz / 500) ** 2) ** -0.85
    return wind + 10 ** (passage.traffic_db / 10) * (1 + (frequency_hz / 60) ** 2) ** -1.5


def _cavitation(
    vessel: Vessel,
    passage: Passage,
    screws: list[Float[np.ndarray, " samples"]],
    rate_hz: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, " samples"]:
    """Broadband noise that swells with each blade, and a little with each turn, because blades differ."""
    swell = np.zeros(4 * vessel.num_blades)
    swell[0] = 0.3
    swell[vessel.num_blades - 1 :: vessel.num_blades] = 1 / np.arange(1, 5)
    period = np.exp(vessel.modulation * table(swell))
    period /= np.sqrt(np.mean(period**2))
    envelope: np.ndarray = np.mean([played(period, cycles) for cycles in screws], axis=0)

    def density(frequency_hz: Float[np.ndarray, " features"]) -> Float[np.ndarray, " features"]:
        return cavitation(vessel, passage, frequency_hz) * water(vessel, passage, frequency_hz)

    return envelope * shaped_noise(len(envelope), rate_hz, density, rng)


def _lines(
    vessel: Vessel,
    passage: Passage,
    screws: list[Float[np.ndarray, " samples"]],
    rate_hz: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, " samples"]:
    """Tones of propellers, engine and gears, which follow the shaft, and of generators, which do not."""
    shaft_hz, shaft_cycles = vessel.shaft_hz * passage.speed, screws[0]
    generator_cycles = GENERATOR_HZ * np.arange(len(shaft_cycles)) / rate_hz
    firing, whine = vessel.firing_hz / vessel.shaft_hz, vessel.whine_hz / vessel.shaft_hz
    groups = [  # (frequency, number, level and its fall with the order, phase) of a harmonic series
        (shaft_hz * firing, 24, vessel.firing_db, 0.4, shaft_cycles * firing),
        (shaft_hz * whine, 3, vessel.whine_db, 6.0, shaft_cycles * whine),
        (GENERATOR_HZ, 16, vessel.generator_db, 0.8, generator_cycles),
        *((shaft_hz * vessel.num_blades, 8, vessel.propeller_db, 2.0, turns * vessel.num_blades) for turns in screws),
    ]
    strength = np.random.default_rng(vessel.line_seed)
    total = np.zeros(len(shaft_cycles), np.float32)
    for base_hz, num_lines, above_db, fall_db, cycles in groups:
        order = np.arange(1, num_lines + 1)
        line_db = above_db - fall_db * (order - 1) + strength.normal(0, 4, num_lines)
        density = cavitation(vessel, passage, base_hz * order) * water(vessel, passage, base_hz * order)
        amplitudes = np.sqrt(2 * density * 10 ** (line_db / 10)) * (base_hz * order < rate_hz / 2)
        total += played(table(amplitudes, rng), cycles)
    return total
