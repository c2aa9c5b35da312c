"""A real Slurm cluster of one node inside one of our SSH hosts: munged, slurmdbd (on our MariaDB), slurmctld, slurmd.

Jobs are real: submitted as user etl, run by slurmd, reported by sacct and squeue. Users and their rights are the
host's own; `headway` signs in there by SSH and is a plain user of Slurm until `make_operator()`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from tests.lab.cronhost import CronHost
from tests.lab.hostfiles import JOB_USER, LOGIN_USER
from tests.lab.mariadb import MariaDb
from tests.lab.process import accepts, free_port, tail, wait_until

CLUSTER = "lab"
SLURM_CONF = """\
ClusterName={cluster}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld}
SlurmdPort={slurmd}
SlurmUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
StateSaveLocation=/var/lib/slurm-state
SlurmdSpoolDir=/var/lib/slurm-spool
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/var/log/slurmctld.log
SlurmdLogFile=/var/log/slurmd.log
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
KillWait=2
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageEnforce=associations,limits
AccountingStorageHost=127.0.0.1
AccountingStoragePort={dbd}
AccountingStoreFlags=job_comment,job_script
MinJobAge={remembers}
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:8
"""
SLURMDBD_CONF = """\
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={dbd}
SlurmUser=root
AuthType=auth/munge
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=root
StorageLoc=slurm_acct
PidFile=/run/slurmdbd.pid
LogFile=/var/log/slurmdbd.log
"""


class SlurmCluster:
    """One cluster in `folder`: `start()` it, reach it as `headway` by SSH at `host.port`."""

    def __init__(self, folder: Path, database: MariaDb, user_key: Path | None = None, remembers: int = 300) -> None:
        self.host = CronHost(folder, "hpc", user_key=user_key)
        self.database = database
        self.ports = {"ctld": free_port(), "slurmd": free_port(), "dbd": free_port()}
        self.remembers = remembers
        """MinJobAge: for how many seconds slurmctld knows a job that has ended."""

    # -- life -------------------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Boots the host and its daemons; returns when the node takes jobs."""
        self.host.prepare()
        values = {**self.ports, "host": self.host.name, "cluster": CLUSTER, "database": self.database.port}
        self.host.files.put("etc/slurm/slurm.conf", SLURM_CONF.format(**values, remembers=self.remembers))
        self.host.files.put("etc/slurm/slurmdbd.conf", SLURMDBD_CONF.format(**values), 0o600)
        self.host.start()
        self._start_munge()
        self.start_dbd()
        self.host.run("root", f"sacctmgr -i add cluster {CLUSTER} && sacctmgr -i add account ops")
        for user in (JOB_USER, LOGIN_USER):
            self.host.run("root", f"sacctmgr -i add user {user} account=ops")
        self.host.run("root", "mkdir -p /var/lib/slurm-state /var/lib/slurm-spool")
        self.start_ctld()
        self.host.run("root", "slurmd")
        wait_until(lambda: "idle" in self.host.run("root", "sinfo -h -o %t"), "an idle node", pause=0.2)

    def stop(self) -> None:
        """Ends all of it, daemons and jobs."""
        self.host.stop()

    def start_ctld(self) -> None:
        """Brings the controller up, also after it was killed."""
        self.host.run("root", "slurmctld")
        self._wait("ctld", "slurmctld")

    def start_dbd(self) -> None:
        """Brings accounting up, also after `stop_dbd`."""
        self.host.run("root", "slurmdbd")
        self._wait("dbd", "slurmdbd")

    def stop_dbd(self) -> None:
        """Stops accounting: slurmctld goes on and buffers its records."""
        self.host.run("root", "kill $(cat /run/slurmdbd.pid)")
        wait_until(lambda: not accepts(self.ports["dbd"]), "slurmdbd to be gone")

    def _start_munge(self) -> None:
        key = self.host.fs / "etc/munge/munge.key"
        if not key.exists() or not key.stat().st_size:
            key.parent.mkdir(parents=True, exist_ok=True)
            key.write_bytes(os.urandom(128))
        folders = "/run/munge /var/lib/munge /var/log/munge"
        made = f"mkdir -p {folders} && chown -R munge:munge {folders} /etc/munge && chmod 755 /run/munge"
        self.host.run("root", f"{made} && chmod 700 /etc/munge && chmod 400 /etc/munge/munge.key")
        self.host.run("root", "setpriv --reuid=munge --regid=munge --init-groups /usr/sbin/munged")
        wait_until((self.host.fs / "run/munge/munge.socket.2").exists, "munge's socket")

    def _wait(self, port: str, daemon: str) -> None:
        log = self.host.fs / f"var/log/{daemon}.log"
        wait_until(lambda: accepts(self.ports[port]), f"{daemon}:\n{tail(log)}")

    # -- jobs -------------------------------------------------------------------------------------------------------
    def submit(self, name: str, script: str, *options: str, user: str = JOB_USER) -> str:
        """The id of a new job of `user`: `script` is the text after its first line."""
        text = shlex.join(["sbatch", "--parsable", "-D", f"/home/{user}", "-J", name, *options])
        return self.host.run(user, text, stdin=f"#!/bin/sh\n{script}\n").strip()

    def state(self, job: str) -> str:
        """What slurmctld says of it now: "COMPLETED"; of an array, that of each part."""
        return self.host.run("root", f"squeue -h -a -t all -o %T -j {job}").strip()

    def wait(self, job: str, state: str) -> None:
        """Until every part of the job is in that state."""
        wait_until(lambda: set(self.state(job).split()) == {state}, f"job {job} to be {state}", pause=0.2)

    def resume(self) -> None:
        """Brings the node back after it was set down; slurmd may have done so itself."""

        def is_up() -> bool:
            self.host.run("root", f"scontrol update NodeName={self.host.name} State=RESUME 2>&1 || true")
            return self.host.run("root", "sinfo -h -o %t").strip() in ("idle", "mix", "alloc")

        wait_until(is_up, "the node to be back", pause=0.5)

    def coordinate(self, is_one: bool) -> None:
        """Gives or takes the narrower right: over the jobs of one account."""
        verb = "add" if is_one else "delete"
        self.host.run("root", f"sacctmgr -i {verb} coordinator account=ops names={LOGIN_USER}")

    def make_operator(self, is_one: bool) -> None:
        """Gives or takes what grants.txt names for acts on other users' jobs."""
        level = "Operator" if is_one else "None"
        self.host.run("root", f"sacctmgr -i modify user {LOGIN_USER} set adminlevel={level}")
