"""Single clips to listen to: cut from a recording as those of a trial are, but at the recording's own rate."""

from __future__ import annotations

import base64
import io
import wave
from typing import TYPE_CHECKING

from datasets.engine.cache import excerpt
from datasets.engine.clips import Cut
from datasets.engine.corpus import CorpusError, Recording
from datasets.engine.decoding.audio import BadAudio, decode, resample, to_int16

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Int16

MOST_HZ = 48_000  # that browsers play everywhere; a recording at a higher rate is resampled to it


def clip(recording: Recording, cut: Cut, number: int, sha256: str = "") -> tuple[Int16[np.ndarray, " samples"], int]:
    """One clip of a recording, averaged over channels, and its rate [Hz].

    The clips of a trial are at its own rate, at which a loudspeaker may have nothing to play: 2 kHz, for example.

    Args:
        recording: the recording.
        cut: the way in which the trial cut its recordings.
        number: the clip, counted from 0.
        sha256: the hash that its file must have; empty for any.

    Raises:
        CorpusError: if the file cannot be read, is another one, or is too short for that clip.
    """
    try:
        waveform, facts = decode(recording.path, "allow")
    except BadAudio as error:
        raise CorpusError(f"{recording.path}: {error}; name the folder of the corpus with --data-root") from None
    if sha256 and facts.sha256 != sha256:
        raise CorpusError(
            f"{recording.path}: is not the file that was tested (sha256 {facts.sha256[:12]}, tested {sha256[:12]}); "
            "put that back, or leave --audio out"
        )
    rate_hz = min(facts.rate_hz, MOST_HZ)
    samples = excerpt(recording, to_int16(resample(waveform, facts.rate_hz, rate_hz)), rate_hz)
    if number >= (most := cut.number(len(samples), rate_hz)):
        raise CorpusError(f"{recording.path}: has {most} clips, and clip {number} was tested; put the tested file back")
    clips, _ = cut.cut(samples, rate_hz, number + 1)
    return clips[number], rate_hz


def data_uri(samples: Int16[np.ndarray, " samples"], rate_hz: int) -> str:
    """Samples as a WAV file of 16 bits within an address, which a page plays without fetching anything."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.astype("<i2").tobytes())
    return f"data:audio/wav;base64,{base64.b64encode(buffer.getvalue()).decode()}"
