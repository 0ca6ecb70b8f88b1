"""Headers of containers are checked against the file: flipped bits, sizes from pipes, checksums of FLAC and Ogg."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from datasets.engine.decoding.audio import decode
from datasets.engine.decoding.containers import BadAudio

SOUND = {"AIFF": (b"SSND", 16), "W64": (b"data", 24)}  # the chunk before the samples, and its length


def encoded(container: str, subtype: str, channels: int = 1, rate_hz: int = 8_000, num_frames: int = 300) -> bytes:
    out, rng = io.BytesIO(), np.random.default_rng(channels)
    soundfile.write(out, rng.uniform(-0.5, 0.5, (num_frames, channels)), rate_hz, format=container, subtype=subtype)
    return out.getvalue()


def place(folder: Path, content: bytes) -> Path:
    (folder / "x.wav").write_bytes(content)
    return folder / "x.wav"


def undetected(folder: Path, content: bytes, bits: Iterable[int]) -> list[int]:
    """The bits that can be flipped so that a file is read as different sound."""
    wave, facts = decode(place(folder, content))
    bits_found = []
    for bit in bits:
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            other, others = decode(place(folder, bytes(flipped)))
        except BadAudio:
            continue
        same = (others.rate_hz, others.num_channels) == (facts.rate_hz, facts.num_channels)
        if not (same and np.array_equal(wave, other)):
            bits_found.append(bit)
    return bits_found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("container", "subtype", "channels", "rate_hz", "num_undetected"),
    [
        ("WAV", "PCM_U8", 1, 8_000, 0),
        ("WAV", "PCM_16", 1, 8_000, 0),
        ("WAV", "PCM_16", 2, 44_100, 0),
        ("WAV", "PCM_24", 2, 48_000, 0),
        ("WAV", "PCM_32", 1, 96_000, 0),
        ("WAV", "FLOAT", 2, 44_100, 1),  # codec 3 and codec 1 are one bit apart: floats, or integers of 32 bits
        ("WAV", "DOUBLE", 1, 8_000, 0),
        ("WAV", "ULAW", 1, 8_000, 1),  # codecs 7 and 6 are one bit apart too: mu-law and A-law
        ("WAV", "IMA_ADPCM", 1, 8_000, 1),  # its bytes per second are rounded: they are the same for 8001 and 8000 Hz
        ("WAV", "MS_ADPCM", 2, 44_100, 0),
        ("WAVEX", "PCM_16", 2, 44_100, 0),
        ("WAVEX", "PCM_24", 1, 52_734, 0),
        ("WAVEX", "FLOAT", 1, 8_000, 1),
        ("RF64", "PCM_16", 2, 44_100, 0),
        ("RF64", "FLOAT", 1, 8_000, 1),
        ("W64", "PCM_24", 2, 44_100, 0),
        ("W64", "FLOAT", 1, 8_000, 1),
        (
            "AIFF",
            "PCM_16",
            1,
            8_000,
            3,
        ),  # no other field has its rate: a flip in the exponent turns 8000 Hz into 4000, 2000 or 128000
        ("AIFF", "PCM_24", 2, 44_100, 2),
        ("AIFF", "FLOAT", 1, 48_000, 3),
    ],
)
def test_one_wrong_bit_of_a_header_changes_no_sound(
    container: str, subtype: str, channels: int, rate_hz: int, num_undetected: int, memory: Path
) -> None:
    """Each flip is refused or changes no sound; the bits that no other field contradicts are listed."""
    content = encoded(container, subtype, channels, rate_hz)
    name, length = SOUND.get(container, (b"data", 8))
    assert len(undetected(memory, content, range(8 * (content.index(name) + length)))) == num_undetected


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 52_734, 384_000])
def test_one_wrong_bit_of_a_flac_changes_no_sound(rate_hz: int, memory: Path) -> None:
    """Flips in header, frames and checksums show, by the file's MD5 and its first frame."""
    content = encoded("FLAC", "PCM_16", 2, rate_hz, num_frames=50)
    assert undetected(memory, content, [*range(8 * 42), *range(8 * 42, 8 * len(content), 5)]) == []


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_one_wrong_bit_of_an_ogg_is_refused(subtype: str, memory: Path) -> None:
    """Every flip shows, because every page has a checksum."""
    content = encoded("OGG", subtype, rate_hz=48_000, num_frames=2_000)
    assert undetected(memory, content, [*range(8 * 30), *range(8 * 30, 8 * len(content), 29)]) == []


PCM = (9_000 * np.sin(np.arange(3_000) * 0.2)).astype("<i2").tobytes()


def wav(
    riff: int | None = None,
    data: int | None = None,
    before: bytes = b"",
    behind: bytes = b"",
    tag: bytes = b"RIFF",
    form: tuple[int, int, int, int, int, int] = (1, 1, 8_000, 16_000, 2, 16),
    samples: bytes = PCM,
) -> bytes:
    """A WAV with the sizes that a recorder wrote, or with the right ones."""
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, *form)
    size = struct.pack("<I", len(samples) if data is None else data)
    body = b"WAVE" + before + fmt + b"data" + size + samples + behind
    return tag + struct.pack("<I", len(body) if riff is None else riff) + body


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content


