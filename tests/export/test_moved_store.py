"""`python -m stages.track.move`: all that mlflow.db holds is on the server afterwards, once."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from stages.track.store import FINGERPRINT_TAG
from tests import tiny
from tests.track import servers

pytestmark = [pytest.mark.slow, servers.needed]
MOVE = (sys.executable, "-m", "stages.track.move")
MORE = """
import mlflow
client = mlflow.MlflowClient()
place = client.create_experiment("another", tags={"mlflow.note.content": "by hand"})
run = client.create_run(place, run_name="by hand", tags={"mine": "ä"}).info.run_id
for step in range(1500):
    client.log_metric(run, "loss", 1 / (step + 1), step=step)
client.log_param(run, "lr", "0.1")
client.set_terminated(run)
client.create_run(place, run_name="unfinished")
study = client.get_experiment_by_name("tiny one").experiment_id
cell = client.search_runs([study], "attributes.run_name = 'cnn-1'")[0]
mlflow.register_model(f"models:/{cell.outputs.model_outputs[0].model_id}", "cell", tags={"by": "hand"})
client.set_registered_model_tag("cell", "kind", "network")
"""
# Ids differ between stores, and so do the places of files; an empty text is None in one of them. All else is compared.
SHOW = """
import hashlib, json, re, tempfile, mlflow
from pathlib import Path
client = mlflow.MlflowClient()
def plain(text):
    return re.sub(r"(m-)?[0-9a-f]{32}", "ID", re.sub(r"artifact_path: .*", "", text))
def below(folder):
    if not folder:
        return {}
    return {str(path.relative_to(folder)): hashlib.sha256(
        plain(path.read_text()).encode() if path.name == "MLmodel" else path.read_bytes()).hexdigest()
        for path in Path(folder).rglob("*") if path.is_file()}
def model(id):
    one = client.get_logged_model(id)
    with tempfile.TemporaryDirectory() as folder:
        files = below(mlflow.artifacts.download_artifacts(artifact_uri=one.artifact_location, dst_path=folder))
    tags = {key: value for key, value in one.tags.items() if key != "evenhand.moved"}
    made = client.get_run(one.source_run_id).info.run_name
    return [one.name, one.params, tags, str(one.status), one.model_type or None, made, files]
def run(run):
    with tempfile.TemporaryDirectory() as folder:
        files = below(client.list_artifacts(run.info.run_id) and client.download_artifacts(run.info.run_id, "", folder))
    tags = {key: value for key, value in run.data.tags.items() if key != "evenhand.moved"}
    history = {key: [(one.value, one.timestamp, one.step) for one in client.get_metric_history(run.info.run_id, key)]
               for key in run.data.metrics}
    data = sorted((one.dataset.name, one.dataset.digest, one.dataset.source, one.dataset.profile,
                   [(tag.key, tag.value) for tag in one.tags]) for one in run.inputs.dataset_inputs)
    return [run.info.run_name, run.info.start_time, run.info.end_time, run.data.params, tags, history, data, files,
            [model(one.model_id) for one in run.outputs.model_outputs]]
def version(one):
    tags = {key: value for key, value in one.tags.items() if key != "evenhand.moved"}
    where = re.fullmatch("models:/(m-[0-9a-f]{32})", one.source)
    return [int(one.version), tags, one.description or None, client.get_run(one.run_id).info.run_name, model(where[1])]
places = {one.name: one.experiment_id for one in client.search_experiments()}
runs = {name: sorted(map(run, client.search_runs([place], "attributes.status = 'FINISHED'")), key=lambda one: one[:2])
        for name, place in places.items()}
names = {one.name: [one.tags, one.description or None, {alias: int(number) for alias, number in one.aliases.items()},
                    sorted(map(version, client.search_model_versions(f"name = '{one.name}'")))]
         for one in client.search_registered_models()}
ids = [sorted(one.info.run_id for one in client.search_runs(list(places.values()))),
       sorted(one.model_id for one in client.search_logged_models(list(places.values())))]
