"""A sweep on a cluster of three hosts, by the commands that README gives: `ray up`, `ray submit`, `ray down`.

The tests run in the order of the file. The last two kill hosts, and what they leave is not set right for others.
"""

from __future__ import annotations

import re
import shlex
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from datasets.synthetic.deepship import write as write_deepship
from sweeps.engine.launch import BAD_INPUT, COMPLETE
from sweeps.engine.store.runs import Run, read_runs
from tests.cluster.hosts import Hosts, missing
from tests.cluster.launched import HEAD, WORKERS, Cluster, Command, until

LACKS = missing()
pytestmark = [pytest.mark.cluster, pytest.mark.skipif(bool(LACKS), reason=f"no hosts on this machine: {LACKS}")]
AT_ONCE = len(WORKERS)  # trials: a worker has one CPU for them
SMALL = ("--set", "weights=none", "--set", "width=0.0625", "--set", "lr=1e-3", "--set", "batch=4")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three hosts with a cluster on them, and a small corpus that all of them see."""
    folder = tmp_path_factory.mktemp("cluster")
    write_deepship(folder / "shared" / "DeepShip", num_per_class=4, seconds=(5, 6), rate_hz=8_000)
    with Hosts(folder) as hosts:
        cluster = Cluster(hosts)
        cluster.up()
        yield cluster
    print(f"{cluster.failed_starts} times Ray did not start")


def long(num_trials: int, num_epochs: int) -> tuple[str, ...]:
    """Flags for trials that take all their epochs, so that a host can be killed between two of them."""
    return (*SMALL, "--limit", str(num_trials), "--set", f"epochs={num_epochs}", "--set", f"patience={num_epochs}")


def store(cluster: Cluster) -> Path:
    """MLflow's, on the head's own disk: it goes with the head."""
    return cluster.hosts.home(HEAD) / "mlflow.db"


def runs(cluster: Cluster, num_epochs: int) -> list[Run]:
    """What the store holds of the sweep whose trials have so many epochs."""
    return [run for run in read_runs(f"sqlite:///{store(cluster)}") if run.params["epochs"] == str(num_epochs)]


def curve(cluster: Cluster, run: Run) -> list[int]:
    """The epochs of a run's validation loss, as stored."""
    query = "SELECT step FROM metrics WHERE run_uuid = ? AND key = 'val_loss' ORDER BY step"
    with closing(sqlite3.connect(store(cluster))) as database:
        return [step for (step,) in database.execute(query, (run.run_id,))]


def records(cluster: Cluster) -> dict[Path, int]:
    """When each finished trial was committed."""
    return {path: path.stat().st_mtime_ns for path in cluster.results.glob("trials/*/record.json")}


def training(cluster: Cluster) -> Counter[str]:
    """The last epoch of each trial that is under way, by its folder."""
    epochs: Counter[str] = Counter()
    for path in cluster.results.glob("trials/*/epoch-*.pt"):
        epochs[path.parent.name] = max(epochs[path.parent.name], int(path.stem[-4:]))
    return epochs


def wait_for(cluster: Cluster, sweep: Command, num_running: int, num_done: int) -> None:
    """Waits until so many trials are in the middle of their training, and so many of this sweep have ended."""
    before = len(records(cluster))

    def there() -> bool:
        assert sweep.process.poll() is None, f"the sweep ended first:\n{sweep.output}"
        under_way = [epoch for epoch in training(cluster).values() if epoch >= 10]
        return len(under_way) >= num_running and len(records(cluster)) - before >= num_done

    assert until(there, timeout_s=600, every_s=0.1), sweep.output


def check_whole(
    cluster: Cluster, num_trials: int, num_epochs: int, epochs_before: int, finished: dict[Path, int]
) -> None:
    """Every key is FINISHED once, with its whole curve; what was committed before the fault was not touched again."""
    found = runs(cluster, num_epochs)
    assert [run.status for run in found] == ["FINISHED"] * num_trials
    assert len({run.key for run in found}) == num_trials
    assert all(curve(cluster, run) == list(range(1, num_epochs + 1)) for run in found)
    assert {path: records(cluster)[path] for path in finished} == finished
    again = len(list(cluster.epochs.iterdir())) - epochs_before - num_trials * num_epochs
    assert 0 <= again <= 2 * AT_ONCE, "a trial that was cut off does its last epoch again, and perhaps one more"


def test_a_plan_is_printed_from_the_head(cluster: Cluster) -> None:
    """`--dry-run` takes data, storage and cache from the cluster's file, and leaves nothing behind."""
    code, output = cluster.run(*cluster.submitted("--dry-run", *SMALL))
    assert code == COMPLETE, output
    assert "54 planned" in output
    assert str(cluster.results) in output
    assert not cluster.results.exists()


