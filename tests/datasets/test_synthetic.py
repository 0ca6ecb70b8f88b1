"""The invented corpora: the layout is the real one, the physics sensible, the classes hard but learnable."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from datasets import deepship, esc50
from datasets.synthetic.__main__ import main
from datasets.synthetic.deepship import write as write_deepship
from datasets.synthetic.esc50 import write as write_esc50
from datasets.synthetic.events import EVENTS, event_sound
from datasets.synthetic.ships import KINDS, Kind, Passage, Vessel, draw_passage, draw_vessel, ship_sound
from datasets.synthetic.sounds import played, shaped_noise, table

ROOT = Path(__file__).parents[2]
RATE_HZ = 16_000


class Row(NamedTuple):
    """A metafile's row that a recording's path was found for."""

    path: Path
    label: str
    ais_code: int
    vessel: str
    duration_s: int


@pytest.fixture(scope="module")
def ships(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DeepShip of 4 x 24 short recordings."""
    root = tmp_path_factory.mktemp("synthetic") / "ships"
    write_deepship(root, num_per_class=24, seconds=(3, 5), rate_hz=RATE_HZ)
    return root


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ESC-50 of 10 x 8 clips."""
    root = tmp_path_factory.mktemp("synthetic") / "events"
    write_esc50(root, rate_hz=RATE_HZ)
    return root


def rows_of(root: Path) -> list[Row]:
    rows = []
    for label in KINDS:
        text = (root / label / f"{label.lower()}-metafile").read_bytes().decode()
        assert text.endswith(",\r\n")
        for line in text.split("\r\n")[:-1]:
            identity, ais_code, name, day, time, duration_s, _, empty = line.split(",")
            assert not empty
            (path,) = (root / label).glob(f"{day}*-{identity}/{time}.wav")
            rows.append(Row(path, label, int(ais_code), name.strip(), int(duration_s)))
    return rows


def spectra(path: Path, low_hz: float, high_hz: float, window: int) -> np.ndarray:
    """Log power in twelve bands an octave, a row per window."""
    wave, rate_hz = soundfile.read(path)
    power = np.abs(np.fft.rfft(wave[: len(wave) // window * window].reshape(-1, window))) ** 2
    edges_hz = np.geomspace(low_hz, high_hz, 1 + round(6 * np.log2(high_hz / low_hz)))
    edges = np.unique(np.searchsorted(np.fft.rfftfreq(window, 1 / rate_hz), edges_hz))
    return 10 * np.log10(np.add.reduceat(power, edges, axis=1)[:, :-1] / np.diff(edges) + 1e-12)


def score(features: list[np.ndarray], labels: list[str], folds: list[tuple[np.ndarray, np.ndarray]]) -> float:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1_000))
    return float(cross_val_score(model, np.array(features), np.array(labels), cv=folds).mean())


def scores(root: Path, low_hz: float, high_hz: float) -> tuple[float, float]:
    """Accuracy on unseen recordings, and on unseen vessels, from mean spectra."""
    rows = rows_of(root)
    features = [spectra(row.path, low_hz, high_hz, 8_192).mean(0) for row in rows]
    labels, vessels = [row.label for row in rows], [row.vessel for row in rows]
    by_recording, by_vessel = (
        [
            fold
            for state in range(4)
            for fold in StratifiedGroupKFold(4, shuffle=True, random_state=state).split(features, labels, groups)
        ]
        for groups in (list(range(len(rows))), vessels)
    )
    return score(features, labels, by_recording), score(features, labels, by_vessel)


def tug(**changes: float) -> Vessel:
    """A tug with a single screw of 4 x 3 Hz that cavitates hard."""
    vessel = draw_vessel(KINDS["Tug"], np.random.default_rng(0))
    fixed: dict[str, Any] = {"num_screws": 1, "num_blades": 4, "shaft_hz": 3.0, "modulation": 0.9}
    return dataclasses.replace(vessel, **{**fixed, **changes})


def calm(range_m: float) -> Passage:
    """A passage at one range and speed, without a sea."""
    passage = draw_passage(10, np.random.default_rng(0))
    still = {"start_range_m": range_m, "end_range_m": range_m, "speed": 1.0, "drift": 0.0, "sea_db": -300.0}
    return dataclasses.replace(passage, traffic_db=-300.0, **still)


def band_db(wave: np.ndarray, low_hz: float, high_hz: float) -> float:
    power = np.abs(np.fft.rfft(wave)) ** 2
    frequency_hz = np.fft.rfftfreq(len(wave), 1 / RATE_HZ)
    return float(10 * np.log10(power[(frequency_hz >= low_hz) & (frequency_hz < high_hz)].sum()))


def test_noise_has_the_density_asked_for() -> None:
    """The power in a band is the density times its width."""
    wave = shaped_noise(
        200_000, RATE_HZ, lambda f: np.where((f > 1_000) & (f < 2_000), 0.01, 1e-9), np.random.default_rng(0)
    )
    assert np.mean(wave**2) == pytest.approx(0.01 * 1_000, rel=0.05)


def test_a_table_plays_its_harmonics() -> None:
    """Harmonic h of a wave with a period of a second lies at h Hz, with the amplitude asked for."""
    wave = played(table(np.array([0, 0, 0.5]), np.random.default_rng(0)), np.arange(1_000) / 1_000)
    amplitudes = np.abs(np.fft.rfft(wave)) * 2 / 1_000
    assert amplitudes.argmax() == 3
    assert amplitudes[3] == pytest.approx(0.5, abs=1e-3)


def test_every_two_classes_overlap_in_every_parameter() -> None:
    """No single parameter tells two classes of ships apart."""
    ranges = [field.name for field in dataclasses.fields(Kind) if field.name != "ais_codes"]
    for (first, second), name in itertools.product(itertools.combinations(KINDS.values(), 2), ranges):
        (low, high), (other_low, other_high) = getattr(first, name), getattr(second, name)
        assert max(low, other_low) <= min(high, other_high), name


def test_cavitation_swells_at_the_blade_rate() -> None:
    """The envelope spectrum of the noise above 1 kHz (DEMON) has its strongest line at blades x shaft rate."""
    wave = ship_sound(tug(whine_db=-100), calm(500), 20 * RATE_HZ, RATE_HZ, np.random.default_rng(1))
    spectrum = np.fft.rfft(wave)
    spectrum[: 20 * 1_000] = 0
    envelope = np.abs(np.fft.rfft(np.fft.irfft(spectrum) ** 2))[20 * 1 : 20 * 20]  # 1 to 20 Hz in steps of 0.05
    assert 1 + envelope.argmax() / 20 == pytest.approx(12, abs=0.1)
    assert envelope.max() > 10 * np.median(envelope)


def test_generator_lines_do_not_follow_the_shaft() -> None:
    """A slower ship lowers its engine's tone and keeps its generators' 60 Hz."""
    vessel = tug(firing_hz=100.0, firing_db=40.0, generator_db=40.0)
    slow = dataclasses.replace(calm(500), speed=0.9)
    fast_wave, slow_wave = (
        ship_sound(vessel, passage, 10 * RATE_HZ, RATE_HZ, np.random.default_rng(1)) for passage in (calm(500), slow)
    )
    assert band_db(fast_wave, 99, 101) > band_db(slow_wave, 99, 101) + 10
    assert band_db(slow_wave, 89, 91) > band_db(fast_wave, 89, 91) + 10
    assert band_db(slow_wave, 59, 61) == pytest.approx(band_db(fast_wave, 59, 61), abs=5)


def test_distance_is_a_low_pass() -> None:
    """From 300 m to 1800 m a ship loses more above 5 kHz than at 1 to 2 kHz."""
    near, far = (ship_sound(tug(), calm(m), 5 * RATE_HZ, RATE_HZ, np.random.default_rng(1)) for m in (300, 1_800))
    high, low = (band_db(near, *band) - band_db(far, *band) for band in ((5_000, 8_000), (1_000, 2_000)))
    assert low > 5
    assert high > low + 3


def test_a_ship_that_comes_near_grows_louder() -> None:
    """The level follows the range within a recording."""
    coming = dataclasses.replace(calm(1_000), start_range_m=2_000, end_range_m=200)
    wave = ship_sound(tug(), coming, 10 * RATE_HZ, RATE_HZ, np.random.default_rng(1))
    assert np.std(wave[-2 * RATE_HZ :]) > 2 * np.std(wave[: 2 * RATE_HZ])


@pytest.mark.slow
def test_metafile_rows_are_the_recordings(ships: Path) -> None:
    """Each row has its file, as long and as coded as it says, and there is no other file."""
    rows = rows_of(ships)
    assert sorted(row.path for row in rows) == sorted(ships.glob("*/*/*.wav"))
    assert Counter(row.label for row in rows) == dict.fromkeys(KINDS, 24)
    for row in rows:
        info = soundfile.info(row.path)
        assert (info.samplerate, info.channels, info.subtype) == (RATE_HZ, 1, "FLOAT")
        assert 3 <= info.duration <= 5
        assert info.duration == pytest.approx(row.duration_s, abs=0.51)
        assert row.ais_code in KINDS[row.label].ais_codes


@pytest.mark.slow
def test_a_vessel_has_two_or_three_recordings(ships: Path) -> None:
    """Names are of one class only, and code and class follow from the name."""
    recordings = defaultdict(list)
    for row in rows_of(ships):
        recordings[row.vessel].append(row)
    assert {len(group) for group in recordings.values()} <= {2, 3, 1}
    assert sum(len(group) == 1 for group in recordings.values()) <= len(KINDS)  # the last of each class
    for group in recordings.values():
        assert len({(row.label, row.ais_code) for row in group}) == 1


@pytest.mark.slow
def test_letters_order_the_recordings_of_a_day(ships: Path) -> None:
    """A day with one recording has no letter; several have a, b, ... in the order of their times."""
    days = defaultdict(list)
    for row in rows_of(ships):
        date = row.path.parent.name.partition("-")[0]
        days[row.label, date[:8]].append((row.path.stem, date[8:]))
    assert any(len(group) > 1 for group in days.values())
    for group in days.values():
        letters = [letter for _, letter in sorted(group)]
        assert letters == (["a", "b", "c", "d", "e"][: len(group)] if len(group) > 1 else [""])


@pytest.mark.slow
def test_the_loader_reads_the_ships(ships: Path) -> None:
    """DeepShip's own module finds every recording and its vessel, without a problem."""
    corpus = deepship.find(ships)
    assert corpus.classes == tuple(sorted(KINDS))
    assert not corpus.problems
    vessels = {row.path: row.vessel for row in rows_of(ships)}
    assert {recording.path: recording.groups["vessel"] for recording in corpus.recordings}.keys() == vessels.keys()
    assert len({recording.groups["vessel"] for recording in corpus.recordings}) == len(set(vessels.values()))