print("value:" + json.dumps([{name: found for name, found in runs.items() if found}, names, ids]))
"""


def shown(study: Path, uri: str) -> list[Any]:
    """Runs by experiment, registered models by name, ids of runs and of logged models."""
    said = tiny.run(study, sys.executable, "-W", "ignore", "-c", SHOW, MLFLOW_TRACKING_URI=uri)
    return list(json.loads(said.split("value:", 1)[1]))


def test_the_server_has_all_that_the_local_store_has(trained: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    shutil.copytree(trained, study, ignore=shutil.ignore_patterns("mlflow.db", "mlartifacts"))
    local = "sqlite:///mlflow.db"
    assert "names no server" in tiny.run(study, *MOVE, check=False, MLFLOW_TRACKING_URI=local)
    assert "there is no mlflow.db" in tiny.run(study, *MOVE, check=False, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    tiny.run(study, sys.executable, "-m", "stages.track")
    for seed in ("0", "1"):
        tiny.run(study, sys.executable, "-m", "stages.export.register", "--seed", seed)
    tiny.run(study, sys.executable, "-W", "ignore", "-c", MORE, MLFLOW_TRACKING_URI=local)
    runs, names, _ = before = shown(study, local)
    assert [len(runs[name]) for name in ("tiny one", "another")] == [2 + 2, 1]
    assert all(one[-1] for one in runs["tiny one"]), "each has a model"
    assert [version[0] for version in names["tiny one"][-1]] == [1, 2]
    assert names["tiny one"][2] == {"champion": 2}

    with servers.team(tmp_path) as team, team.serving():
        server = {"MLFLOW_TRACKING_URI": team.address}
        process = subprocess.Popen(
            MOVE,
            cwd=study,
            env=tiny.surroundings() | server,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        import mlflow

        client = mlflow.MlflowClient(tracking_uri=team.address)

        def there() -> list[Any]:
            return [run for one in client.search_experiments() for run in client.search_runs([one.experiment_id])]

        while process.poll() is None and len(there()) < 2:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert "RUNNING" in {run.info.status for run in there()}

        said = tiny.run(study, *MOVE, MLFLOW_TRACKING_URI=team.address)
        assert "3 versions of registered models copied; not copied: 1 runs that did not finish" in said
        after = shown(study, team.address)
        assert after[:2] == before[:2]
        assert "KILLED" in {run.info.status for run in there()}

        assert "MLflow: 0 cells logged, 2 there before" in tiny.run(
            study, sys.executable, "-m", "stages.track", MLFLOW_TRACKING_URI=team.address
        )
        assert "0 runs copied, 5 there before; 0 versions" in tiny.run(study, *MOVE, MLFLOW_TRACKING_URI=team.address)
        assert shown(study, team.address) == after
        assert shown(study, local) == before, "mlflow.db stays as it is"

        # On the server another version is the champion, and another member logged a cell without its model.
        client.set_registered_model_alias("tiny one", "champion", "1")
        cell = next(run for run in there() if run.info.run_name == "cnn-1")
        client.delete_model_version("cell", "1")
        client.delete_run(cell.info.run_id)
        mark = {FINGERPRINT_TAG: cell.data.tags[FINGERPRINT_TAG]}
        bare = client.create_run(cell.info.experiment_id, run_name="cnn-1", tags=mark).info.run_id
        client.set_terminated(bare)
        said = tiny.run(study, *MOVE, MLFLOW_TRACKING_URI=team.address)
        assert "tiny one@champion stays at version 1 there; yours is version 2" in said
        assert "0 runs copied, 5 there before; 1 versions" in said
        names = shown(study, team.address)[1]
        assert names["tiny one"] == [*before[1]["tiny one"][:2], {"champion": 1}, before[1]["tiny one"][3]]
        (new,), (old,) = names["cell"][3], before[1]["cell"][3]
        assert [one[4][2].pop("mlflow.modelVersions") for one in (old, new)] == [
            f'[{{"name": "cell", "version": {number}}}]' for number in (1, 2)
        ]
        assert new == [2, *old[1:]]