def test_a_sweep_runs_on_both_workers(cluster: Cluster) -> None:
    """Trials run where the CPUs are, each node builds its own clips, and the table comes back to the desk."""
    flags = (*SMALL, "--limit", "4", "--set", "epochs=20", "--set", "patience=20")
    code, output = cluster.run(*cluster.submitted(*flags))
    assert code == COMPLETE, output
    assert "4 of 4 trials of deepship_rates are finished" in output

    found = runs(cluster, 20)
    assert [run.status for run in found] == ["FINISHED"] * 4
    assert {run.tags["hostname"] for run in found} == {f"host{number}" for number in WORKERS}
    assert len({run.tags["node_id"] for run in found}) == len(WORKERS)
    assert [bool(cluster.hosts.on(number, "ls -d ~/cache/*/").stdout) for number in (HEAD, *WORKERS)] == [
        False,
        True,
        True,
    ]

    code, output = cluster.run(*cluster.submitted("--report", *flags))
    assert code == 0, output
    code, output = cluster.run("ray", "rsync-down", cluster.file, "~/shared/results/reports/", "reports/")
    assert code == 0, output
    assert "|" in (cluster.checkout / "reports" / "deepship_rates" / "table.md").read_text(encoding="utf-8")


def test_a_run_says_which_commit_was_submitted(cluster: Cluster) -> None:
    """The history travels with the files, so that runs name the desk's commit, not an unknown one."""
    code, output = cluster.run("git", "rev-parse", "HEAD")
    assert code == 0, output
    assert {run.tags["git_commit"] for run in runs(cluster, 20)} == {output.strip()}


@pytest.mark.parametrize("number", [HEAD, *WORKERS])
def test_the_token_is_its_owners_alone(cluster: Cluster, number: int) -> None:
    """On every host nobody else can read it."""
    assert cluster.hosts.on(number, "stat -c %a ~/.ray/auth_token").stdout.strip() == "600"


def test_who_has_no_token_is_not_let_in(cluster: Cluster) -> None:
    """From a machine that reaches the head, Ray answers only to the cluster's token."""
    head = f"{cluster.hosts.address(HEAD)}:6379"
    wrong = cluster.folder / "another_token"
    wrong.write_text("0" * 64, encoding="utf-8")
    for settings, welcome in (
        (["RAY_AUTH_MODE=disabled"], False),
        (["RAY_AUTH_MODE=token", f"RAY_AUTH_TOKEN_PATH={wrong}"], False),
        (["RAY_AUTH_MODE=token", f"RAY_AUTH_TOKEN_PATH={cluster.folder / 'auth_token'}"], True),
    ):
        code, output = cluster.run("env", *settings, "ray", "status", "--address", head)
        assert ((code == 0) and "local.cluster.node" in output) is welcome, f"{settings}: {output}"


def test_who_has_no_token_runs_nothing(cluster: Cluster) -> None:
    """A program cannot join without the token, on a node or from outside by Ray's client; with it the same one can."""
    inside = "import ray; ray.init('auto', log_to_driver=False); print('joined')"
    # The client's server takes long to start on a loaded machine. That it was to be started says enough.
    outside = f"""
import ray.util
try:
    ray.util.connect('{cluster.hosts.address(HEAD)}:10001', connection_retries=1)
except ConnectionAbortedError as error:
    assert 'Starting Ray client server failed' in str(error), error
print('let in')
"""
    token = f"RAY_AUTH_TOKEN_PATH={cluster.folder / 'auth_token'}"
    for mode in ("disabled", "token"):
        client = cluster.start("env", f"RAY_AUTH_MODE={mode}", token, "python", "-c", outside)
        done = cluster.hosts.on(WORKERS[0], f"RAY_AUTH_MODE={mode} python -c {shlex.quote(inside)}", 600)
        assert (done.returncode == 0 and "joined" in done.stdout) is (mode == "token"), done.stdout + done.stderr
        assert (client.end(150) == 0 and "let in" in client.output) is (mode == "token"), client.output


def test_the_dashboard_is_not_seen_from_outside(cluster: Cluster) -> None:
    """It listens on the head's own loopback."""
    listening = cluster.hosts.on(HEAD, "ss -Hltn").stdout
    assert re.findall(r"(\S+):8265\b", listening) == ["127.0.0.1"], listening
    knock = f"import socket; socket.create_connection(({cluster.hosts.address(HEAD)!r}, 8265), timeout=5)"
    code, output = cluster.run("python", "-c", knock)
    assert (code, "Connection refused" in output) == (1, True), output


@pytest.mark.parametrize("number", [HEAD, *WORKERS])
def test_the_agents_of_the_dashboard_ask_for_the_token(cluster: Cluster, number: int) -> None:
    """They start jobs, and every node's can be reached by the others."""
    jobs = f"http://{cluster.hosts.address(number)}:52365/api/job_agent/jobs/"
    started = ("--header", "Content-Type: application/json", "--data", '{"entrypoint": "touch ~/submitted"}')
    code, output = cluster.run("curl", "--silent", "--show-error", "--write-out", " %{http_code}", *started, jobs)
    assert (code, output[-3:]) == (0, "401"), output