def ds64(num_bytes: int, riff: int | None = None) -> bytes:
    size = 4 + 36 + 24 + 8 + len(PCM) if riff is None else riff
    return chunk(b"ds64", struct.pack("<QQQI", size, num_bytes, len(PCM) // 2, 0))


ALL_ONES = 2**32 - 1
PLAYABLE = {
    "plain": wav(),
    "form too small": wav(riff=35),
    "form too big": wav(riff=0x10000000),
    "form of no size": wav(riff=0),
    "pipe of sox": wav(riff=0x7FFFF024, data=0x7FFFF000),
    "pipe of arecord": wav(riff=0x80000024, data=0x80000000),
    "pipe of ffmpeg": wav(riff=ALL_ONES, data=ALL_ONES),
    "RF64": wav(ALL_ONES, ALL_ONES, ds64(len(PCM)), tag=b"RF64"),
    "broadcast": wav(before=chunk(b"bext", bytes(602))),
    "ID3 behind": wav(behind=chunk(b"id3 ", bytes(10))),
    "ID3 behind, form of no size": wav(riff=0, behind=chunk(b"id3 ", bytes(10))),
    "two chunks behind, one not padded": wav(behind=chunk(b"LIST", bytes(7)) + chunk(b"id3 ", bytes(10))),
    "zeros behind the form": wav() + bytes(4_096),
    "zeros behind, within the form": wav(behind=bytes(50)),
    "name of no chunk in the samples": wav(samples=PCM[:1_000] + b"data" + PCM[1_004:]),
}


@pytest.mark.parametrize("name", PLAYABLE)
def test_what_recorders_and_pipes_write_is_read_whole(name: str, memory: Path) -> None:
    """All 3000 samples at 8 kHz are read, whatever the sizes say and whatever surrounds the samples."""
    wave, facts = decode(place(memory, PLAYABLE[name]))
    assert (len(wave), facts.rate_hz, facts.num_channels) == (3_000, 8_000, 1)


def test_a_pipe_of_any_frame_is_read_whole(memory: Path) -> None:
    """Sox writes the largest whole number of frames below its placeholder, and pads an odd number of bytes."""
    samples = np.random.default_rng(0).bytes(303)
    stereo = wav(0x7FFFF024, 0x7FFFF000 // 6 * 6, form=(1, 2, 8_000, 48_000, 6, 24), samples=samples[:300])
    assert decode(place(memory, stereo))[1].num_frames == 50
    mono = wav(0x7FFFF024, 0x7FFFF000 // 3 * 3, form=(1, 1, 8_000, 24_000, 3, 24), samples=samples + b"\0")
    assert decode(place(memory, mono))[1].num_frames == 101
    with pytest.raises(BadAudio, match="truncated: 302 bytes of samples are not a whole number of frames of 3 bytes"):
        decode(place(memory, mono[:-2]))


REWRITE = "; rewrite the header: sox --ignore-length IN OUT, or ffmpeg"
REFUSED = {
    "unfinished": (wav(riff=36, data=0), "unfinished: its header promises no samples, 6000 bytes follow" + REWRITE),
    "unfinished, no sizes": (wav(riff=0, data=0), "unfinished: its header promises no samples, 6000 bytes follow"),
    "unfinished RF64": (wav(ALL_ONES, ALL_ONES, ds64(0), tag=b"RF64"), "unfinished: .* 6000 bytes follow" + REWRITE),
    "RF64 cut": (wav(ALL_ONES, ALL_ONES, ds64(len(PCM)), tag=b"RF64")[:-100], "truncated: .* 6000 .*, 5900 are there"),
    "RF64 without sizes": (wav(ALL_ONES, ALL_ONES, tag=b"RF64"), "unfinished: .* 6000 bytes follow" + REWRITE),
    "unfinished AIFF": (
        (aiff := encoded("AIFF", "PCM_16"))[: (at := aiff.index(b"SSND") + 4)] + bytes(4) + aiff[at + 4 :],
        "unfinished: its header promises no samples, 600 bytes follow",
    ),
    "samples behind the samples": (
        wav(data=2_000),
        "unfinished or damaged: .* 2000 bytes of samples, and 4000 more follow that are not a chunk",
    ),
    "half a frame": (
        wav(samples=PCM[:-1]),
        "truncated: 5999 bytes of samples are not a whole number of frames of 2 bytes",
    ),
    "no fmt chunk": (wav().replace(b"fmt ", b"fnt "), "its header cannot be right: no fmt chunk says how"),
    "no data chunk": (wav().replace(b"data", b"dota"), "holds no samples: it has no data chunk; if it should, rewrite"),
    "wrong rate": (
        wav(form=(1, 1, 8_001, 16_000, 2, 16)),
        "contradicts itself: 8001 Hz, 2 bytes a frame or block, but 16000 bytes a second; correct it, or get",
    ),
    "wrong channels": (
        wav(form=(1, 2, 8_000, 16_000, 2, 16)),
        "contradicts itself: 2 times 16 bits in .* 2 bytes a",
    ),
    "24 bits in 32": (wav(form=(1, 1, 8_000, 32_000, 4, 24)), "contradicts itself: 1 times 24 bits .*, but 4 bytes a"),
    "a codec that nothing confirms": (
        wav(form=(0x55, 1, 8_000, 1_000, 1, 0)),
        "codec 0x55 with 0 bits; convert it to W",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_whole_is_refused_in_words(name: str, memory: Path) -> None:
    """The message states the header's promise, the actual data and the remedy."""
    content, reason = REFUSED[name]
    with pytest.raises(BadAudio, match=reason):
        decode(place(memory, content))


@pytest.mark.parametrize("behind", [chunk(b"id3 ", bytes(10)), b"\x42" * 50, bytes(50)])
def test_what_follows_the_samples_is_none_of_them(behind: bytes, memory: Path) -> None:
    """A smaller size is only valid if a chunk or the end of the form follows."""
    with pytest.raises(BadAudio, match="unfinished or damaged"):
        decode(place(memory, wav(data=3_000, behind=behind)))


@pytest.mark.parametrize(("subtype", "container"), [("PCM_16", "W64"), ("PCM_24", "AIFF"), ("FLOAT", "AIFF")])
def test_w64_and_aiff_are_read_as_they_were_written(subtype: str, container: str, memory: Path) -> None:
    """They have the same samples, rate and channels as a WAV."""
    wave, facts = decode(place(memory, encoded(container, subtype, 2, 44_100)))
    expected, of_wav = decode(place(memory, encoded("WAV", subtype, 2, 44_100)))
    np.testing.assert_array_equal(wave, expected)
    assert (facts.rate_hz, facts.num_channels, facts.num_frames) == (of_wav.rate_hz, 2, 300)


def test_a_rate_of_aiff_that_nothing_confirms_is_refused(memory: Path) -> None:
    """The rate must be a multiple of 25 Hz, which no single wrong bit preserves."""
    with pytest.raises(BadAudio, match=r"its header says 52734 Hz, no multiple of 25, and AIFF .* convert it to WAV"):
        decode(place(memory, encoded("AIFF", "PCM_16", rate_hz=52_734)))


def flac(num_frames: int | None = None, md5: bytes | None = None, subtype: str = "PCM_16") -> bytes:
    """A FLAC file of 300 frames whose header has another number of frames or another MD5."""
    content = encoded("FLAC", subtype, 2)
    fields = int.from_bytes(content[18:26], "big")
    fields = fields - fields % 2**36 + (300 if num_frames is None else num_frames)
    return content[:18] + fields.to_bytes(8, "big") + (content[26:42] if md5 is None else md5) + content[42:]


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
def test_the_md5_of_a_flac_is_that_of_its_samples(subtype: str, memory: Path) -> None:
    """A file with the right MD5 or none is accepted, one with a wrong MD5 is refused."""
    for md5 in (None, bytes(16)):
        assert decode(place(memory, flac(md5=md5, subtype=subtype)))[1].num_frames == 300
    with pytest.raises(
        BadAudio, match="damaged: the MD5 of its samples is not the one in its header; get the file again"
    ):
        decode(place(memory, flac(md5=b"0123456789abcdef", subtype=subtype)))


def test_a_flac_of_unknown_length_is_refused(memory: Path) -> None:
    """Without a length, nobody can tell whether the file was truncated."""
    with pytest.raises(BadAudio, match="a FLAC stream of unknown length, which may have been cut; write it again"):
        decode(place(memory, flac(num_frames=0, md5=bytes(16))))


def test_without_md5_a_flac_may_only_pass_for_shorter(memory: Path) -> None:
    """Only flips that make the number of frames smaller remain undetected."""
    content = flac(md5=bytes(16))
    bits = undetected(memory, content, range(8 * 42))
    assert bits == [8 * 24, 8 * 25 + 2, 8 * 25 + 3, 8 * 25 + 5]  # 300 = 0b1_00101100


def test_ogg_streams_in_a_row_are_refused(memory: Path) -> None:
    """Only the first stream would be read, even if both are the same."""
    first, second = (encoded("OGG", "VORBIS", channels, num_frames=2_000) for channels in (1, 2))
    for content in (first + second, first + first, first + b"padding" + second):
        with pytest.raises(BadAudio, match=r"several Ogg streams in one file|its last Ogg page is missing"):
            decode(place(memory, content))
    assert decode(place(memory, first + b"padding"))[1].num_frames == 2_000


def test_a_missing_ogg_page_is_refused(memory: Path) -> None:
    """Pages are numbered, so a missing one is noticed."""
    content = encoded("OGG", "VORBIS", num_frames=200_000)
    starts = [at for at in range(len(content)) if content.startswith(b"OggS", at)]
    assert len(starts) > 5
    with pytest.raises(BadAudio, match=f"damaged: an Ogg page is missing before byte {starts[3]}"):
        decode(place(memory, content[: starts[3]] + content[starts[4] :]))
