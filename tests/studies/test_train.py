"""Every system of the four studies trains, end to end, on a few pictures and with random weights."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.core import files, params
from stages.train.params import Cell, cell
from stages.train.run import run
from studies import systems

VARIANTS = [
    (folder.name, variant)
    for folder in sorted(systems.HERE.iterdir())
    if (folder / params.FILE).is_file()
    if folder.name.startswith(tuple(name.partition("_")[0] for name in systems.CLASSES))  # not those of a user
    for variant in params.read(folder / params.FILE).variants
    # Those that are run whole, and committed.
    if not (folder / "dvc.lock").is_file()
    if not variant.startswith("B8_") and not (folder.name == "bananas" and variant.endswith("_corrected"))
    # U1 to U18 and ZCA take their steps in test_uecfood256.py.
    if folder.name != "uecfood256" or variant.endswith("_corrected")
]
OTHERS_HAVE_THEM = ("cifar10_gpu", "cifar10_94")  # the systems of cifar10_en and cifar10_fa, and one plain CNN
IMAGES = {"train": 6, "val": 3, "test": 3}


def outputs(study: str) -> int:
    """The classes of the data set that the study's name begins with."""
    return next(count for name, count in systems.CLASSES.items() if name.partition("_")[0] == study.partition("_")[0])


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A dozen noisy pictures as `clean` and `split` leave them, with the classes of the study."""
    monkeypatch.chdir(tmp_path)
    classes = [f"c{i:03}" for i in range(outputs(request.param))]
    random = np.random.default_rng(0)
    rows = []
    Path("data/clean/images").mkdir(parents=True)
    for i, part in enumerate(part for part, count in IMAGES.items() for _ in range(count)):
        rows.append({"image_id": str(i), "path": f"images/{i}.png", "label": classes[i % len(classes)], "split": part})
        Image.fromarray(random.integers(0, 256, (40, 56, 3), dtype=np.uint8)).save(f"data/clean/images/{i}.png")
    for file, columns in (("clean/manifest", ["image_id", "path", "label"]), ("split/seeds/0", ["image_id", "split"])):
        files.write_rows(f"data/{file}.csv", columns, [{key: row[key] for key in columns} for row in rows])
    files.write_json("data/split/classes.json", classes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "variant"),
    [pytest.param(*one, marks=pytest.mark.weekly) if one[0] in OTHERS_HAVE_THEM else one for one in VARIANTS],
    indirect=["data"],
    ids=[f"{study}-{variant}" for study, variant in VARIANTS],
)
@pytest.mark.usefixtures("data")
def test_variant_trains(variant: str, request: pytest.FixtureRequest) -> None:
    study = request.node.callspec.params["data"]
    published = cell(params.read(systems.HERE / study / params.FILE), variant)
    settings = published.model_dump()
    if settings["model"]["name"] == "backbone":
        settings["model"]["weights"] = "none"
    settings["size"] = min(settings["size"], 96)  # VGG16 at 224 px is five times slower; test_parameters builds that
    settings["epochs"] = settings["epochs"] and 1
    for phase in settings["phases"] or []:
        phase["epochs"] = 1
    short = Cell.model_validate(settings)
    run(short, variant, 0)
    logits = np.load(f"runs/{variant}/0/logits.npz")
    assert {name: logits[name].shape for name in logits} == {name: (n, outputs(study)) for name, n in IMAGES.items()}
    assert all(np.isfinite(logits[name]).all() for name in logits)
    assert len(files.read_rows(f"results/{variant}/0/train/history.csv")) == short.total_epochs
