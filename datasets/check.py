"""Shows how a corpus is understood before anything is trained: classes, groups, faults, and the ways to split it.

python -m datasets.check folder --data-root ~/MyCalls
python -m datasets.check folder --data-root DIR --groups '(?P<label>\\d)_(?P<speaker>\\w+)_'
"""

from __future__ import annotations

import math
import shlex
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import median

from datasets.engine import splits
from datasets.engine.clips import SHORT, Cut, Short
from datasets.engine.corpus import Corpus, CorpusError, Problem, Recording, faults, folder, look, module, shown
from datasets.engine.decoding.audio import AudioFacts, Silence
from datasets.engine.prepare import mostly_filled
from datasets.engine.refusal import Refusal
from datasets.engine.scan import Scan, examined, of_recording, twins_among
from datasets.engine.splits import ROLES, Split
from datasets.engine.splitting import folds
from datasets.engine.splitting.groups import seen_notes
from datasets.engine.splitting.spellings import near_notes
from datasets.engine.twins.finding import Twin
from datasets.engine.twins.roles import pairs
from datasets.engine.words.columns import aligned
from datasets.engine.words.flags import Flags
from datasets.engine.words.names import as_list, names_in

Cutting = tuple[Short, float]
MOST = 20  # rows of a list; the rest is counted
MOST_ODD = 6  # files named for one oddness


@dataclass(frozen=True)
class Found:
    """A corpus, the facts of its readable files, and what is wrong."""

    corpus: Corpus
    facts: Mapping[str, AudioFacts]  # by recording id
    bad: Sequence[Problem]
    faults: Sequence[str]
    clip_s: float  # 0 for the length that every readable file has
    cutting: Cutting = "refuse", 0.0  # of short files, and the overlap of clips
    split_file: Path | None = None  # of the published split
    twins: tuple[Twin, ...] = ()  # the files with the same sound

    @cached_property
    def good(self) -> Corpus:
        """The corpus without its unreadable files."""
        return replace(self.corpus, recordings=tuple(r for r in self.corpus.recordings if r.id in self.facts))

    @cached_property
    def clip(self) -> float:
        """The length of a clip [s]: the one asked for, or the shortest file's, rounded down to two digits."""
        shortest = min((f.duration_s for f in self.facts.values()), default=1.0)
        unit = 10.0 ** (math.floor(math.log10(shortest)) - 1)
        return self.clip_s or round(math.floor(shortest / unit + 1e-6) * unit, 9)

    @cached_property
    def cut(self) -> Cut:
        """The way to cut the files."""
        return Cut(self.clip, *self.cutting)

    @cached_property
    def num_clips(self) -> dict[str, int]:
        """The number of clips of each file."""
        return Scan(self.good, dict(self.facts)).num_clips(self.cut)

    @cached_property
    def whole(self) -> Corpus:
        """The corpus without its unreadable and its short files."""
        return replace(self.good, recordings=tuple(r for r in self.good.recordings if self.num_clips[r.id]))

    @cached_property
    def short(self) -> list[Recording]:
        """The files that are shorter than a clip, which a study refuses."""
        return [r for r in self.good.recordings if not self.num_clips[r.id]]


def found(
    corpus: Corpus,
    classes: Sequence[str],
    cache_dir: Path,
    clip_s: float = 0.0,
    cutting: Cutting = ("refuse", 0.0),
    silence: Silence = "refuse",
) -> Found:
    """Reads every file of a corpus.

    Args:
        classes: the classes that were chosen, if any.
        clip_s: the length of a clip [s]; 0 for the length that every readable file has.
        cutting: the treatment of short files, and the overlap of clips.
        silence: "allow" if silent files are meant.

    Raises:
        CorpusError: if the cache folder cannot be written, or a file cannot be read any more.
    """
    outcomes = examined([r.path for r in corpus.recordings], cache_dir, silence=silence)
    of_each = {r.id: (r.path, of_recording(r, outcomes[r.path])) for r in corpus.recordings}
    facts = {name: f for name, (_, f) in of_each.items() if isinstance(f, AudioFacts)}
    reasons = [Problem(path, reason) for path, reason in of_each.values() if isinstance(reason, str)]
    bad = list(dict.fromkeys([*corpus.problems, *reasons]))
    twins = twins_among(corpus, facts, cache_dir)
    return Found(corpus, facts, bad, faults(corpus, classes), clip_s, cutting, twins=twins)


