"""Text for users: suggestions, short lists, help that keeps the lines of a docstring, and columns."""

from __future__ import annotations

import pytest

from datasets.engine.words.columns import aligned
from datasets.engine.words.flags import Flags
from datasets.engine.words.names import as_list, names_in
from datasets.engine.words.suggest import MOST, did_you_mean, listed

FISH = ["salmon", "trout", "Tuna", "mackerel in oil and vinegar, of the Atlantic"]


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        (("salmn",), "; did you mean salmon?"),
        (("TROUT",), "; did you mean trout?"),
        (("tuan",), "; did you mean Tuna?"),
        (("salmn", "truot"), "; did you mean salmon, trout?"),
        (("salmn", "salmo"), "; did you mean salmon?"),
        (("salm",), "; did you mean salmon?"),
        (("mackerel in oil",), "; did you mean mackerel in oil and vinegar, of the Atlantic?"),
        (("whale",), ""),
        (("",), ""),
        ((3,), ""),
        (("x" * 5000,), ""),
        ((), ""),
    ],
)
def test_a_near_name_is_told(words: tuple[object, ...], suggestion: str) -> None:
    """Each suggestion appears once, ignoring case; without a similar name there is none."""
    assert did_you_mean(FISH, *words) == suggestion


def test_what_is_written_may_be_short_for_a_name() -> None:
    """The suggestion is the full name."""
    written = {"salmon": "fish/salmon.v1"}
    assert did_you_mean(written, "salmn", written=written) == "; did you mean fish/salmon.v1?"


def test_a_long_list_is_cut() -> None:
    """Nobody reads two dozen names; the message says how many more there are, and where."""
    names = [f"n{number}" for number in range(MOST + 3)]
    assert listed(names[:MOST]) == ", ".join(names[:MOST])
    assert listed(names) == ", ".join(names[:MOST]) + " and 3 more"
    assert listed(names, "see there") == ", ".join(names[:MOST]) + " and 3 more (see there)"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Cargo,Tug", ["Cargo", "Tug"]),
        (" Tug , Cargo ,,", ["Tug", "Cargo"]),
        ('"Dog, bark",Cat', ["Dog, bark", "Cat"]),
        ('Cat, "Dog, bark"', ["Cat", "Dog, bark"]),
        ('"a ""b"", c"', ['a "b", c']),
        ('5" pipe,6" pipe', ['5" pipe', '6" pipe']),
        ('"Dog, bark', ['"Dog', "bark"]),
        ("a\nb,c", ["a\nb", "c"]),
        ("", []),
    ],
)
def test_a_list_has_names_with_commas_in_quotation_marks(text: str, names: list[str]) -> None:
    """Without quotation marks before a name it is as it always was; what was read can be written and read again."""
    assert names_in(text) == names
    assert names_in(as_list(names)) == names


@pytest.mark.parametrize("names", [["Cargo", "Tug"], ['5" pipe', "船"], ["a b"]])
def test_names_without_commas_are_written_as_they_are(names: list[str]) -> None:
    """So that the keys of trials stay as they are."""
    assert as_list(names) == ",".join(names)


class TestFlags:
    def parser(self, about: str = "") -> Flags:
        flags = Flags("python -m toy", about)
        flags.add_argument("--data-root")
        flags.add_argument("--dry-run", action="store_true")
        return flags

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--data-rot", "x"], "unrecognized arguments: --data-rot x; did you mean --data-root?"),
            (["--data-rot=x"], "unrecognized arguments: --data-rot=x; did you mean --data-root?"),
            (["--dryrun"], "unrecognized arguments: --dryrun; did you mean --dry-run?"),
            (["--whale"], "unrecognized arguments: --whale"),
            (["word"], "unrecognized arguments: word"),
        ],
    )
    def test_a_misspelt_flag_is_told(self, words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
        """The last line has the suggestion, without a page of flags before it."""
        with pytest.raises(SystemExit) as end:
            self.parser().parse_args(words)
        assert end.value.code == 2
        assert capsys.readouterr().err == f"(python -m toy --help lists the flags)\npython -m toy: error: {message}\n"

    def test_flags_are_parsed(self) -> None:
        """Flags are parsed as by argparse."""
        assert vars(self.parser().parse_args(["--dry-run"])) == {"data_root": None, "dry_run": True}

    def test_help_keeps_the_lines_that_fit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Lines that fit are not merged into one paragraph."""
        monkeypatch.setenv("COLUMNS", "80")
        about = "Is it so?\nPerhaps.\n\n1 fish x 2 seas = 2 trials\n\n    python -m toy --dry-run\n    python -m toy"
        assert f"\n\n{about}\n\n" in self.parser(f"{about}\n").format_help()

    def test_help_fits_into_the_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Text is filled anew, and a command continues after a backslash."""
        monkeypatch.setenv("COLUMNS", "42")
        text = "Does the toy swim in the sea,\nor does it sink at once? Perhaps, perhaps not."
        about = f"{text}\n\n    python -m toy --data-root ~/fish --dry-run\n"
        assert self.parser(about).format_help().split("\n\n")[1:3] == [
            "Does the toy swim in the sea, or does it\nsink at once? Perhaps, perhaps not.",
            "    python -m toy --data-root ~/fish \\\n        --dry-run",
        ]


def test_columns_stand_below_each_other() -> None:
    """The last column is wrapped and keeps its line breaks, and no line ends with blanks."""
    rows = [("name", "n", "what"), ("fish", "10", "swims in the sea\nand is silent"), ("", "3", "")]
    assert aligned(rows, width=20).splitlines() == [
        "name  n   what",
        "fish  10  swims in",
        "          the sea",
        "          and is",
        "          silent",
        "      3",
    ]
