"""The SLURM script in docs/scale.md runs with stand-ins for SLURM: nodes have a network and processes of their own."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny
from tests.pipeline import test_cluster as cells
from tests.pipeline import test_side_by_side as side_by_side

NODES = ["node-1", "node-2"]
JOB = {
    "SLURM_JOB_NODELIST": "node-[1-2]", "SLURM_JOB_NUM_NODES": "2", "SLURM_CPUS_PER_TASK": "1", "LC_ALL": "C.UTF-8",
}  # fmt: skip
SCONTROL = """
test -n "$SLURM_JOB_NODELIST" && test "$*" = "show hostnames $SLURM_JOB_NODELIST" && printf '%s\\n' node-1 node-2
"""
PLAIN = """
for name in $(scontrol show hostnames "$SLURM_JOB_NODELIST"); do SLURMD_NODENAME=$name "$@" & done
wait
"""
RECORD = """
import json, os, shutil, sys
told = {"args": sys.argv[1:], "ray": shutil.which("ray"), "stats": os.environ["RAY_USAGE_STATS_ENABLED"]}
with open(os.environ["SLURMD_NODENAME"] + ".json", "w") as file:
    json.dump(told, file)
"""
# A node has a network, processes and a name of its own; all hang on one bridge.
NODE = """
hostname "$1"; echo > "started-$1"; read -r _ < "joined-$1"
ip link set lo up; ip link set "$2" up; ip address add "$3/24" dev "$2"
export RAY_TMPDIR="$4" TMPDIR="$4"; mkdir -p "$4"
shift 4; exec "$@"
"""
SRUN = """
ip link add switch type bridge; ip link set switch up
last=0
for name in $(scontrol show hostnames "$SLURM_JOB_NODELIST"); do
  last=$((last + 1)); mkfifo "started-$name" "joined-$name"
  unshare --net --uts --pid --fork --kill-child --mount-proc \\
    bash -euc "$NODE" node "$name" "port-$last" "10.93.0.$last" "$SHORT/$last" "$@" &
  node=$!; read -r _ < "started-$name"
  ip link add "port-$last" type veth peer name "plug-$last"
  ip link set "plug-$last" master switch up; ip link set "port-$last" netns "$node"; echo > "joined-$name"
done
failed=0; for job in $(jobs -p); do wait "$job" || failed=$?; done; exit "$failed"
"""
ROOM = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


def script() -> str:
    """Of the section, as it stands."""
    (found,) = re.findall(
        r"### Under SLURM\n.*?^```bash\n(.*?)^```", (tiny.ROOT / "docs/scale.md").read_text(), re.M | re.S
    )
    return str(found)


def executable(path: Path, text: str, shell: str = "/bin/bash -eu") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{shell}\n{text.lstrip()}")
    path.chmod(0o755)


def submitted(study: Path, srun: str, room: list[str], **environment: str) -> str:
    """Run the script in `study` as the first node of a job would; what it says."""
    (study / "job.sh").write_text(script())
    executable(study.parent / "slurm/scontrol", SCONTROL)
    executable(study.parent / "slurm/srun", srun)
    surroundings = tiny.surroundings() | JOB | environment
    surroundings["PATH"] = f"{study.parent / 'slurm'}:{os.environ['PATH']}"
    done = subprocess.run(
        [*room, "bash", "job.sh"], cwd=study, env=surroundings, text=True, timeout=300, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_every_node_runs_ray_with_what_the_job_gives_it(tmp_path: Path) -> None:
    study = tmp_path / "study"
    executable(study / ".venv/bin/ray", RECORD, sys.executable)
    submitted(study, PLAIN, [])
    for name in NODES:
        told = json.loads((study / f"{name}.json").read_text())
        given, _, command = " ".join(told["args"]).partition(" -- ")
        assert given == "symmetric-run --address node-1:6379 --min-nodes 2 --num-cpus 1 --num-gpus 1"
        assert command == "make repro CLUSTER=auto"
        assert told["ray"] == str(study / ".venv/bin/ray"), "Ray calls `ray` by its name"
        assert told["stats"] == "0"


def test_a_job_whose_list_of_nodes_cannot_be_read_fails(tmp_path: Path) -> None:
    study = tmp_path / "study"
    executable(study / ".venv/bin/ray", RECORD, sys.executable)
    with pytest.raises(AssertionError):
        submitted(study, PLAIN, [], SLURM_JOB_NODELIST="")
    assert not list(study.glob("*.json"))


def test_options_for_sbatch_are_such_and_stand_before_the_first_command() -> None:
    lines = script().splitlines()
    assert lines[0] == "#!/bin/bash"
    options = [line for line in lines if line.startswith("#SBATCH")]
    assert lines[1 : len(options) + 1] == options, "sbatch reads none behind a command"
    known = {"job-name", "nodes", "ntasks-per-node", "cpus-per-task", "gpus-per-task", "time"}
    assert {re.fullmatch(r"#SBATCH --([a-z-]+)=\S+", line)[1] for line in options} <= known  # type: ignore[index]
    assert "#SBATCH --ntasks-per-node=1" in options, "`ray symmetric-run` runs once on a node"


def rooms() -> bool:
    """Whether this machine lets us make networks of our own."""
    command = "ip link add switch type bridge && ip link add port type veth peer name plug && "
    command += "unshare --net --uts --pid --fork --mount-proc mount --bind /etc/hosts /etc/hosts"
    try:
        return not subprocess.run([*ROOM, "sh", "-c", command], capture_output=True, check=False).returncode
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="needs Ray: `make cluster` installs it")
@pytest.mark.skipif(not rooms(), reason="needs Linux that lets a user make networks of its own (unshare, ip)")
def test_two_nodes_end_with_the_bytes_of_dvc_repro(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    serial = cells.make(tmp_path / "serial/study")
    tiny.run(serial, "dvc", "repro", "--quiet", EVENHAND_SIGNS=str(serial))
    study = cells.make(tmp_path / "study")
    (study / "stages/cells").symlink_to(tiny.ROOT / "stages/cells")
    executable(study / "stages/track/__main__.py", "")
    for name in ("Makefile", "requirements.lock"):
        (study / name).symlink_to(tiny.ROOT / name)
    executable(study / ".venv/bin/python", f'exec {shlex.quote(sys.executable)} "$@"')
    executable(study / ".venv/bin/ray", 'exec python -m ray.scripts.scripts "$@"')
    (study / ".venv/installed").touch()
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n" + "".join(f"10.93.0.{k} {name}\n" for k, name in enumerate(NODES, 1)))
    short = tmp_path_factory.mktemp("ray")
    named = ["bash", "-euc", 'mount --bind "$1" /etc/hosts; shift; exec "$@"', "room", str(hosts)]
    said = submitted(study, SRUN, [*ROOM, *named], NODE=NODE, SHORT=str(short), EVENHAND_SIGNS=str(study))
    assert side_by_side.same(study, serial, cells.CELLS), said
    assert len({line[3] for line in cells.ran(study)}) == 2, "one folder on each node"
    assert "Running command on head node: ['make', 'repro', 'CLUSTER=auto']" in said
