"""The files and command lines of a cluster's daemons. Nothing in them points outside the cluster's folder."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

NODES = ("gpu1", "gpu2")
GPUS = ("gpu0", "gpu1")
NODE = "CPUs=4 RealMemory=10000 Gres=gpu:2 State=UNKNOWN"
PARTITION = "Nodes=gpu[1-2] State=UP DefaultTime=10 MaxTime=INFINITE DefMemPerCPU=500"


def commands(folder: Path) -> dict[str, list[str]]:
    """Return the command line of each daemon, in the foreground."""
    munge = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munged.pid", "seed-file": "munge.seed"}
    return {
        "munged": ["munged", "--foreground", "--force", *(f"--{name}={folder / file}" for name, file in munge.items())],
        "mariadbd": [
            "mariadbd",
            *_database_options(folder),
            f"--socket={folder / 'database.socket'}",
            f"--pid-file={folder / 'mariadbd.pid'}",
            "--skip-networking",
        ],
        "slurmdbd": ["slurmdbd", "-D"],
        "slurmctld": ["slurmctld", "-D"],
        **{node: ["slurmd", "-D", "-N", node] for node in NODES},
    }


def database_setup(folder: Path) -> list[str]:
    """Return the command line that makes an empty database."""
    options = ("--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
    return ["mariadb-install-db", *_database_options(folder), *options]


def _database_options(folder: Path) -> list[str]:
    return [
        "--no-defaults",
        "--user=root",
        f"--datadir={folder / 'database'}",
        "--innodb-flush-method=nosync",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-doublewrite=0",
        "--innodb-log-file-size=8M",
        "--innodb-buffer-pool-size=32M",
    ]


def write(folder: Path, ports: Sequence[int], accounting: bool, settings: Mapping[str, str]) -> None:
    """Write slurm.conf, gres.conf and slurmdbd.conf; takes four ports."""
    controller, database, first, last = ports
    host = socket.gethostname().partition(".")[0]
    slurm = {**_slurm(folder, host, controller), **_accounting(folder, database if accounting else None), **settings}
    lines = [f"{name}={value}" for name, value in slurm.items()]
    lines += [
        f"NodeName=gpu[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{last}] {NODE}",
        f"PartitionName=low Default=YES PriorityTier=1 {PARTITION}",
        f"PartitionName=high PriorityTier=10 {PARTITION}",
    ]
    (folder / "slurm.conf").write_text("\n".join(lines) + "\n")
    (folder / "gres.conf").write_text(f"NodeName=gpu[1-2] Name=gpu File={folder}/gpu[0-1]\n")
    slurmdbd = folder / "slurmdbd.conf"
    slurmdbd.touch(mode=0o600)
    slurmdbd.write_text("".join(f"{name}={value}\n" for name, value in _slurmdbd(folder, database).items()))


def _slurm(folder: Path, host: str, port: int) -> dict[str, str]:
    return {
        "ClusterName": "test",
        "SlurmctldHost": f"{host}(127.0.0.1)",
        "SlurmctldPort": str(port),
        "SlurmUser": "root",
        "SlurmdUser": "root",
        "AuthType": "auth/munge",
        # cred_expire is also how long a requeued job waits before it starts again (default: two minutes).
        "AuthInfo": f"socket={folder / 'munge.socket'},cred_expire=5",
        "StateSaveLocation": f"{folder}/state",
        "SlurmctldPidFile": f"{folder}/slurmctld.pid",
        "SlurmdPidFile": f"{folder}/slurmd.%n.pid",
        "SlurmdSpoolDir": f"{folder}/state/%n",
        "SlurmdParameters": "config_overrides",  # the CPUs and the memory of nodes are pretended
        "PropagateResourceLimits": "NONE",
        "MailProg": "/bin/true",
        "MpiDefault": "none",
        "SwitchType": "switch/none",
        "TaskPlugin": "task/none",
        "ProctrackType": "proctrack/linuxproc",
        "JobAcctGatherType": "jobacct_gather/linux",
        "GresTypes": "gpu",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core_Memory",
        "SchedulerType": "sched/backfill",
        "SchedulerParameters": "sched_interval=1,sched_min_interval=0,bf_interval=1,batch_sched_delay=0",
        "PreemptType": "preempt/partition_prio",
        "PreemptMode": "REQUEUE",
        "JobRequeue": "1",
        "ReturnToService": "2",
        # A lost node is found DOWN after about 18 s. Shorter, and a busy machine loses nodes that live.
        "SlurmdTimeout": "10",
        "MessageTimeout": "5",
        "BatchStartTimeout": "1",
        "KillWait": "5",
        "MinJobAge": "30",
    }


def _accounting(folder: Path, port: int | None) -> dict[str, str]:
    if port is None:
        return {"AccountingStorageType": "accounting_storage/none"}
    return {
        "AccountingStorageType": "accounting_storage/slurmdbd",
        "AccountingStorageHost": "127.0.0.1",
        "AccountingStoragePort": str(port),
        "AccountingStoragePass": f"{folder}/munge.socket",
    }


def _slurmdbd(folder: Path, port: int) -> dict[str, str]:
    return {
        "DbdHost": "localhost",
        "DbdAddr": "127.0.0.1",
        "DbdPort": str(port),
        "SlurmUser": "root",
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={folder}/munge.socket",
        "PidFile": f"{folder}/slurmdbd.pid",
        "StorageType": "accounting_storage/mysql",
        "StorageHost": "localhost",
        "StorageUser": "root",
        "StorageLoc": "accounting",
    }