@pytest.mark.slow
def test_ships_are_hard_but_learnable_and_new_vessels_are_harder(ships: Path) -> None:
    """A linear model on mean spectra is far from chance (0.25) and from perfect, and lower on unseen vessels."""
    by_recording, by_vessel = scores(ships, 40, 7_000)
    assert 0.5 < by_recording < 0.85
    assert 0.35 < by_vessel < by_recording - 0.02


@pytest.mark.slow
@pytest.mark.parametrize("band_hz", [(40, 1_000), (1_000, 7_000)])
def test_both_ends_of_the_spectrum_tell_classes(ships: Path, band_hz: tuple[float, float]) -> None:
    """What a rate of 2 kHz keeps and what it cuts away are each above chance (0.25)."""
    assert scores(ships, *band_hz)[0] > 0.35


def bytes_of(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_same_seed_same_bytes(tmp_path: Path) -> None:
    """A corpus is its seed, whenever it is written."""
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_deepship(tmp_path / name, num_per_class=2, seconds=(0.5, 0.5), seed=seed)
        write_esc50(tmp_path / name / "events", num_per_class=1, num_classes=2, rate_hz=RATE_HZ, seed=seed)
    first, again, other = (bytes_of(tmp_path / name) for name in "abc")
    assert first == again
    assert not set(first.values()) & set(other.values())


@pytest.mark.slow
def test_floats_carry_no_time_of_day(ships: Path) -> None:
    """The header is that of the real files, 58 bytes, without libsndfile's dated PEAK chunk."""
    path = next(ships.glob("*/*/*.wav"))
    assert b"PEAK" not in path.read_bytes()[:128]
    assert path.stat().st_size == 58 + 4 * soundfile.info(path).frames


def test_ships_as_pcm(tmp_path: Path) -> None:
    """The same sound is written as 16-bit integers when asked."""
    write_deepship(tmp_path / "float", num_per_class=1, seconds=(0.5, 0.5))
    write_deepship(tmp_path / "pcm", num_per_class=1, seconds=(0.5, 0.5), subtype="PCM_16")
    path = next((tmp_path / "pcm").glob("*/*/*.wav"))
    assert soundfile.info(path).subtype == "PCM_16"
    exact, _ = soundfile.read(tmp_path / "float" / path.relative_to(tmp_path / "pcm"))
    assert soundfile.read(path)[0] == pytest.approx(exact, abs=1 / 32_768)


def table_of(root: Path) -> list[dict[str, str]]:
    with (root / "meta/esc50.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_event_names_are_their_rows(events: Path) -> None:
    """A file is named fold-source-take-target, holds 5 s of 16-bit sound, and there is no other file."""
    rows = table_of(events)
    assert sorted(row["filename"] for row in rows) == sorted(path.name for path in (events / "audio").iterdir())
    for row in rows:
        assert row["filename"] == f"{row['fold']}-{row['src_file']}-{row['take']}-{row['target']}.wav"
        assert EVENTS[row["category"]].target == int(row["target"])
        assert row["esc10"] == str(EVENTS[row["category"]].in_esc10)
        info = soundfile.info(events / "audio" / row["filename"])
        assert (info.samplerate, info.channels, info.subtype, info.duration) == (RATE_HZ, 1, "PCM_16", 5.0)


@pytest.mark.slow
def test_a_source_stays_in_one_fold_and_class(events: Path) -> None:
    """Takes of one source share fold and class, and every class is in every fold."""
    rows = table_of(events)
    homes = {(row["src_file"], row["fold"], row["category"]) for row in rows}
    assert len(homes) == len({row["src_file"] for row in rows}) < len(rows)
    assert {(row["fold"], row["category"]) for row in rows} == set(itertools.product("12345", EVENTS))


@pytest.mark.slow
def test_no_two_takes_are_the_same(events: Path) -> None:
    """Every clip is another sound, also of one source."""
    assert len({path.read_bytes() for path in (events / "audio").iterdir()}) == len(table_of(events))


@pytest.mark.slow
def test_the_loader_reads_the_events(events: Path) -> None:
    """ESC-50's own module finds every clip, without a problem."""
    corpus = esc50.find(events)
    assert len(corpus.recordings) == len(table_of(events))
    assert not corpus.problems


@pytest.mark.parametrize("category", EVENTS)
def test_events_are_sound(category: str) -> None:
    """Every event is finite, 5 s long, within full scale, and another take of the source is another sound."""
    first, second = (
        event_sound(EVENTS[category], np.random.default_rng(1), np.random.default_rng(take), RATE_HZ) for take in (2, 3)
    )
    assert first.shape == (5 * RATE_HZ,)
    assert 0.1 <= np.abs(first).max() <= 0.9
    assert np.abs(np.corrcoef(first, second)[0, 1]) < 0.9


@pytest.mark.slow
def test_events_are_hard_but_learnable(events: Path) -> None:
    """A linear model on mean spectra and their spread is far from chance (0.1) and from perfect on unseen sources."""
    rows = table_of(events)
    frames = [spectra(events / "audio" / row["filename"], 60, 7_000, 1_000) for row in rows]
    features = [np.concatenate([frame.mean(0), frame.std(0)]) for frame in frames]
    fold = np.array([row["fold"] for row in rows])
    folds = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in "12345"]
    assert 0.4 < score(features, [row["category"] for row in rows], folds) < 0.95


@pytest.mark.parametrize("write", [write_deepship, write_esc50])
def test_a_folder_with_something_in_it_is_refused(write: type, tmp_path: Path) -> None:
    """What is there already is neither mixed with nor overwritten."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="is not empty"):
        write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_impossible_numbers_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    """The message names the value."""
    root = tmp_path / "new"
    with pytest.raises(ValueError, match="num_per_class=0"):
        write_deepship(root, num_per_class=0)
    with pytest.raises(ValueError, match=r"seconds=\(5, 2\)"):
        write_deepship(root, seconds=(5, 2))
    with pytest.raises(ValueError, match="num_classes=11"):
        write_esc50(root, num_classes=11)
    with pytest.raises(ValueError, match="rate_hz=8000"):
        write_esc50(root, rate_hz=8_000)
    assert not root.exists()


def test_command_line_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Number, seconds, rate and folder."""
    main(["deepship", str(tmp_path / "ships"), "--recordings-per-class", "2", "--seconds", "1", "1", "--seed", "3"])
    assert capsys.readouterr().out == f"8 recordings, 8 s at 32000 Hz in {tmp_path / 'ships'}\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["esc50", "--clips-per-class", "0"], "num_per_class=0"),
        (["esc50", "--clips-per-class", "999999999999"], "num_per_class=999999999999"),
        (["esc50", "--rate", "99999999999"], "rate_hz=99999999999"),
        (["esc50", "--seed", "-1"], "seed=-1"),
        (["deepship", "--seconds", "nan", "1"], "seconds=[nan, 1.0]"),
        (["deepship", "--seconds", "1", "inf"], "seconds=[1.0, inf]"),
        (["deepship", "--recordings-per-class", "1e3"], "invalid int value: '1e3'"),
    ],
)
def test_command_line_refuses_in_one_line(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A number that cannot be ends the program with the message alone, and leaves no folder."""
    with pytest.raises(SystemExit, match=r"^2$"):
        main([*words, str(tmp_path / "corpus")])
    assert told in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize("root", ["", "\0", "x" * 5000, "~nobody-has-this-name/x", "/proc/version/x"])
def test_a_folder_that_cannot_be_made_is_refused(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In words, whatever the system says of it."""
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["esc50", root])
    assert capsys.readouterr().err.startswith("datasets.synthetic: ")


@pytest.mark.slow
def test_nothing_heavy_is_loaded() -> None:
    """A corpus is written with numpy and soundfile alone."""
    heavy = {"torch", "ray", "mlflow", "scipy", "pandas"}
    code = f"import sys, datasets.synthetic.__main__; print({heavy} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout == "set()\n"
