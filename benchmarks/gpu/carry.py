"""What travels to a machine with a GPU and back: a study's pictures there, its cells' files here."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import shutil
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.core import cells, console, files
from stages.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

    Cell = tuple[str, int]

DATA = ("data/clean/manifest.csv", "data/clean/images", "data/split/seeds", "data/split/classes.json")
LARGEST = 2 << 20  # bytes of weights that still travel; larger ones are told by their hash
PART, TOTAL = 15 << 20, 60 << 20  # bytes of one file of results, and of all


def pack(study: Path, target: Path) -> None:
    """Write the pictures and splits that train and evaluate read into one archive.

    JPEG files of one source begin alike, so that an archive of small ones takes a third of them.
    """
    for name in DATA:
        if not (study / name).exists():
            raise UserError(f"{study / name} is not here; `dvc repro {study}/dvc.yaml:split` makes it")
    with files.atomic(target) as partial:
        _archive(partial, [(study / name, name) for name in DATA])
    console.say(f"{target}: {target.stat().st_size / 2**20:.1f} MiB")


def unpack(archive: Path, study: Path) -> None:
    """Lay the pictures and splits out in the folder of a study, unless they are there."""
    if not archive.exists():
        raise UserError(f"{archive} is not here; `python -m benchmarks.gpu pack STUDY` makes it")
    if not all((study / name).exists() for name in DATA):
        with tarfile.open(archive) as tar:
            tar.extractall(study, filter="data")


def outputs(study: Path, cell: Cell) -> list[Path]:
    """Every file that a cell leaves, relative to the study."""
    variant, seed = cell
    folders = [cells.run_folder(variant, seed), cells.RESULTS / variant / str(seed)]
    found = [p.relative_to(study) for folder in folders for p in sorted((study / folder).rglob("*")) if p.is_file()]
    timing = cells.timing_file(variant, seed)
    return found + [p for p in (timing, timing.with_suffix(".inference.json")) if (study / p).exists()]


def is_done(study: Path, cell: Cell) -> bool:
    """Whether the cell is trained and evaluated."""
    return (study / cells.evaluate_folder(*cell) / "metrics.csv").exists()


def deliver(study: Path, done: Iterable[Cell], out: Path) -> None:
    """Write the cells' files into `out`, as few archives; `<study>.json` tells size and MD5 of all, sent or not."""
    out.mkdir(parents=True, exist_ok=True)
    listed: dict[str, Any] = {}
    part: tarfile.TarFile | None = None
    number = size = total = 0
    for cell in done:
        name = f"{cell[0]}-{cell[1]}"
        paths = outputs(study, cell)
        sent = [p for p in paths if p.suffix != ".safetensors" or (study / p).stat().st_size <= LARGEST]
        blob = io.BytesIO()
        _archive(blob, [(study / p, str(p)) for p in sent])
        fits = total + blob.tell() <= TOTAL
        listed[name] = {
            str(p): {"size": (study / p).stat().st_size, "md5": _md5(study / p), "sent": fits and p in sent}
            for p in paths
        }
        if not fits:
            console.say(f"{name}: no room is left for its files; only their sizes and hashes are sent")
            continue
        if part is None or size + blob.tell() > PART:
            if part is not None:
                part.close()
            part, number, size = tarfile.open(out / f"{study.name}.{number}.tar", "w"), number + 1, 0  # noqa: SIM115
        info = tarfile.TarInfo(f"{name}.tar.gz")
        info.size = blob.tell()
        blob.seek(0)
        part.addfile(info, blob)
        size, total = size + info.size, total + info.size
    if part is not None:
        part.close()
    files.write_json(out / f"{study.name}.json", listed)


def bring(folder: Path, studies: Path) -> list[str]:
    """Put what `deliver` wrote into the folders of its studies; the names of the cells."""
    brought = []
    for path in sorted(folder.glob("*.tar")):
        study = studies / path.name.split(".", maxsplit=1)[0]
        if not (study / "params.yaml").exists():
            raise UserError(f"{path}: there is no study {study}")
        with tarfile.open(path) as outer:
            for member in outer:
                inner = outer.extractfile(member)
                assert inner is not None  # noqa: S101 - deliver writes files alone
                name = member.name.removesuffix(".tar.gz")
                variant, _, seed = name.rpartition("-")
                shutil.rmtree(study / cells.RESULTS / variant / seed, ignore_errors=True)
                with tarfile.open(fileobj=inner, mode="r:gz") as tar:
                    tar.extractall(study, filter="data")
                brought.append(f"{study.name} {name}")
        listed = files.read_json(folder / f"{study.name}.json")
        for cell in listed.values():
            wrong = [n for n, file in cell.items() if file["sent"] and _md5(study / n) != file["md5"]]
            if wrong:
                raise UserError(f"{study / wrong[0]} is not the file that was sent; fetch the results again")
    return brought


def _archive(target: Path | io.BytesIO, sources: Iterable[tuple[Path, str]]) -> None:
    """The same bytes for the same files, whenever they were made."""

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.mtime, info.uid, info.gid, info.uname, info.gname = 0, 0, 0, "", ""
        return info

    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(target.open("wb")) if isinstance(target, Path) else target
        packed = stack.enter_context(gzip.GzipFile(filename="", mode="wb", mtime=0, compresslevel=6, fileobj=raw))
        tar = stack.enter_context(tarfile.open(fileobj=packed, mode="w"))
        for source, name in sources:
            tar.add(source, name, filter=plain)


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
