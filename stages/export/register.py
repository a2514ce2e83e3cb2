"""`python -m stages.export.register`: the champion in the MLflow registry, with the alias `champion`.

A command of its own and no flag of the export, since it writes to the user's MLflow store, which may be a server that
others read; the export writes files alone.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from stages.core import console, errors, files, params
from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlflow import MlflowClient

ALIAS, OTHER = "champion", "chosen"  # of the champion on validation; of another variant that was asked for
# What the served model imports of this project: decoding, networks, and the folders that these need.
_CODE = ("core", "clean", "train", "predict", "export")
_PACKAGES = (
    "filelock", "imagehash", "mlflow", "numpy", "opencv-python-headless", "pandas", "pillow", "pillow-heif", "pydantic",
    "ruamel-yaml", "safetensors", "scipy", "timm", "torch", "torchvision", "tqdm", "typing_extensions",
)  # fmt: skip


def main() -> None:
    """Register the champion, or say that it is registered.

    Raises:
        UserError: there is no champion, it has no weights here or was trained on other data, or MLflow does not answer.
    """
    from stages.export import cards, package
    from stages.predict import champion
    from stages.track import store

    arguments = cards.parser("stages.export.register", __doc__).parse_args()
    study = params.read()
    variant, seeds = champion.asked(study, arguments.variant, arguments.seed)
    alias = ALIAS if variant == champion.choose(study).variant else OTHER
    ensemble = package.trained(variant, seeds)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder)
        package.write(whole / ALIAS, study, variant, seeds, ensemble)
        _add_card_and_code(whole, variant, seeds, arguments.licence)
        try:
            with store.experiment(study) as (client, experiment_id):
                number = _registered(client, experiment_id, study.name, whole, tags(variant, seeds, whole))
                client.set_registered_model_alias(study.name, alias, number)
        except store.failures() as error:
            raise UserError(f"MLflow did not take the model: {store.reason(error)}") from None
    console.say(
        f"MLflow has the model {study.name}, version {number}: {variant}, alias {alias}; "
        f"`mlflow models serve -m 'models:/{study.name}@{alias}' --env-manager local` serves it"
    )


def tags(variant: str, seeds: Sequence[int], folder: Path) -> dict[str, str]:
    """The tags of a version: its networks, and fingerprints of data, splits, code and all of its content."""
    from stages.core import cells
    from stages.track.log import MANIFEST
    from stages.track.run import digest
    from stages.track.store import FINGERPRINT_TAG
    from stages.train import checkpoint

    return {
        "variant": variant,
        "seeds": ", ".join(map(str, seeds)),
        "data": files.sha256(MANIFEST),
        "split": _together([files.sha256(cells.split_file(seed)) for seed in seeds]),
        "code": checkpoint.code(),
        FINGERPRINT_TAG: digest(folder, [path for path in folder.rglob("*") if path.is_file()]),
    }


def _together(marks: Sequence[str]) -> str:
    """One fingerprint for all seeds: theirs where they agree, else the SHA-256 of the list."""
    return marks[0] if len(set(marks)) == 1 else hashlib.sha256("\n".join(marks).encode()).hexdigest()


def _add_card_and_code(folder: Path, variant: str, seeds: Sequence[int], licence: str) -> None:
    """Put into the folder that holds `champion` its model card, and `stages`, the code that it imports."""
    from stages.export import model_card
    from stages.report import evidence

    card = model_card.text(evidence.read(), variant, seeds, licence)
    files.write_text(folder / ALIAS / "README.md", card)
    source, copy = Path(__file__).parents[1], folder / "stages"
    copy.mkdir()
    shutil.copyfile(source / "__init__.py", copy / "__init__.py")
    for name in _CODE:
        shutil.copytree(source / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))


def _registered(client: MlflowClient, experiment_id: str, name: str, folder: Path, marks: dict[str, str]) -> str:
    """The number of the version with this content; new content makes a new version."""
    from stages.track.store import FINGERPRINT_TAG

    known = client.search_model_versions(f"name = '{name}'")  # the newest first; a study's name has no quotes
    same = [str(one.version) for one in known if one.tags.get(FINGERPRINT_TAG) == marks[FINGERPRINT_TAG]]
    number = same[0] if same else _logged(client, experiment_id, name, folder, marks)
    if not same:
        card = (folder / ALIAS / "README.md").read_text("utf-8")
        client.update_model_version(name, number, description=card[:5000])  # MLflow's column; the file has all
        for key, value in marks.items():
            client.set_model_version_tag(name, number, key, value)
    return number


def _logged(client: MlflowClient, experiment_id: str, name: str, folder: Path, marks: dict[str, str]) -> str:
    """Log the model in a run of its own; returns its version in the registry."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, Schema

    from stages.export import served
    from stages.track.run import run

    with (
        run(client, experiment_id, ALIAS, marks | {"mlflow.source.name": "register"}) as run_id,
        mlflow.start_run(run_id=run_id),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", UserWarning)  # MLflow advises an input example beside the signature
        made = mlflow.pyfunc.log_model(
            name=ALIAS,
            python_model=served.__file__,
            artifacts={ALIAS: str(folder / ALIAS)},
            code_paths=[str(folder / "stages")],
            signature=ModelSignature(Schema([ColSpec(AnyType(), served.COLUMN)])),  # type: ignore[no-untyped-call]
            pip_requirements=[f"{package}=={version(package)}" for package in _PACKAGES],
            registered_model_name=name,
            metadata=marks,
        )
    return str(made.registered_model_version)


if __name__ == "__main__":
    errors.run(main)
