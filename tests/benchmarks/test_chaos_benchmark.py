"""The counts of the chaos benchmark, on stores and folders made by hand, and the victims of its kills."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks import chaos, kills
from benchmarks.chaos_counts import Counts, Run, Watch, counts, read_runs, worked_again
from benchmarks.kills import Job, Kill, Start, disturb, schedule


def run(key: str | None, status: str, ended: float | None = 10.0) -> Run:
    """A run of the store."""
    return Run("id", status, 0.0, ended, key)


def job(folder: Path, program: str, *, complete: bool = True) -> Job:
    """A Python program that works on files in `folder / "epochs"`."""
    (folder / "epochs").mkdir()
    return Job([sys.executable, "-c", program], {}, folder, folder / "epochs", lambda: None, lambda: complete)


def test_counts_what_is_lost_twice_stuck_and_repeated() -> None:
    """Of four planned trials, one finished, one finished twice, one was cut off and one never began."""
    runs = [run("a", "FINISHED"), run("b", "FINISHED"), run("b", "FINISHED"), run("c", "RUNNING"), run(None, "RUNNING")]
    assert counts(runs, 4, {"b"}, num_trained=27, num_epochs=5) == Counts(
        lost=2, twice=1, stuck=2, again=1, epochs_redone=7
    )
    undisturbed = [run(key, "FINISHED") for key in "abcd"]
    assert counts(undisturbed, 4, set(), num_trained=20, num_epochs=5) == Counts(0, 0, 0, 0, 0)


def test_work_after_a_finished_run_is_repeated_work() -> None:
    """An epoch after a trial's first finished run is repeated work; after an unfinished run it is not."""
    runs = [run("a", "FINISHED", 10), run("a", "FINISHED", 30), run("b", "KILLED", 5), run("b", "FINISHED", 30)]
    assert worked_again(runs, "a 1 9.5\nb 1 12.0\n") == set()
    assert worked_again(runs, "a 1 9.5\na 1 20.0\nb 1 12.0\n") == {"a"}


def test_runs_are_known_by_tag_or_by_parameter(tmp_path: Path) -> None:
    """Our runs have their key in a tag, the peer's in a parameter, a sweep's nowhere; deleted runs are ignored."""
    assert read_runs(tmp_path / "none.db") == []
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database, database:
        database.execute("CREATE TABLE runs (run_uuid, status, start_time, end_time, lifecycle_stage)")
        for table in ("tags", "params"):
            database.execute(f"CREATE TABLE {table} (key, value, run_uuid)")
        for number, stage in enumerate(("active", "active", "active", "deleted")):
            database.execute("INSERT INTO runs VALUES (?, 'FINISHED', ?, 9000, ?)", (f"r{number}", number, stage))
        database.execute("INSERT INTO tags VALUES ('key', 'ours', 'r0'), ('other', 'x', 'r0')")
        database.execute("INSERT INTO params VALUES ('key', 'theirs', 'r1'), ('key', 'gone', 'r3')")
    assert [(r.run_id, r.key, r.ended) for r in read_runs(tmp_path / "mlflow.db")] == [
        ("r0", "ours", 9.0),
        ("r1", "theirs", 9.0),
        ("r2", None, 9.0),
    ]