def page(it: Found, words: Sequence[str] = ()) -> str:
    """The page: all that was understood, in 80 columns; only paths and commands may be longer.

    Args:
        words: the flags of a study that name this corpus.
    """
    parts = [aligned(list(_summary(it))), aligned(list(_classes(it)))]
    if it.good.group_names:
        parts.append(aligned(list(_groups(it))))
    possible, impossible = _splits(it)
    odd = [*it.faults, *_odd(it)]
    if odd:
        parts.append("odd\n" + aligned([("  -", line) for line in odd]))
    if it.corpus.notes:
        parts.append("notes\n" + aligned([("  -", line) for line in it.corpus.notes]))
    if rows := [*possible, *impossible]:
        parts.append("splits (70/10/20 of the clips)\n" + aligned(rows))
    if folded := list(_folds(it)):
        parts.append("folds (one is scored, the next chooses the epoch, the others train)\n" + aligned(folded))
    usual, one_by_one = (
        [head.removeprefix("  --split ").replace(":K/", ":1/") for head, _ in ways if head.startswith("  --split ")]
        for ways in (possible, folded)
    )
    ways = usual or one_by_one
    parts.append("\n".join(_remedy(it, words, ways)))
    return "\n\n".join(parts)


def _summary(it: Found) -> Iterator[tuple[str, str]]:
    """The corpus as a whole: place, numbers, durations, rates and formats."""
    lengths = sorted(f.duration_s for f in it.facts.values())
    yield it.corpus.name, str(it.corpus.root)
    yield "files", f"{len(it.corpus.recordings):,} of {len(it.corpus.classes)} classes; {len(lengths):,} can be read"
    excerpts = [r for r in it.corpus.recordings if r.file]
    if cut_files := {r.path for r in excerpts if r.end_s is not None}:
        yield "excerpts", f"{len(excerpts):,} of {len(cut_files):,} files"
    elif excerpts:
        yield "pieces", f"{len(excerpts):,} of {len({r.file for r in excerpts}):,} recordings, cut beforehand"
    if not lengths:
        return
    yield (
        "durations",
        f"{lengths[0]:.2f} to {lengths[-1]:.2f} s, median {median(lengths):.2f} s, {sum(lengths) / 3600:.2f} h in all",
    )
    per_clip = "as asked" if it.clip_s else "at most this, for every file to have one"
    if filled := sum(f.duration_s < it.clip for f in it.facts.values()) if it.cut.short != "refuse" else 0:
        per_clip += f"; {filled:,} filled up by short={it.cut.short}"
    yield "clips", f"{sum(it.num_clips.values()):,} of {it.clip:g} s ({per_clip})"
    yield "rates", _counted(f"{f.rate_hz} Hz" for f in it.facts.values())
    yield "formats", _counted(r.path.suffix.lower().lstrip(".") for r in it.good.recordings)
    yield "channels", _counted(str(f.num_channels) for f in it.facts.values())


def _counted(values: Iterable[str]) -> str:
    counts = Counter(values).most_common()
    return next(iter(counts))[0] if len(counts) == 1 else ", ".join(f"{number:,} {value}" for value, number in counts)


def _classes(it: Found) -> Iterator[tuple[str, ...]]:
    """A row for each class: its files, clips and length."""
    yield "class", "files", "clips", "seconds"
    of_class = defaultdict(list)
    for recording in it.good.recordings:
        of_class[recording.label].append(recording.id)
    every = Counter(r.label for r in it.corpus.recordings)
    for label in it.corpus.classes[:MOST]:
        ids = of_class[label]
        clips, seconds = sum(it.num_clips[i] for i in ids), sum(it.facts[i].duration_s for i in ids)
        yield shown(label, 30).strip("'\""), f"{every[label]:,}", f"{clips:,}", f"{seconds:,.1f}"
    if (more := len(it.corpus.classes) - MOST) > 0:
        yield f"and {more} more", "", "", ""


def _groups(it: Found) -> Iterator[tuple[str, ...]]:
    """A row for each group: its values, and how many would stand in two roles if files were split one by one."""
    try:
        roles: Mapping[str, str] = splits.make(it.good, it.num_clips, clip_s=it.clip).roles
    except CorpusError:
        roles = {}
    yield "group", "values", "files of one", "in two roles by --split recording"
    for name in it.good.group_names[:MOST]:
        members = defaultdict(list)
        for recording in it.good.recordings:
            members[recording.groups[name]].append(recording.id)
        sizes = sorted(map(len, members.values()))
        size = f"{sizes[0]:,}" if sizes[0] == sizes[-1] else f"{sizes[0]:,} to {sizes[-1]:,}"
        straddling = sum(len({roles[i] for i in ids}) > 1 for ids in members.values()) if roles else "unknown"
        yield shown(name, 30).strip("'\""), f"{len(members):,}", size, str(straddling)


