"""Text is read in the encodings that programs write; other files are refused with a clear message."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from datasets.engine.files import BadText, cells, read_lines, separator

TEXT = "name,ship\n1,Zoë\n"
FORMS = {
    "UTF-8": TEXT.encode(),
    "a byte-order mark": TEXT.encode("utf-8-sig"),
    "UTF-16": b"\xff\xfe" + TEXT.encode("utf-16-le"),
    "UTF-16, other bytes first": b"\xfe\xff" + TEXT.encode("utf-16-be"),
    "Windows": TEXT.replace("\n", "\r\n").encode(),
    "an old Mac": TEXT.replace("\n", "\r").encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_text_is_its_lines(form: str, tmp_path: Path) -> None:
    """Lines are read with any supported encoding and line end."""
    (tmp_path / "x.csv").write_bytes(FORMS[form])
    assert read_lines(tmp_path / "x.csv") == ["name,ship", "1,Zoë", ""]


def test_a_name_may_hold_what_other_programs_end_lines_with(tmp_path: Path) -> None:
    """Only line feeds and carriage returns end a line."""
    (tmp_path / "x.csv").write_text("a\x0b\x0c\x1c\x85\u2028b\n", encoding="utf-8")
    assert read_lines(tmp_path / "x.csv") == ["a\x0b\x0c\x1c\x85\u2028b", ""]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            "1,A\n2,Zoë\n".encode("cp1252"),
            r"as UTF-8 text \(byte 0xeb in line 2\); save it as UTF-8 \(in Excel: CSV UTF",
        ),
        (b"\xff\xfe\x00", r"as UTF-16 text \(byte 0x00 in line 1\); save it as UTF-8"),
        (TEXT.replace("ë", "e").encode("utf-16-le"), "it holds zeros: UTF-16 without its mark, or no text"),
        (b"PK\x03\x04\x14\x00\x06\x00", "it holds zeros"),
    ],
)
def test_what_is_no_such_text_is_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    """The message names the place and how to save the file."""
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(BadText, match=f"^cannot be read .*{reason}"):
        read_lines(tmp_path / "x.csv")


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    """Endless devices, blocking pipes, folders and missing files are refused."""
    (tmp_path / "device").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (("device", "not a file"), ("pipe", "not a file"), (".", "not a file"), ("no", "No such file")):
        with pytest.raises(BadText, match=rf"^cannot be read \({reason}"):
            read_lines(tmp_path / name)


@pytest.mark.parametrize("line", ["a,b c,,1", "a;b c;;1", "a\tb c\t\t1", '"a";"b c";"";"1"', '"a","b c",,1'])
def test_a_row_is_its_cells(line: str) -> None:
    """Cells may be quoted, and separated by a comma, a semicolon or a tab."""
    assert cells(line, separator(line)) == ["a", "b c", "", "1"]


def test_a_cell_may_hold_separators_and_quotes() -> None:
    """Quoted cells may contain separators; with an unclosed quotation mark the line stays whole."""
    assert cells('1,"SHIP, ""A""",2', ",") == ["1", 'SHIP, "A"', "2"]
    assert cells('1,"SHIP,2', ",") == ['1,"SHIP,2']
    assert cells("1," + "x" * 200_000, ",") == ["1," + "x" * 200_000]
