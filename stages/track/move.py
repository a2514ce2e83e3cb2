"""`python -m stages.track.move`: copy runs and registered models of mlflow.db to the server in MLFLOW_TRACKING_URI.

The results in the workspace are logged there by `python -m stages.track`. The store holds more: runs of earlier
commits, of `dvc exp run` and of the queue, and the registry. MLflow itself moves only what lies in files
(`mlflow migrate-filestore`); mlflow-export-import 1.2 leaves out the models of MLflow 3, and makes all
runs anew each time.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from stages.core import console, errors
from stages.core.errors import UserError
from stages.track import store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

MOVED_TAG = "evenhand.moved"  # the id that a run, a model or a version had in mlflow.db


def main() -> None:
    """Copy what the server lacks; the same command goes on after an interruption, and then finds nothing to do.

    Raises:
        UserError: there is no server or no store, or one of them does not answer.
    """
    argparse.ArgumentParser(prog="python -m stages.track.move", description=__doc__).parse_args()
    uri, root = os.environ.get("MLFLOW_TRACKING_URI", ""), store.repository()
    if not uri.startswith(("http://", "https://")):
        raise UserError("MLFLOW_TRACKING_URI names no server; set it to the server's address, such as http://host:5000")
    if not (root / store.DATABASE).exists():
        raise UserError(f"there is no {store.DATABASE} in the repository's folder, so nothing is to be moved")
    os.environ.update({**store.QUIET, **store.THEN, **os.environ})
    import mlflow

    (root / ".cache").mkdir(exist_ok=True)
    with FileLock(root / ".cache" / "mlflow.lock"):
        mlflow.set_tracking_uri(uri)
        try:
            move = Move(mlflow.MlflowClient(store.own(root)), mlflow.MlflowClient(uri))
            said = move.everything()
        except store.failures() as error:
            why = store.reason(error)
            raise UserError(f"MLflow did not take everything ({why}); the same command goes on from there") from None
    console.say(f"MLflow: {said}; {store.DATABASE} stays as it is; see {store.page()}")


class Move:
    """From one store to another."""

    def __init__(self, source: MlflowClient, target: MlflowClient) -> None:
        self.source, self.target = source, target
        self.runs: dict[str, str] = {}  # ids: here, there

    def everything(self) -> str:
        """Copy all experiments with finished runs, then the registry; returns what was done, in words."""
        found = [
            (one, store.finished(self.source, one.experiment_id)) for one in store.every(self.source.search_experiments)
        ]
        left = sum(len(store.runs(self.source, one.experiment_id)) - len(runs) for one, runs in found)
        copied = sum(self.experiment(one, runs) for one, runs in found if runs)
        versions = sum(self.registered(model) for model in store.every(self.source.search_registered_models))
        there = len(self.runs) - copied
        words = f"{copied} runs copied, {there} there before; {versions} versions of registered models copied"
        return words + (f"; not copied: {left} runs that did not finish" if left else "")

    def experiment(self, experiment: Experiment, runs: list[Run]) -> int:
        """Copy the finished runs that the server lacks; returns how many."""
        place = store.open_experiment(self.target, experiment.name, tags=experiment.tags)
        ours = {run.info.run_id for run in runs}
        for run in store.runs(self.target, place, "RUNNING"):
            if run.data.tags.get(MOVED_TAG) in ours:  # this command was killed
                self.target.set_terminated(run.info.run_id, "KILLED")
        known = {_key(run) for run in store.finished(self.target, place)}
        missing = [run for run in runs if _key(run) not in known]
        for run in console.progress(missing, desc=experiment.name, unit=" runs"):
            self.run(run, place)
        store.keep_one(self.target, place, {_key(run) for run in missing if not _is_registered(run)})

        there = store.finished(self.target, place)
        copies = {run.data.tags.get(MOVED_TAG): run.info.run_id for run in there}
        same = {_key(run): run.info.run_id for run in there}
        self.runs |= {run.info.run_id: copies.get(run.info.run_id, same[_key(run)]) for run in runs}
        return len(missing)

    def run(self, run: Run, place: str) -> None:
        """Copy a run; it ends FINISHED only when all of it stands."""
        from mlflow.entities import LoggedModelOutput, Param

        old = run.info.run_id
        tags = run.data.tags | {MOVED_TAG: old}
        new = self.target.create_run(place, run.info.start_time, tags, run.info.run_name).info.run_id
        params = [Param(key, value) for key, value in run.data.params.items()]
        metrics = [metric for key in run.data.metrics for metric in self.source.get_metric_history(old, key)]
        store.log(self.target, new, params, metrics)
        if run.inputs and run.inputs.dataset_inputs:
            store.again(self.target.log_inputs, new, run.inputs.dataset_inputs)
        with tempfile.TemporaryDirectory() as folder:
            if self.source.list_artifacts(old):
                self.target.log_artifacts(new, self.source.download_artifacts(old, "", folder))
        for made in run.outputs.model_outputs if run.outputs else []:
            model = self.model(made.model_id, new, place)
            self.target.log_outputs(new, [LoggedModelOutput(model, made.step)])
        self.target.set_terminated(new, "FINISHED", run.info.end_time)

    def model(self, old: str, run: str, place: str) -> str:
        """Copy a logged model to a run there; returns its id there."""
        from mlflow.artifacts import download_artifacts
        from mlflow.models import Model

        model = self.source.get_logged_model(old)
        tags = {key: value for key, value in model.tags.items() if key != "mlflow.modelVersions"}  # MLflow writes it
        made = self.target.create_logged_model(
            place, model.name, run, tags | {MOVED_TAG: old}, model.params, model.model_type
        )
        with tempfile.TemporaryDirectory() as folder:
            whole = Path(download_artifacts(artifact_uri=model.artifact_location, dst_path=folder))
            described = Model.load(str(whole))
            described.run_id, described.model_id, described.artifact_path = run, made.model_id, made.artifact_location
            described.save(str(whole / "MLmodel"))
            self.target.log_model_artifacts(made.model_id, str(whole))
        self.target.finalize_logged_model(made.model_id, model.status)
        return str(made.model_id)

    def registered(self, model: RegisteredModel) -> int:
        """Copy the versions and aliases of a registered model that the server lacks; returns how many versions."""
        from mlflow.exceptions import MlflowException

        name, named = model.name, f"name = '{model.name}'"
        try:
            self.target.create_registered_model(name, model.tags, model.description)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        known = {_mark(one): one.version for one in self.target.search_model_versions(named)}
        numbers: dict[str, str] = {}  # of versions: here, there
        copied = 0
        for version in sorted(self.source.search_model_versions(named), key=lambda one: int(one.version)):
            mark = _mark(version)
            if mark not in known and (made := self.version(version)):
                known[mark] = made
                copied += 1
            if mark in known:
                numbers[str(version.version)] = str(known[mark])
        theirs = self.target.get_registered_model(name).aliases
        for alias, number in model.aliases.items():
            ours = numbers.get(str(number))
            if ours and alias not in theirs:
                self.target.set_registered_model_alias(name, alias, ours)
            elif ours and ours != str(theirs[alias]):
                console.say(f"MLflow: {name}@{alias} stays at version {theirs[alias]} there; yours is version {ours}")
        return copied

    def version(self, version: ModelVersion) -> str | None:
        """Copy a version; returns its number there, or None where its run is not there."""
        old = _model(version)
        if version.run_id not in self.runs or not old.startswith("m-"):
            console.say(
                f"warning: {version.name}, version {version.version}, is of no finished run, so it is not copied"
            )
            return None
        run = self.target.get_run(self.runs[version.run_id])
        new = self.model_there(old, run)
        made = self.target.create_model_version(
            version.name,
            f"models:/{new}",
            run.info.run_id,
            version.tags | {MOVED_TAG: old},
            description=version.description,
            model_id=new,
        )
        return str(made.version)

    def model_there(self, old: str, run: Run) -> str:
        """The id of a model of a run there; it is copied where another writer logged the run without it."""
        from mlflow.entities import LoggedModelOutput

        name = self.source.get_logged_model(old).name
        there = [self.target.get_logged_model(made) for made in store.models(run)]
        same = [made for made in there if made.tags.get(MOVED_TAG) == old] or [
            made for made in there if made.name == name
        ]
        if same:
            return str(same[0].model_id)
        new = self.model(old, run.info.run_id, run.info.experiment_id)
        self.target.log_outputs(run.info.run_id, [LoggedModelOutput(new, 0)])
        return new


def _key(run: Run) -> str:
    """What the copy of a run has in common with it: the fingerprint, else the id that it had first."""
    tags = run.data.tags
    return str(tags.get(store.FINGERPRINT_TAG) or tags.get(MOVED_TAG) or run.info.run_id)


def _mark(version: ModelVersion) -> str:
    """The same for a version of a registered model."""
    tags = version.tags
    return str(tags.get(store.FINGERPRINT_TAG) or tags.get(MOVED_TAG) or _model(version))


def _model(version: ModelVersion) -> str:
    """The id of the logged model that a version is."""
    return str(version.model_id or str(version.source).removeprefix("models:/"))


def _is_registered(run: Run) -> bool:
    """Whether `make register` made it, so that a version in the registry may stand on it."""
    return run.data.tags.get("mlflow.source.name") == "register"


if __name__ == "__main__":
    errors.run(main)