def test_the_dashboard_asks_for_the_token(cluster: Cluster) -> None:
    """On the head itself, whoever has no token reads nothing there and submits nothing."""
    ask = "curl --silent --max-time 20 --output /dev/null --write-out '%{http_code}' http://127.0.0.1:8265"
    token = '--header "Authorization: Bearer $(cat ~/.ray/auth_token)"'
    for page in ("/api/jobs/", "/nodes?view=summary", "/api/cluster_status"):
        assert cluster.hosts.on(HEAD, f"{ask}'{page}'").stdout == "401"
        assert cluster.hosts.on(HEAD, f"{ask}'{page}' {token}").stdout == "200"
    submit = "ray job submit --address http://127.0.0.1:8265 -- touch ~/submitted"
    assert cluster.hosts.on(HEAD, f"RAY_AUTH_MODE=disabled {submit}").returncode != 0
    assert cluster.hosts.on(HEAD, "ls ~/submitted").returncode != 0
    done = cluster.hosts.on(HEAD, f"{submit} && ls ~/submitted", 600)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_study_that_is_not_the_mounted_one_is_refused(cluster: Cluster) -> None:
    """An edit at the desk has to be brought to the cluster first; the command that does it stops nothing there."""
    study = cluster.checkout / "sweeps" / "deepship_rates.py"
    study.write_text(study.read_text(encoding="utf-8") + "# another study\n", encoding="utf-8")
    code, output = cluster.run(*cluster.submitted("--dry-run", *SMALL))
    assert code != 0
    assert "ray up --no-restart" in output
    assert "Traceback" not in output

    pids = [cluster.hosts.on(number, "pgrep raylet").stdout for number in WORKERS]
    code, output = cluster.run("ray", "up", "-y", "--no-restart", cluster.file)
    assert code == 0, output
    code, output = cluster.run(*cluster.submitted("--dry-run", *SMALL))
    assert code == COMPLETE, output
    assert [cluster.hosts.on(number, "pgrep raylet").stdout for number in WORKERS] == pids


def test_a_node_with_other_packages_is_refused(cluster: Cluster) -> None:
    """Before anything runs, by name, with both versions and what to do."""
    shim = "~/soundings/torch-1.0.0.dist-info"
    cluster.hosts.on(
        WORKERS[1],
        f"mkdir {shim} && printf 'Metadata-Version: 2.1\\nName: torch\\nVersion: 1.0.0\\n' > {shim}/METADATA",
    )
    try:
        code, output = cluster.run(*cluster.submitted(*SMALL, "--limit", "1", "--set", "epochs=2"))
    finally:
        cluster.hosts.on(WORKERS[1], f"rm -r {shim}")
    assert code != 0
    assert re.search(rf"host{WORKERS[1]}.*torch 1\.0\.0 instead of", output), output
    assert f"host{WORKERS[0]}" not in output
    assert "ray up" in output
    assert not runs(cluster, 2)


def test_a_worker_that_loses_power_costs_no_trial(cluster: Cluster) -> None:
    """The sweep goes on on the other worker, and ends complete."""
    num_trials, num_epochs = 4, 40
    epochs_before, lost = len(list(cluster.epochs.iterdir())), WORKERS[1]
    sweep = cluster.start(*cluster.submitted(*long(num_trials, num_epochs)))
    wait_for(cluster, sweep, num_running=2, num_done=0)
    cut_off, finished = training(cluster), records(cluster)
    assert cluster.hosts.on(lost, "pgrep --full ray::ImplicitFunc").stdout  # a trial runs there
    cluster.hosts.kill(lost)
    assert sweep.end() == COMPLETE, sweep.output

    assert "marked dead" in sweep.output
    assert cluster.hosts.on(lost, "true").returncode != 0
    assert len(cut_off) == 2
    check_whole(cluster, num_trials, num_epochs, epochs_before, finished)


def test_a_head_that_loses_power_costs_no_trial(cluster: Cluster) -> None:
    """New machines, `ray down`, `ray up` and the same command: what was finished is kept, and the rest goes on."""
    num_trials, num_epochs = 4, 41
    epochs_before = len(list(cluster.epochs.iterdir()))
    command = cluster.submitted(*long(num_trials, num_epochs))
    sweep = cluster.start(*command)
    wait_for(cluster, sweep, num_running=1, num_done=1)
    cluster.hosts.kill(HEAD)
    assert sweep.end() not in (COMPLETE, BAD_INPUT), sweep.output
    finished = records(cluster)
    assert any(run.status == "RUNNING" for run in runs(cluster, num_epochs))

    for number in {HEAD, *WORKERS} - set(cluster.hosts.machines):
        cluster.hosts.bring_up(number)
    code, output = cluster.run("ray", "down", "-y", cluster.file)  # or `ray up` takes the new head for one set up
    assert code == 0, output
    cluster.up()
    code, output = cluster.run(*command)
    assert code == COMPLETE, output
    check_whole(cluster, num_trials, num_epochs, epochs_before, finished)
