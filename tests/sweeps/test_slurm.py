"""`hydra/launcher=submitit_slurm` with three small programs in place of SLURM.

They do what submitit needs: `sbatch` starts the jobs of an array one after another and returns,
`srun` starts the tasks of a job with their variables, `sacct` prints the states.
"""

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from training_runs import Go, folder_of, metrics, runner

pytest.importorskip("hydra_plugins.hydra_submitit_launcher")

SBATCH = """
import os, re, subprocess, sys
words = ["bash", sys.argv[-1]]
text = open(sys.argv[-1]).read()
if "--job" not in sys.argv:
    copy = os.environ["SLURM_HERE"] + "/sbatch"  # submitit renames its own
    open(copy, "w").write(text)
    subprocess.Popen([sys.executable, __file__, "--job", copy], start_new_session=True,
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    print("Submitted batch job 4242")
    sys.exit()
array = re.search(r"--array=0-(\\d+)", text)  # submitit asks for none where there is one job
tasks = re.search(r"--ntasks-per-node=(\\d+)", text).group(1)
for i in range(int(array.group(1)) + 1 if array else 1):
    own = {"SLURM_JOB_ID": "4242", "SLURM_NTASKS": tasks, "SLURM_NTASKS_PER_NODE": tasks,
           "SLURM_NNODES": "1", "SLURM_JOB_NUM_NODES": "1", "SLURM_NODEID": "0",
           "SLURM_JOB_NODELIST": "127.0.0.1", "SLURM_NODELIST": "127.0.0.1",
           "SLURM_JOB_NAME": re.search(r"--job-name=(\\S+)", text).group(1)}
    if array:
        own |= {"SLURM_JOB_ID": str(4243 + i), "SLURM_ARRAY_JOB_ID": "4242",
                "SLURM_ARRAY_TASK_ID": str(i)}
    job = f"4242_{i}" if array else "4242"
    code = subprocess.run(words, env={**os.environ, **own}).returncode
    with open(os.environ["SLURM_HERE"] + "/states", "a") as file:
        file.write(f"{job}|{'FAILED' if code else 'COMPLETED'}|here\\n")
"""
SRUN = """
import os, subprocess, sys
first = next(i for i, word in enumerate(sys.argv) if "python" in os.path.basename(word) and i)
tasks = []
for rank in map(str, range(int(os.environ["SLURM_NTASKS"]))):
    log = open(f"{os.environ['SLURM_HERE']}/{os.environ['SLURM_JOB_ID']}-{rank}", "w")
    env = {**os.environ, "SLURM_PROCID": rank, "SLURM_LOCALID": rank}
    tasks.append(subprocess.Popen(sys.argv[first:], env=env, stdout=log, stderr=log))
sys.exit(max([abs(task.wait()) for task in tasks]))
"""
SACCT = """
import os
states = os.environ["SLURM_HERE"] + "/states"
print("JobID|State|NodeList")
print(open(states).read() if os.path.exists(states) else "", end="")
"""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Go:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("sacct", SACCT)):
        path = programs / name
        path.write_text(f"#!{sys.executable}\n{text}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_HERE", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return runner(tmp_path)


CLUSTER = ("hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu",
           "hydra.launcher.gres=gpu:1", "trainer.max_epochs=1")  # fmt: skip


@pytest.mark.slow
def test_array_jobs_equal_runs_in_one_process(go: Go, tmp_path: Path) -> None:
    assert go("seed=1", "trainer.max_epochs=1", out="alone") == 0
    assert go("-m", "seed=1,2", "model.n_heads=2,7", *CLUSTER, out="side") == 2  # 7 is refused
    asked = (tmp_path / "sbatch").read_text()
    for line in ("partition=gpu", "gres=gpu:1", "time=1440", "cpus-per-task=4", "job-name=adhoc"):
        assert f"#SBATCH --{line}\n" in asked
    alone = folder_of(tmp_path, "alone")
    study = tmp_path / "side" / "adhoc"
    assert metrics(study / alone.name) == metrics(alone)
    assert len(list(study.glob("*/result.json"))) == 2


@pytest.mark.slow
def test_two_tasks_of_a_job_are_two_ranks(go: Go, tmp_path: Path) -> None:
    words = ("optimizer.lr=1e-9",)  # so that the weights stay as they were
    assert go(*words, "trainer.max_epochs=1", out="one") == 0
    ranks = ("trainer=ddp", "hydra.launcher.tasks_per_node=2")
    assert go("-m", "seed=1", *words, *CLUSTER, *ranks, out="two") == 0
    results = [folder_of(tmp_path, out) / "result.json" for out in ("one", "two")]
    expected, found = (json.loads(path.read_text())["test"] for path in results)
    assert found["n"] == expected["n"] and found["nll"] == pytest.approx(expected["nll"], rel=1e-5)
