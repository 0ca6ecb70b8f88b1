"""Finds the pairs of files whose landmarks agree, without reading audio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from datasets.engine.twins.landmarks import RATE_HZ, Landmarks

if TYPE_CHECKING:
    from jaxtyping import Bool, Int64, UInt64

NUM_BITS = 64
ROTATE = 8  # bits by which a sorted list of codes differs from the next
PREFIX = 16  # bits by which neighbours in a list must agree
NEIGHBOURS = 64  # with which a code is compared, at most
FAR = 16  # bits in which the codes of one sound may differ: 64 random bits differ in 32 +- 4
NEAR = 6  # bits in which a single pair of codes may differ
TOLERANCE = RATE_HZ // 40  # samples by which the landmarks of one sound may be displaced: 25 ms
MOST_LAGS = 3  # of a pair that are tried


@dataclass(frozen=True)
class Candidate:
    """Two files that may have the same sound, by their numbers, and where: `second` hears it `lag` samples later."""

    first: int
    second: int
    lag: int  # [samples at RATE_HZ]
    time: int  # of a shared landmark in the first file [samples at RATE_HZ]
    votes: int  # landmarks that agree


def candidates(prints: Sequence[Landmarks]) -> list[Candidate]:
    """The pairs of files to compare, and where: with equal digests, or landmarks that agree at one lag.

    A pair may come several times, its likeliest lag first.
    """
    by_digest: dict[bytes, int] = {}
    found = []
    for number, made in enumerate(prints):
        first = by_digest.setdefault(made.digest, number)
        if first != number:
            found.append(Candidate(first, number, 0, 0, len(made.times) + 1))
    return sorted([*found, *_by_landmarks(prints)], key=lambda c: (c.first, c.second, -c.votes))


def _by_landmarks(prints: Sequence[Landmarks]) -> Iterator[Candidate]:
    """Yields the best lags of each pair that has several landmarks in common, or one that is nearly equal."""
    file = np.repeat(np.arange(len(prints)), [len(made.times) for made in prints])
    codes = np.concatenate([made.codes for made in prints]) if len(file) else np.zeros(0, np.uint64)
    times = np.concatenate([made.times for made in prints]).astype(np.int64) if len(file) else np.zeros(0, np.int64)
    one, other = _alike(codes, file)
    order = np.lexsort((times[other] - times[one], file[other], file[one]))
    one, other = one[order], other[order]
    lag, near = times[other] - times[one], np.bitwise_count(codes[one] ^ codes[other]) <= NEAR
    starts = np.flatnonzero(np.diff(file[one] * len(prints) + file[other], prepend=-1)).tolist()
    for begin, end in pairwise([*starts, len(one)]):
        first, second = int(file[one[begin]]), int(file[other[begin]])
        for place, votes in _lags(lag[begin:end], near[begin:end]):
            at = begin + place
            yield Candidate(first, second, int(np.median(lag[at : at + votes])), int(times[one[at]]), votes)


def _lags(lags: Int64[np.ndarray, " pairs"], near: Bool[np.ndarray, " pairs"]) -> Iterator[tuple[int, int]]:
    """Yields where the most of some sorted lags lie together, and how many, at most MOST_LAGS times."""
    votes = np.searchsorted(lags, lags + TOLERANCE, "right") - np.arange(len(lags))
    left = (votes > 1) | near
    for _ in range(MOST_LAGS):
        if not left.any():
            return
        best = int(np.where(left, votes, 0).argmax())
        yield best, int(votes[best])
        left &= abs(lags - lags[best]) > TOLERANCE


def _alike(
    codes: UInt64[np.ndarray, " landmarks"], file: Int64[np.ndarray, " landmarks"]
) -> tuple[Int64[np.ndarray, " pairs"], Int64[np.ndarray, " pairs"]]:
    """The pairs of landmarks of different files whose codes differ in at most FAR bits; the first file comes first.

    The codes are sorted, rotated by 0, 8, ... 56 bits, and each is compared with its next neighbours. A pair is missed
    if it has no 16 equal bits at any of these places, or too many others have the same 16.
    """
    pairs = [np.zeros((0, 2), np.int64)]
    for shift in range(0, NUM_BITS, ROTATE):
        rotated = codes << np.uint64(shift) | codes >> np.uint64((NUM_BITS - shift) % NUM_BITS) if shift else codes
        order = np.argsort(rotated, kind="stable")
        ordered, files = rotated[order], file[order]
        for step in range(1, min(NEIGHBOURS, len(codes) - 1) + 1):
            differ = ordered[:-step] ^ ordered[step:]
            near = differ < np.uint64(1 << (NUM_BITS - PREFIX))
            if not near.any():
                break
            good = np.flatnonzero(near & (np.bitwise_count(differ) <= FAR) & (files[:-step] != files[step:]))
            pairs.append(np.sort(np.stack([order[good], order[good + step]], axis=1), axis=1))
    distinct = np.unique(np.concatenate(pairs), axis=0)
    return distinct[:, 0], distinct[:, 1]  # landmarks stand in the order of their files