def test_the_watch_sees_work_after_a_commit_and_records_that_change(tmp_path: Path) -> None:
    """It notes a checkpoint newer than the record, and a record that changes or disappears."""
    for name in ("fine", "repeated", "changed", "removed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "epoch-0060.pt").touch()
        os.utime(tmp_path / name / "epoch-0060.pt", (100, 100))
        (tmp_path / name / "record.json").write_text("{}")
    watch = Watch(tmp_path)
    watch()
    assert (watch.again, watch.altered) == (set(), set())
    (tmp_path / "repeated" / "epoch-0001.pt").touch()
    os.utime(tmp_path / "repeated" / "record.json", (200, 200))
    (tmp_path / "changed" / "record.json").write_text("{ }")
    (tmp_path / "removed" / "record.json").unlink()
    watch()
    assert watch.again == {"repeated"}
    assert watch.altered == {"changed", "removed"}


def test_a_schedule_follows_from_its_seed() -> None:
    """It has the number of kills of every kind, depends only on the seed, and fits into the epochs on average."""
    drawn = schedule(["driver", "worker", "term"], 12, 1, 720)
    assert drawn == schedule(["driver", "worker", "term"], 12, 1, 720)
    assert drawn != schedule(["driver", "worker", "term"], 12, 2, 720)
    assert {kind: sum(k.what == kind for k in drawn) for kind in ("driver", "worker", "term")} == dict.fromkeys(
        ("driver", "worker", "term"), 4
    )
    totals = [sum(k.epochs for k in schedule(["driver"], 12, seed, 720)) for seed in range(200)]
    assert 0.5 * 720 < sum(totals) / len(totals) < 0.8 * 720


def test_a_killed_command_is_started_again_until_it_ends(tmp_path: Path) -> None:
    """Each start trains one epoch and is killed; the start after the last kill ends by itself."""
    program = (
        "import pathlib, time, uuid\n"
        f"folder = pathlib.Path({str(tmp_path / 'epochs')!r})\n"
        "(folder / uuid.uuid4().hex).touch()\n"
        "time.sleep(60 if len(list(folder.iterdir())) < 3 else 0)\n"
    )
    starts = disturb(job(tmp_path, program), [Kill("driver", 1, 0.0), Kill("term", 1, 0.0)])
    assert [(s.kills, s.code, s.lied, s.tail) for s in starts] == [
        (["driver"], -signal.SIGKILL, False, ""),
        (["term"], -signal.SIGTERM, False, ""),
        ([], 0, False, ""),
    ]


def test_an_exit_code_that_lies_is_noted(tmp_path: Path) -> None:
    """A command that exits with 0 too early is started again, but not for ever."""
    starts = disturb(job(tmp_path, "print('all is well')", complete=False), [])
    assert [(s.code, s.lied) for s in starts] == [(0, True)] * kills.MAX_LIES
    assert "all is well" in starts[0].tail


def test_a_kill_hits_its_process_and_no_other() -> None:
    """A victim dies of the signal; an ended process or another one with its id is not hit."""
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    process = kills.alive(victim.pid)
    assert process is not None
    assert process.session == victim.pid
    other = kills.Process(process.pid, process.session, process.began - 1, process.name)
    assert not kills.strike(other, signal.SIGKILL, victim)
    assert victim.poll() is None
    assert kills.strike(process, signal.SIGKILL, victim)
    assert victim.wait() == -signal.SIGKILL  # dead by then, though its exit code may not have been collected yet
    assert not kills.strike(process, signal.SIGKILL, victim)


def test_a_victim_that_lives_on_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a kill without effect would count as survived."""
    monkeypatch.setattr(kills, "DIES_S", 0.2)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE, start_new_session=True) as driver:
        assert driver.stdout is not None
        driver.stdout.readline()
        process = kills.alive(driver.pid)
        assert process is not None
        try:
            with pytest.raises(kills.Missed, match="lives on"):
                kills.strike(process, signal.SIGTERM, driver)
        finally:
            kills.end_session(driver.pid)


def test_a_process_that_ended_is_dead_though_nobody_asked_for_its_exit_code() -> None:
    """A lost worker remains in the process table until Ray collects it."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        assert kills.alive(ended.pid) is None


def test_both_sides_stand_beside_each_other() -> None:
    """Each count has a row, which is blank for a side that lacks it."""
    starts = [Start(time.time(), ["driver", "worker"], -9), Start(time.time(), [], 0, recovered_s=12.4)]
    sides = {
        "killed": chaos.Side(Counts(0, 0, 0, 0, 3), starts, 61.0, {"records altered": 0}),
        "stock": chaos.Side(Counts(1, 2, 3, 4, 50), starts, 70.0, {}),
    }
    lines = {line[:36].strip(): line[36:].split() for line in chaos.table(sides).splitlines()}
    assert lines["kills that hit"] == ["2,", "1", "driver,", "1", "worker"] * 2
    assert lines["trials finished twice"] == ["0", "2"]
    assert lines["whole epochs trained again"] == ["3,", "1.5", "a", "kill", "50,", "25.0", "a", "kill"]
    assert lines["start to first new epoch, longest"] == ["12", "s", "12", "s"]
    assert lines["records altered"] == ["0"]


@pytest.mark.parametrize(("moments", "steps"), [([], "1"), ([2.0], "2"), ([60.0], "1")])
def test_a_demo_is_made_again_until_it_ends(
    moments: list[float], steps: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed as often as planned, unless it ends before; each start writes a line to the tables."""
    report = "$(DEMO)/reports/deepship_rates_small"
    (tmp_path / "Makefile").write_text(
        f"demo:\n\t@mkdir -p {report}\n\techo start >> {report}/table.md; cp {report}/table.md {report}/table.csv\n"
        f"\t@if [ $$(wc -l < {report}/table.md) -lt {steps} ]; then sleep 60; fi\n"
    )
    monkeypatch.setattr(chaos, "ROOT", tmp_path)
    tables, num_killed = chaos.make_demo(tmp_path / "made", moments)
    assert tables == [b"start\n" * int(steps)] * 2
    assert num_killed == int(steps) - 1


def test_a_demo_that_fails_by_itself_shows_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has its exit code."""
    (tmp_path / "Makefile").write_text("demo:\n\t@exit 3\n")
    monkeypatch.setattr(chaos, "ROOT", tmp_path)
    with pytest.raises(kills.Missed, match="ended with 2"):
        chaos.make_demo(tmp_path / "made", [])


def test_a_kind_of_kill_that_does_not_exist_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message has the flag, its value and the choices."""
    monkeypatch.setattr(sys, "argv", ["chaos", "--what", "driver,mains"])
    with pytest.raises(SystemExit):
        chaos.main()
    assert "--what driver,mains: mains is none of driver, term" in capsys.readouterr().err