def _splits(it: Found) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The ways to split the readable files, each with the size of the roles; and the impossible ones, with the reason.

    A published split that needs a file is left out where there is none.
    """
    corpus_module = module(it.corpus.name)
    own = hasattr(corpus_module, "published_split") and not getattr(corpus_module, "SPLIT_FILE", "")
    published = own or it.split_file is not None
    possible, impossible = [], []
    for name in ("recording", *it.whole.group_names[:MOST], *["published"] * published):
        if all(r.groups.get(name) == r.label for r in it.whole.recordings):
            impossible.append((f"  not {name}", "it is the class, so each role would lack classes"))
            continue
        try:
            possible.append((f"  --split {name}", _sizes(_split(it, name), it)))
        except CorpusError as error:
            impossible.append((f"  not {name}", str(error).replace(f"split={name}: ", "")))
    return possible, impossible


def _folds(it: Found) -> Iterator[tuple[str, str]]:
    """A row for each published fold, and one for each unit that can be shared out into folds."""
    for name in (f"published:{number}" for number in range(1, folds.num_published(it.corpus.name) + 1)):
        try:
            yield f"  --split {name}", _sizes(_split(it, name), it)
        except CorpusError as error:
            yield f"  not {name}", str(error).replace(f"split={name}: ", "")
    for unit in ("recording", *it.whole.group_names[:MOST]):
        most = len({r.groups.get(unit, r.unit) for r in it.whole.recordings})
        if (total := min(5, most)) < folds.LEAST:
            continue
        name = f"{unit}:K/{total}"
        try:
            tests = [_split(it, f"{unit}:{k}/{total}").counts(it.num_clips)["test"][1] for k in range(1, total + 1)]
        except CorpusError as error:
            yield f"  not {name}", str(error).replace(f"split={unit}:1/{total}: ", "")
            continue
        sizes = " to ".join(f"{size:,}" for size in sorted({min(tests), max(tests)}))
        yield f"  --split {name}", f"K = 1 to {total}, test {sizes} clips each; N can be {folds.LEAST} to {most:,}"


def _split(it: Found, name: str) -> Split:
    """A split of the readable files.

    Raises:
        CorpusError: if there can be none.
    """
    split = splits.make(it.whole, it.num_clips, name, it.clip, it.split_file)
    splits.check(split, it.whole, {i: f.sha256 for i, f in it.facts.items()}, it.twins)
    return split


def _sizes(split: Split, it: Found) -> str:
    """The size of each role, the notes of the split, and how much of the test is of groups that are trained on."""
    counts = split.counts(it.num_clips)
    sizes = [f"{role} {files:,} files, {clips:,} clips" for role, (files, clips) in counts.items()]
    notes = [note.removeprefix(f"split={split.name}: ") for note in split.notes]
    return "; ".join([*sizes, *notes, *seen_notes(it.whole, split.roles, it.num_clips)])


def _odd(it: Found) -> Iterator[str]:
    """Lines on all that is bad or seldom meant."""
    for problem in it.bad[:MOST]:
        yield f"bad file {problem}"
    if (more := len(it.bad) - MOST) > 0:
        yield f"and {more} more bad files"
    if it.short:
        ways = "choose a shorter clip_s, or --short pad"
        yield f"{_some(it.short)} shorter than a clip of {it.clip:g} s, and so bad; {ways}"
    yield from mostly_filled(Scan(it.good, dict(it.facts)), it.cut)
    yield from near_notes(it.good)
    if silent := [r for r in it.good.recordings if it.facts[r.id].silence]:
        yield f"{_some(silent)} silent, which --silence allow lets in"
    counts = Counter(r.label for r in it.corpus.recordings)
    if few := [label for label in it.corpus.classes if 0 < counts[label] < len(ROLES)]:
        yield f"class {', '.join(f'{label} ({counts[label]})' for label in few)} has fewer files than there are roles"
    if commas := [label for label in it.corpus.classes if "," in label]:
        yield f"class {shown(commas[0])} has a comma: --classes {shlex.quote(as_list(commas[:1]))} names it"
    if len(rates := {f.rate_hz for f in it.facts.values()}) > 1:
        yield f"{len(rates)} sampling rates: a network may learn the rate instead of the class"
    if len(formats := {r.path.suffix.lower() for r in it.good.recordings}) > 1:
        yield f"{len(formats)} formats ({', '.join(sorted(formats))}): lossy ones may give a class away"
    same = defaultdict(list)
    for recording in it.good.recordings:
        same[it.facts[recording.id].sha256, recording.start_s, recording.end_s].append(recording)
    twins = [recording for members in same.values() if len(members) > 1 for recording in members]
    if twins:
        yield f"{_some(twins)} the same audio as another; a split refuses it in two roles; keep one of each"
    of_twins = pairs(it.good.recordings, {i: f.sha256 for i, f in it.facts.items()}, it.twins)
    alike = sorted(of_twins, key=lambda pair: (pair.first.id, pair.second.id))
    for pair in alike[:MOST]:
        yield f"{pair.first.id} and {pair.second.id}: {pair.how}; keep one, or give both one group"
    if (more := len(alike) - MOST) > 0:
        yield f"and {more} more pairs with the same sound"


def _some(recordings: Sequence[Recording]) -> str:
    first = ", ".join(r.id for r in recordings[:MOST_ODD])
    more = f" and {len(recordings) - MOST_ODD} more" if len(recordings) > MOST_ODD else ""
    return f"{len(recordings)} files ({first}{more}) are" if len(recordings) > 1 else f"1 file ({first}) is"


def _remedy(it: Found, words: Sequence[str], ways: Sequence[str]) -> Iterator[str]:
    """The steps to take first, or the command of a study on this corpus."""
    no_list = it.split_file is not None and "published" not in ways
    if usable(it) and ways and not no_list:
        yield "a study on it:"
        clip = ["--set", f"clip_s={it.clip:g}", *_cutting_words(it.cut), "--split", ways[-1]]
        study = "finetune" if it.corpus.name == "folder" else "STUDY"  # the one that is made for such a folder
        yield f"    python -m sweeps.{study} {shlex.join([*words, *clip])}"
        return
    yield "to do first:"
    if it.faults:
        yield "  - fix the folder: a study refuses it for the first line under odd"
    if it.bad:
        yield "  - fix or remove the bad files, or leave them out: --bad-files drop"
    if it.short:
        yield f"  - choose a clip_s of at most {replace(it, clip_s=0.0).clip:g}, --short pad, or leave short files out"
    if no_list:
        yield "  - correct the list of --split-file, as the line under splits says"
    if not ways:
        yield "  - make a split possible: the lines under splits say what each lacks"


def _cutting_words(cut: Cut) -> Iterator[str]:
    """The flags of a study for all of a cut that is not the default."""
    for name in ("short", "overlap"):
        if (value := getattr(cut, name)) != getattr(Cut, name):
            yield from ("--set", f"{name}={value}")


def usable(it: Found) -> bool:
    """Whether a study takes the corpus as it is."""
    return not (it.faults or it.bad or it.short)


def _parser() -> Flags:
    parser = Flags("python -m datasets.check", __doc__)
    parser.add_argument("corpus", metavar="CORPUS", help="folder, deepship, esc50, ...")
    parser.add_argument("--data-root", required=True, metavar="DIR", help="the folder of the corpus")
    parser.add_argument("--classes", default="", metavar="A,B", help="only these classes")
    parser.add_argument("--groups", default="", metavar="REGEX", help="label and groups in the files' names")
    parser.add_argument("--target", default="", metavar="GROUP", help="this group is the class, not the label")
    parser.add_argument("--clip-s", type=float, metavar="S", help="length of a clip (default: what every file has)")
    parser.add_argument("--split-file", metavar="FILE", help="the published split, or a list of recording,role")
    parser.add_argument("--short", choices=SHORT, default="refuse", help="fill up files shorter than a clip, or not")
    parser.add_argument("--overlap", type=float, default=0.0, metavar="X", help="the part of a clip the next has too")
    parser.add_argument("--silence", choices=("refuse", "allow"), default="refuse", help="whether silent files are bad")
    parser.add_argument("--cache-dir", metavar="DIR", help="where sweeps keep their cache; saves reading files again")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the page of a corpus.

    Returns:
        The exit code: 0 if a study takes the corpus as it is, 1 if something must be fixed first, 2 if it is refused.
    """
    args = _parser().parse_args(argv)
    classes = names_in(args.classes)
    try:
        if args.clip_s is not None and not 0 < args.clip_s <= 3_600:
            raise Refusal(f"--clip-s {args.clip_s}: must be above 0 and at most 3,600")
        if not 0 <= args.overlap < 1:
            raise Refusal(f"--overlap {args.overlap}: must be at least 0 and below 1")
        corpus = look(args.corpus, args.data_root, classes, args.groups, args.target)
        with tempfile.TemporaryDirectory() as empty:
            cache_dir = folder(args.cache_dir, "--cache-dir ") if args.cache_dir else Path(empty)
            cutting = (args.short, args.overlap)
            it = found(corpus, classes, cache_dir, args.clip_s or 0.0, cutting, args.silence)
        it = replace(it, split_file=folder(args.split_file, "--split-file ") if args.split_file else None)
    except Refusal as error:
        print(error, file=sys.stderr)
        return 2
    words = ["--data-root", str(corpus.root), "--set", f"corpus={args.corpus}"]
    words += ["--classes", args.classes] * bool(classes)
    words += ["--groups", args.groups] * bool(args.groups)
    words += ["--split-file", str(it.split_file)] * bool(it.split_file)
    words += ["--target", args.target] * bool(args.target)
    words += ["--silence", args.silence] * (args.silence != "refuse")
    print(page(it, words))
    return 0 if usable(it) else 1


if __name__ == "__main__":
    sys.exit(main())
