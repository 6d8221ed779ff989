"""suite.launch.slurm.client against a real SLURM: what it says, and that silence is never an answer."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from suite.launch.queue import SchedulerUnavailable
from suite.launch.slurm import client
from suite.launch.slurm.client import Ended, Refused
from tests.slurm.cluster import Cluster

SMALL = ("--cpus-per-task=1", "--mem=50", "--output=/dev/null")


def submit(cluster: Cluster, *options: str, script: str = "sleep 300", name: str = "suite-test") -> str:
    command = ("sbatch", "--parsable", f"--job-name={name}", *SMALL, *options)
    return cluster.run(*command, given=f"#!/bin/sh\n{script}\n")


def wait_for_state(cluster: Cluster, wanted: str, *jobs: str) -> None:
    cluster.wait_for(lambda: all(client.state(job) == wanted for job in jobs), f"{', '.join(jobs)} {wanted}")


def wait_for_accounting(cluster: Cluster, expected: dict[str, str]) -> dict[str, Ended]:
    """Wait until accounting, which lags behind, has these states; return all that it says."""

    def found() -> dict[str, Ended]:
        answer = client.accounting(expected)
        return answer if {job: ended.state for job, ended in answer.items()} == expected else {}

    answer: dict[str, Ended] = cluster.wait_for(found, f"accounting to say {expected}")
    return answer


def test_the_queue_lists_running_and_waiting_array_tasks_one_by_one(on_slurm: Cluster) -> None:
    array = submit(on_slurm, "--array=2-5%1", name="suite-an|odd name")
    plain = submit(on_slurm, "--begin=now+1hour")
    submit(on_slurm, "--begin=now+1hour", name="somebody-else")
    wait_for_state(on_slurm, "RUNNING", f"{array}_2")
    tasks = {task.job: task for task in client.queue()}
    assert set(tasks) == {plain, *(f"{array}_{index}" for index in range(2, 6))}
    assert [tasks[f"{array}_{index}"].index for index in range(2, 6)] == [2, 3, 4, 5]
    assert [tasks[f"{array}_{index}"].state for index in (2, 5)] == ["RUNNING", "PENDING"]
    assert tasks[f"{array}_2"].nodes in ("gpu1", "gpu2")
    assert tasks[f"{array}_5"].reason == "JobArrayTaskLimit"
    assert tasks[f"{array}_5"].name == "suite-an|odd name"
    assert (tasks[plain].index, tasks[plain].state, tasks[plain].nodes) == (0, "PENDING", "")


def test_tasks_cancelled_one_by_one_before_they_ran_leave_no_trace(on_slurm: Cluster) -> None:
    array = submit(on_slurm, "--array=0-5%1")
    tasks = [f"{array}_{index}" for index in range(6)]
    wait_for_state(on_slurm, "RUNNING", tasks[0])
    client.cancel(tasks[3:5])
    assert [client.state(job) for job in tasks] == ["RUNNING", "PENDING", "PENDING", None, None, "PENDING"]
    assert {task.job for task in client.queue()} == {*tasks[:3], tasks[5]}


def test_tasks_that_never_ran_are_found_in_accounting_however_sacct_lists_them(on_slurm: Cluster) -> None:
    array = submit(on_slurm, "--array=0-99%1")
    tasks = [f"{array}_{index}" for index in range(100)]
    wait_for_state(on_slurm, "RUNNING", tasks[0])
    client.cancel(tasks[2:60:2])  # the others make a list longer than sacct prints unasked
    client.cancel([array])
    never_ran = [*tasks[1:60:2], *tasks[60:]]
    answer = wait_for_accounting(on_slurm, dict.fromkeys([tasks[0], *never_ran], "CANCELLED"))
    assert answer[tasks[0]].nodes in ("gpu1", "gpu2")
    assert answer[tasks[99]] == Ended("CANCELLED", "0:0", "")
    # of tasks that were cancelled one by one SLURM keeps nothing, unless it is slow and the array's end comes first
    assert {ended.state for ended in client.accounting(tasks[2:60:2]).values()} <= {"CANCELLED"}


def test_accounting_tells_how_tasks_ended(on_slurm: Cluster) -> None:
    done, failed = submit(on_slurm, script="exit 0"), submit(on_slurm, script="exit 7")
    waits = submit(on_slurm, "--begin=now+1hour")
    expected = {done: "COMPLETED", failed: "FAILED", waits: "PENDING"}
    answer = wait_for_accounting(on_slurm, expected)
    assert (answer[failed].exit_code, answer[done].exit_code) == ("7:0", "0:0")
    assert client.state(failed) == "FAILED"
    assert set(client.accounting([done, "999999", f"{done}_3"])) == {done}
    assert client.accounting([]) == {}


def test_a_requeued_job_keeps_its_number_and_runs_again(on_slurm: Cluster, tmp_path: Path) -> None:
    log = tmp_path / "lives"
    array = submit(on_slurm, "--array=3", script=f"echo ${{SLURM_RESTART_COUNT:-0}} >> {log}; sleep 300")
    job = f"{array}_3"
    on_slurm.wait_for(log.exists, "the first life")
    client.requeue(job)
    on_slurm.wait_for(lambda: log.read_text().split() == ["0", "1"], "the second life")
    assert [(task.job, task.state) for task in client.queue()] == [(job, "RUNNING")]
    wait_for_accounting(on_slurm, {job: "RUNNING"})


def test_what_was_cancelled_or_has_ended_is_not_brought_back_to_life_by_a_requeue(on_slurm: Cluster) -> None:
    ended, waits = submit(on_slurm, script="exit 0"), submit(on_slurm, "--begin=now+1hour")
    wait_for_state(on_slurm, "COMPLETED", ended)
    client.cancel([waits])
    for job, said in ((ended, "COMPLETED"), (waits, "CANCELLED"), ("999999", "unknown")):
        with pytest.raises(Refused, match=said):
            client.requeue(job)
    assert client.queue() == []


def test_jobs_that_are_gone_have_no_state_and_cancelling_them_is_no_error(on_slurm: Cluster) -> None:
    ended = submit(on_slurm, script="exit 0")
    alive = [submit(on_slurm, "--begin=now+1hour") for _ in range(2)]
    wait_for_state(on_slurm, "COMPLETED", ended)
    assert client.state("999999") is None
    assert client.state(f"{ended}_5") is None
    client.cancel([])
    client.cancel(["999999", alive[0], "999999_4", ended, f"{alive[1]}_4", alive[1]])
    assert [client.state(job) for job in (*alive, ended)] == ["CANCELLED", "CANCELLED", "COMPLETED"]


def test_a_job_of_a_lost_node_is_back_in_the_queue_and_another_one_has_failed(on_slurm: Cluster) -> None:
    here = ("--nodelist=gpu2",)
    requeued, lost = submit(on_slurm, *here), submit(on_slurm, *here, "--no-requeue")
    wait_for_state(on_slurm, "RUNNING", requeued, lost)
    on_slurm.kill_node("gpu2", noticed=True)
    try:
        assert client.state(requeued) == "PENDING"
        assert client.state(lost) == "NODE_FAIL"
        assert wait_for_accounting(on_slurm, {lost: "NODE_FAIL"})[lost].nodes == "gpu2"
    finally:
        on_slurm.restart_node("gpu2")


def test_the_site_is_asked_for_its_limits_and_partitions(on_slurm: Cluster) -> None:
    settings = client.configuration()
    assert settings["MaxArraySize"] == "1001"
    assert settings["AccountingStorageType"] == "accounting_storage/slurmdbd"
    assert list(client.partitions().items()) == [("low", "infinite"), ("high", "infinite")]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--partition=nowhere", "Invalid partition name"),
        ("--mem=100G", "Requested node configuration is not available"),
        ("--gpus-per-node=3", "Requested node configuration is not available"),
        ("--array=0-1001", "Invalid job array specification"),
        ("--no-such-option", "no-such-option"),
    ],
)
def test_what_sbatch_has_against_a_script_is_known_before_it_is_submitted(
    on_slurm: Cluster, option: str, said: str
) -> None:
    problem = client.submission_problem(f"#!/bin/sh\n#SBATCH --mem=50\n#SBATCH {option}\ntrue\n")
    assert problem is not None
    assert said in problem


def test_nothing_is_submitted_by_asking_whether_it_could_be(on_slurm: Cluster) -> None:
    script = "#!/bin/sh\n#SBATCH --mem=50 --gpus-per-node=2 --array=0-1000 --job-name=suite-test\nsleep 300\n"
    assert client.submission_problem(script) is None
    assert client.queue() == []


def test_without_accounting_nothing_is_known_of_ended_jobs_and_the_queue_answers(
    make_cluster: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    with make_cluster(accounting=False, max_array_size=10) as cluster:
        monkeypatch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
        assert client.configuration()["MaxArraySize"] == "10"
        assert client.submission_problem("#!/bin/sh\n#SBATCH --mem=50 --array=0-10\ntrue\n") is not None
        job = submit(cluster, "--array=0-9")
        assert len(client.queue()) == 10
        assert client.accounting([f"{job}_0"]) == {}
        cluster.stop_daemon("slurmctld")
        monkeypatch.setenv("SLURM_CONF", str(_impatient(cluster)))
        _assert_silence(job)


def _impatient(cluster: Cluster) -> Path:
    """Return a configuration with which the commands give up sooner."""
    given = (cluster.folder / "slurm.conf").read_text()
    file = cluster.folder / "impatient.conf"
    file.write_text(given.replace("MessageTimeout=5", "MessageTimeout=1"))
    return file


def _assert_silence(job: str) -> None:
    questions: dict[str, Callable[[], object]] = {
        "queue": client.queue,
        "state": lambda: client.state(job),
        "cancel": lambda: client.cancel([job]),
        "requeue": lambda: client.requeue(job),
        "configuration": client.configuration,
        "partitions": client.partitions,
        "submission_problem": lambda: client.submission_problem("#!/bin/sh\ntrue\n"),
    }
    with ThreadPoolExecutor(len(questions)) as pool:
        errors = {name: pool.submit(ask).exception() for name, ask in questions.items()}
    assert {name: type(error) for name, error in errors.items()} == dict.fromkeys(questions, SchedulerUnavailable)
