"""Checks the header of a sound file against the file itself: libsndfile reads truncated or damaged files silently.

The formats are WAV (and RF64, its form beyond 4 GB), W64, AIFF and AIFF-C, FLAC and Ogg. Their headers are redundant (a
rate and bytes per second, a size and an end), so a wrong bit contradicts another field. The tests flip every bit.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

PCM, MS_ADPCM, FLOAT, ALAW, MULAW, IMA_ADPCM, EXTENSIBLE = 1, 2, 3, 6, 7, 0x11, 0xFFFE  # codecs of WAV
WIDTHS = {FLOAT: (32, 64), ALAW: (8,), MULAW: (8,)}  # bits
ADPCM_HEADS = {MS_ADPCM: 7, IMA_ADPCM: 4}  # bytes per channel at the head of a block,
ADPCM_FIRST = {MS_ADPCM: 2, IMA_ADPCM: 1}  # and the samples in them
UNKNOWN_SIZES = (2**32 - 1, 2**31, 2**31 - 1, 0x7FFFF000)  # written to pipes by ffmpeg, arecord, some others, and sox
REWRITE = "rewrite the header: sox --ignore-length IN OUT, or ffmpeg -ignore_length 1 -i IN OUT"
CONVERT = "convert it to WAV: sox IN OUT, or ffmpeg -i IN OUT"
AIFF_WIDTHS = dict.fromkeys((b"ulaw", b"ULAW", b"alaw", b"ALAW"), 1) | dict.fromkeys(  # bytes; 0: see the bits
    (b"NONE", b"twos", b"sowt", b"raw ", b"in24", b"in32", b"42ni", b"23ni", b"fl32", b"FL32", b"fl64", b"FL64"), 0
)
AIFF_RATE_STEP_HZ = 25
FLAC_RATES_HZ = (0, 88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000)
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # each byte with its bits in reverse order


class BadAudio(ValueError):
    """A file that must not be used; the message is the reason, without the path."""


@dataclass(frozen=True)
class Header:
    """The statements of a container about its sound; None where it states nothing that the samples could contradict."""

    rate_hz: int | None = None
    num_channels: int | None = None
    num_frames: int | None = None
    md5: bytes | None = None  # of the samples, as FLAC defines it
    bits: int = 0


@dataclass(frozen=True)
class _Layout:
    """The way in which a family of containers writes its chunks."""

    head: str  # name and size, in the notation of struct
    step: int = 2  # chunks begin at multiples of it [bytes]
    counted: int = 0  # bytes of the head that the size includes


RIFF, IFF, SONIC = _Layout("<4sI"), _Layout(">4sI"), _Layout("<16sQ", step=8, counted=24)
W64_RIFF = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
W64_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")


@dataclass(frozen=True)
class _Chunk:
    """One chunk: the start of its content, and the size that its head states [bytes]."""

    name: bytes
    start: int
    size: int

    @property
    def end(self) -> int:
        """The end of its content, if the file holds all of it."""
        return self.start + self.size


@dataclass(frozen=True)
class _Form:
    """The storage of samples; `frame_bytes` is 0 if the codec packs several frames into a block."""

    rate_hz: int
    num_channels: int
    frame_bytes: int


def header(data: bytes) -> Header:
    """The header of a file, checked against the rest of the file.

    Raises:
        BadAudio: if the file is empty, of an unknown kind, truncated or unfinished, or if it contradicts itself.
    """
    if not data:
        raise BadAudio("empty file (0 bytes)")
    if data.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] in (b"<", b"{"):
        raise BadAudio(f"not audio: it begins with {data[:20].decode('latin-1')!r}; download it again")
    if data[:4] in (b"RIFF", b"RF64") and data[8:12] == b"WAVE":
        return _wav(data)
    if data[:16] == W64_RIFF and data[24:40] == b"wave" + W64_TAIL:
        return _w64(data)
    if data[:4] == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        return _aiff(data)
    if data[:4] == b"fLaC":
        return _flac(data)
    if data[:4] == b"OggS":
        return _ogg(data)
    # libsndfile reads other formats too, but nothing in those reveals that a file was truncated.
    raise BadAudio(f"neither WAV, RF64, W64, AIFF, FLAC nor Ogg: it begins with {data[:12]!r}; {CONVERT}")


def _chunks(data: bytes, layout: _Layout, at: int) -> Iterator[_Chunk]:
    """Yields the chunks from byte `at` on; each size leads to the next chunk."""
    length = struct.calcsize(layout.head)
    while at + length <= len(data):
        name, size = struct.unpack_from(layout.head, data, at)
        if size < layout.counted:
            raise BadAudio(f"its header cannot be right: a chunk of {size} bytes at byte {at}; {REWRITE}")
        yield (chunk := _Chunk(name, at + length, size - layout.counted))
        at = -(-chunk.end // layout.step) * layout.step


def _wav(data: bytes) -> Header:
    """The header of a WAV file, or of RF64, which keeps its long sizes in a separate chunk."""
    riff_end, form, long_size = 8 + struct.unpack_from("<I", data, 4)[0], None, 0
    for chunk in _chunks(data, RIFF, 12):
        if chunk.name == b"ds64" and data[:4] == b"RF64" and chunk.start + 16 <= len(data):
            riff_size, long_size = struct.unpack_from("<QQ", data, chunk.start)
            riff_end = 8 + riff_size
        elif chunk.name == b"fmt " and form is None:
            form = _form(data[chunk.start : chunk.end])
        elif chunk.name == b"data":
            if chunk.size == UNKNOWN_SIZES[0] and data[:4] == b"RF64":
                chunk = _Chunk(chunk.name, chunk.start, long_size)
            return _sized(data, RIFF, form, chunk, riff_end)
    if riff_end > len(data):
        raise BadAudio(f"truncated: its header promises {riff_end} bytes, the file has {len(data)}")
    raise BadAudio(f"holds no samples: it has no data chunk; if it should, {REWRITE}")


def _w64(data: bytes) -> Header:
    form = None
    for chunk in _chunks(data, SONIC, 40):
        if chunk.name == b"fmt " + W64_TAIL:
            form = _form(data[chunk.start : chunk.end])
        elif chunk.name == b"data" + W64_TAIL:
            return _sized(data, SONIC, form, chunk, struct.unpack_from("<Q", data, 16)[0])
    raise BadAudio("truncated: its header does not reach its samples")


def _aiff(data: bytes) -> Header:
    chunks: dict[bytes, _Chunk] = {}
    for chunk in _chunks(data, IFF, 12):
        chunks.setdefault(chunk.name, chunk)
        if b"COMM" in chunks and b"SSND" in chunks:
            break
    else:
        raise BadAudio("truncated: its header does not reach its samples")
    common = data[chunks[b"COMM"].start : chunks[b"COMM"].end]
    if len(common) < (18 if data[8:12] == b"AIFF" else 22):
        raise BadAudio(f"its header cannot be right: its COMM chunk has {len(common)} bytes; {REWRITE}")
    num_channels, num_frames, bits, exponent, mantissa = struct.unpack_from(">HIHHQ", common)
    codec = common[18:22] if data[8:12] == b"AIFC" else b"NONE"
    if codec not in AIFF_WIDTHS:
        raise BadAudio(f"compressed as {codec!r}, which nothing in its header confirms; {CONVERT}")
    rate_hz = math.ldexp(mantissa, min(exponent, 16_383 + 40) - 16_383 - 63)  # the limit avoids an overflow
    # A multiple plus 2^k is never a multiple, so a wrong bit of the mantissa shows.
    if rate_hz % AIFF_RATE_STEP_HZ or not rate_hz:
        raise BadAudio(
            f"its header says {rate_hz:g} Hz, no multiple of {AIFF_RATE_STEP_HZ}, and AIFF has no second field "
            f"that confirms it; if it is right, {CONVERT}"
        )
    samples = chunks[b"SSND"]
    offset = int.from_bytes(data[samples.start : samples.start + 4], "big")
    form = _Form(int(rate_hz), num_channels, num_channels * (AIFF_WIDTHS[codec] or -(-bits // 8)))
    if offset:
        raise BadAudio(f"its header cannot be right: its samples begin {offset} bytes late; {CONVERT}")
    samples = _Chunk(samples.name, samples.start + 8, max(0, samples.size - 8))
    checked = _sized(data, IFF, form, samples, 8 + int.from_bytes(data[4:8], "big"))
    if checked.num_frames != num_frames:
        raise _contradiction(f"{num_frames} frames", f"{samples.size} bytes of samples in frames of {form.frame_bytes}")
    return checked


def _form(fmt: bytes) -> _Form:
    """Reads the fmt chunk of WAV, RF64 and W64, whose fields must confirm each other."""
    if len(fmt) < 16:
        raise BadAudio(f"its header cannot be right: its fmt chunk has {len(fmt)} bytes; {REWRITE}")
    codec, num_channels, rate_hz, byte_rate, block, bits = struct.unpack_from("<HHIIHH", fmt)
    if codec == EXTENSIBLE:
        codec = int.from_bytes(fmt[24:28], "little")
    per_block = int.from_bytes(fmt[18:20], "little") if codec in ADPCM_HEADS else 1  # frames
    byte_rates = {rate_hz * block}
    if codec in (PCM, FLOAT, ALAW, MULAW) and bits in WIDTHS.get(codec, range(1, 65)):
        expected = num_channels * -(-bits // 8)
    elif codec in ADPCM_HEADS and per_block:  # a head, then four bits per sample
        expected = ADPCM_HEADS[codec] * num_channels + (per_block - ADPCM_FIRST[codec]) * num_channels // 2
        byte_rates = {rate_hz * block // per_block, -(-rate_hz * block // per_block), rate_hz * num_channels // 2}
    else:
        raise BadAudio(f"nothing confirms its header: codec 0x{codec:x} with {bits} bits; {CONVERT}")
    if block != expected or not block:
        raise _contradiction(
            f"{num_channels} times {bits} bits in codec 0x{codec:x}", f"{block} bytes a frame or block"
        )
    if byte_rate not in byte_rates:
        raise _contradiction(f"{rate_hz} Hz, {block} bytes a frame or block", f"{byte_rate} bytes a second")
    return _Form(rate_hz, num_channels, 0 if codec in ADPCM_HEADS else block)


def _sized(data: bytes, layout: _Layout, form: _Form | None, samples: _Chunk, form_end: int) -> Header:
    """The header of a file whose samples are complete, and end where the file or another chunk says."""
    if form is None:
        raise BadAudio("its header cannot be right: no fmt chunk says how its samples are stored; get the file again")
    present, frame = len(data) - samples.start, form.frame_bytes
    unknown = layout is RIFF and samples.size in {top - top % (frame or 1) for top in UNKNOWN_SIZES} | {*UNKNOWN_SIZES}
    if samples.size > present and unknown:
        padded = present % 2 == 0 and data[-1] == 0  # sox pads an odd number of bytes
        samples = _Chunk(
            samples.name,
            samples.start,
            present - 1 if frame and present % frame == 1 and padded else present,
        )
    elif samples.size > present:
        raise BadAudio(f"truncated: its header promises {samples.size} bytes of samples, {present} are there")
    elif not _closed(data, layout, samples.end, form_end if samples.size else len(data)):
        if not samples.size:
            raise BadAudio(f"unfinished: its header promises no samples, {present} bytes follow; {REWRITE}")
        raise BadAudio(
            f"unfinished or damaged: its header promises {samples.size} bytes of samples, and "
            f"{present - samples.size} more follow that are not a chunk; {REWRITE}"
        )
    if frame and samples.size % frame:
        raise BadAudio(f"truncated: {samples.size} bytes of samples are not a whole number of frames of {frame} bytes")
    return Header(form.rate_hz, form.num_channels, samples.size // frame if frame else None)


def _closed(data: bytes, layout: _Layout, at: int, form_end: int) -> bool:
    """Whether the file or its form ends at `at`, or only chunks and zeros follow; padding may be missing."""
    while not any(0 <= end - at < layout.step for end in (len(data), form_end)):
        aligned = -(-at // layout.step) * layout.step
        following = next((c for place in (aligned, at) if (c := _plausible(data, layout, place))), None)
        if following is None:
            return data.count(0, at) == len(data) - at
        at = following.end
    return True


def _plausible(data: bytes, layout: _Layout, at: int) -> _Chunk | None:
    """The chunk at byte `at`, if it has a printable name and ends within the file; else None."""
    if at + struct.calcsize(layout.head) > len(data):
        return None
    name, size = struct.unpack_from(layout.head, data, at)
    start = at + struct.calcsize(layout.head)
    chunk = _Chunk(name, start, size - layout.counted)
    named = len(name) > 4 or all(32 <= byte < 127 for byte in name)
    return chunk if named and start <= chunk.end <= len(data) else None


def _flac(data: bytes) -> Header:
    """The header of a FLAC file: its first block, checked against its first frame. The MD5 checks the samples later."""
    if len(data) < 42 or data[4] & 0x7F or data[5:8] != b"\0\0\x22":
        raise BadAudio("truncated or damaged: it does not begin with FLAC's description of the stream")
    fields = int.from_bytes(data[18:26], "big")
    rate_hz, num_channels, bits, num_frames = (
        fields >> 44,
        (fields >> 41 & 7) + 1,
        (fields >> 36 & 31) + 1,
        fields % 2**36,
    )
    if not num_frames:
        raise BadAudio("a FLAC stream of unknown length, which may have been cut; write it again: flac -d, then flac")
    at, last = 4, False
    while not last and at + 4 <= len(data):
        last = data[at] > 127
        at += 4 + int.from_bytes(data[at + 1 : at + 4], "big")
    frame = data[at : at + 16]
    if len(frame) < 16 or frame[0] != 0xFF or frame[1] & 0xFC != 0xF8:
        raise BadAudio(f"truncated or damaged: no FLAC frame at byte {at}, where its header ends")
    first_hz, first_channels = _flac_frame(frame)
    if first_hz not in (0, rate_hz) or first_channels != num_channels:
        raise _contradiction(
            f"{rate_hz} Hz and {num_channels} channels", f"{first_hz} Hz and {first_channels} channels in a frame"
        )
    return Header(rate_hz, num_channels, num_frames, data[26:42] if any(data[26:42]) else None, bits)


def _flac_frame(frame: bytes) -> tuple[int, int]:
    """The rate [Hz] and the number of channels of a FLAC frame; the rate is 0 if only the file's header states it."""
    block_code, rate_code, channel_code = frame[2] >> 4, frame[2] % 16, frame[3] >> 4
    at = 4 + max(1, f"{frame[4]:08b}0".index("0")) + {6: 1, 7: 2}.get(block_code, 0)  # after the frame's number
    rate_hz = {
        12: frame[at] * 1_000,
        13: int.from_bytes(frame[at : at + 2], "big"),
        14: int.from_bytes(frame[at : at + 2], "big") * 10,
    }.get(rate_code, FLAC_RATES_HZ[rate_code % 12])
    return rate_hz, channel_code + 1 if channel_code < 8 else 2


