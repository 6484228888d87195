"""A real Slurm on this machine: munged, slurmctld and two slurmd, in a folder of their own.

``python -m tests.slurm.cluster FOLDER`` starts one to play with and prints the line that a shell
needs to use it; Ctrl-C ends it.
"""

from __future__ import annotations

import getpass
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NODES = ("node1", "node2")
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")

# Two slurmd on one host; waits are short where Slurm's defaults are minutes. cred_expire is how
# long a requeued job waits for its next start.
CONFIGURATION = """
ClusterName=gzsl{port}
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={port}
FirstJobId={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=6
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
SlurmctldTimeout=30
SlurmdTimeout=6
InactiveLimit=0
KillWait=10
MinJobAge=600
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobRequeue=1
ReturnToService=2
SlurmdParameters=config_overrides
PropagateResourceLimits=NONE
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={port1} CPUs=4 RealMemory=4000
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={port2} CPUs=4 RealMemory=4000
PartitionName=debug Nodes=node1,node2 Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


class Cluster:
    """A running Slurm; made by `cluster`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        self.jobs: list[str] = []
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}

    def start(self) -> None:
        """Start all daemons and wait until both nodes are idle."""
        (self.folder / "state").mkdir(parents=True)
        self.folder.chmod(0o755)  # munged insists
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        ports = _free_ports(3)
        (self.folder / "slurm.conf").write_text(
            CONFIGURATION.format(
                folder=self.folder, host=socket.gethostname(), user=getpass.getuser(),
                port=ports[0], port1=ports[1], port2=ports[2],
            )
        )  # fmt: skip
        paths = {"socket": "munge.socket", "key-file": "munge.key", "log-file": "munged.log"}
        paths |= {"pid-file": "munged.pid", "seed-file": "munge.seed"}
        options = [f"--{name}={self.folder / file}" for name, file in paths.items()]
        self._spawn("munged", "--foreground", "--force", "--num-threads=2", *options)
        self._wait_for((self.folder / "munge.socket").exists, "munged")
        self._spawn("slurmctld", "-D", "-f", self.environment["SLURM_CONF"])
        for node in NODES:
            self.start_node(node)
        self._wait_for(lambda: self.idle_nodes() == len(NODES), "slurmd")

    def start_node(self, node: str) -> None:
        """Start a node's slurmd, or start it again."""
        self._spawn("slurmd", "-D", "-N", node, "-f", self.environment["SLURM_CONF"], name=node)

    def kill_node(self, node: str) -> None:
        """Let a node die: its slurmd and all processes of jobs on it."""
        processes = self.processes(node)
        keepers = {_parent(pid) for pid in processes}
        # Those that would report the others' deaths go first: on a dead node nobody does.
        keepers = {pid for pid in keepers if _name(pid) == "slurmstepd"}
        victims = [self.daemons[node].pid, *keepers, *processes]
        for pid in victims:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.daemons[node].wait()

    def processes(self, node: str) -> list[int]:
        """What a node runs for jobs."""
        return _processes_of(self.folder, SLURMD_NODENAME=node)

    def trainers(self, job: str) -> list[int]:
        """A job's worker processes."""
        pids = _processes_of(self.folder, SLURM_JOB_ID=job)
        return [pid for pid in pids if b"-u\0-m\0gzsl_dist.train" in _command(pid)]

    def idle_nodes(self) -> int:
        """How many nodes are free."""
        return self.slurm("sinfo", "-h", "-N", "-t", "idle", "-o", "%N").count("node")

    def slurm(self, *command: str) -> str:
        """Output of a Slurm command, empty where it fails."""
        done = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | self.environment, check=False
        )
        return done.stdout if done.returncode == 0 else ""

    def sbatch(
        self, *arguments: str, cwd: Path, variables: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Call sbatch as a user does; its job is cancelled with the cluster."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_"))}
        done = subprocess.run(
            ["sbatch", *arguments],
            capture_output=True, text=True, cwd=cwd, check=False,
            env=kept | self.environment | (variables or {}),
        )  # fmt: skip
        if done.returncode == 0:
            self.jobs.append(done.stdout.split()[-1])
        return done

    def job(self, number: str) -> dict[str, str]:
        """A job as ``scontrol show job`` tells it."""
        text = self.slurm("scontrol", "-o", "show", "job", number)
        return dict(re.findall(r"(\S+?)=(\S*)", text))

    def wait(self, number: str, timeout: float = 120) -> dict[str, str]:
        """Wait until a job has ended and is not to start again."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            job = self.job(number)
            if job["JobState"] in ENDED:
                return job
            time.sleep(0.2)
        raise AssertionError(f"job {number} still is {self.job(number)}")

    def stop(self) -> None:
        """End all jobs and daemons, those that hang too."""
        if self.jobs:
            self.slurm("scancel", *self.jobs)
            with suppress(AssertionError):
                self._wait_for(lambda: not self.slurm("squeue", "-h"), "jobs", seconds=15)
        leftovers = [pid for node in NODES for pid in self.processes(node)]
        for name in (*NODES, "slurmctld", "munged"):
            if name in self.daemons:
                self.daemons[name].terminate()
        for daemon in self.daemons.values():
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        for pid in leftovers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _spawn(self, program: str, *arguments: str, name: str | None = None) -> None:
        log = (self.folder / f"{name or program}.out").open("ab")
        path = os.environ["PATH"] + ":/usr/sbin:/sbin"
        self.daemons[name or program] = subprocess.Popen(
            [shutil.which(program, path=path) or program, *arguments],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, ()),  # of __main__
            env=os.environ | self.environment | {"PATH": path},
        )  # fmt: skip
        log.close()

    def _wait_for(self, condition: object, what: str, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not condition():  # type: ignore[operator]
            for name, daemon in self.daemons.items():
                if daemon.poll() is not None:
                    log = (self.folder / f"{name}.out").read_text(errors="replace")
                    raise AssertionError(f"{name} ended: {log[-2000:]}")
            assert time.monotonic() < deadline, f"{what} did not come up in {seconds:.0f} s"
            time.sleep(0.1)


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A Slurm in a folder, stopped at the end whatever happens."""
    slurm = Cluster(folder)
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()


def missing_programs() -> list[str]:
    """Which programs of Slurm this machine lacks."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    return [name for name in NEEDED if shutil.which(name, path=path) is None]


def _free_ports(count: int) -> list[int]:
    holders = [socket.socket() for _ in range(count)]
    try:
        for holder in holders:
            holder.bind(("127.0.0.1", 0))
        return [holder.getsockname()[1] for holder in holders]
    finally:
        for holder in holders:
            holder.close()


def _processes_of(folder: Path, **variables: str) -> list[int]:
    """Processes that this cluster started for jobs, by the variables they carry."""
    variables["SLURM_CONF"] = str(folder / "slurm.conf")
    marks = [f"{name}={value}".encode() for name, value in variables.items()]
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            variables = (entry / "environ").read_bytes().split(b"\0")
            if all(mark in variables for mark in marks):
                found.append(int(entry.name))
    return found


def _parent(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return 0


def _command(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


if __name__ == "__main__":
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with cluster(Path(sys.argv[1]).absolute()) as running:
        print(f"export SLURM_CONF={running.environment['SLURM_CONF']}", flush=True)
        signal.sigwait(ends)