def _ogg(data: bytes) -> Header:
    """Checks an Ogg file: every page is complete and in its place, and all pages are one stream with an end."""
    first, at, number, flags = data[:22], 0, -1, 0
    while data[at : at + 4] == b"OggS":
        num_segments = data[at + 26] if at + 26 < len(data) else 255
        end = at + 27 + num_segments + sum(data[at + 27 : at + 27 + num_segments])
        page = data[at:end]
        if end > len(data):
            raise BadAudio("truncated: its last Ogg page is missing or cut")
        if _ogg_crc(page[:22] + bytes(4) + page[26:]) != int.from_bytes(page[22:26], "little"):
            raise BadAudio(f"damaged: the checksum of its Ogg page at byte {at} is wrong; get the file again")
        if page[14:18] != first[14:18] or (at and page[5] & 2):
            raise BadAudio(
                "several Ogg streams in one file, and only the first would be read; split it into one file each"
            )
        if at and int.from_bytes(page[18:22], "little") != number + 1:
            raise BadAudio(f"damaged: an Ogg page is missing before byte {at}; get the file again")
        at, number, flags = end, int.from_bytes(page[18:22], "little"), page[5]
    if not flags & 4 or b"OggS" in data[at:]:
        raise BadAudio("truncated or damaged: its last Ogg page is missing")
    return Header()


def _ogg_crc(page: bytes) -> int:
    """The checksum of an Ogg page: that of zlib, with the bits of every byte and of the result reversed."""
    crc = zlib.crc32(page.translate(REVERSED), 2**32 - 1) ^ (2**32 - 1)
    return int(f"{crc:032b}"[::-1], 2)


def _contradiction(stated: str, also: str) -> BadAudio:
    return BadAudio(f"its header contradicts itself: {stated}, but {also}; correct it, or get the file again")
