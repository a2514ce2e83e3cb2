"""What cleaning costs and finds, beside the tools that people use; all in one run, in CPU seconds of one core.

    OMP_NUM_THREADS=1 python -m benchmarks.clean exactness --folder PHOTOGRAPHS
    OMP_NUM_THREADS=1 python -m benchmarks.clean hashing --folder PHOTOGRAPHS [--peers PYTHON]
    OMP_NUM_THREADS=1 python -m benchmarks.clean search
    OMP_NUM_THREADS=1 python -m benchmarks.clean stage --folder LABEL_FOLDERS [--peers PYTHON]
    python -m benchmarks.clean leak --folder LABEL_FOLDERS --reference benchmarks/bananas-photographs.csv

`--peers` is the Python of an environment of its own with imagededup==0.3.3.post2 and cleanvision==0.3.7; without it,
or where a peer does not start, its rows are left out and that is said. Ratios within one run count, not the seconds.

`stage` makes ten thousand files. An ext4 without a journal passes, one by one, over the inodes that were freed in the
last five minutes, which can cost more than all the rest: wait after the run before, or keep the disk out of it with
TMPDIR=/dev/shm.
"""

from __future__ import annotations

import argparse
import collections
import io
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imagehash
import numpy as np
from PIL import Image
from stages.clean.fingerprint import Job
from stages.clean.thumbs import Reader

from stages.clean import decode, fast, fingerprint, hashes, jpeg, search
from stages.clean.cache import Cache
from stages.clean.params import Clean
from stages.clean.run import run
from stages.core import files
from stages.split import assign
from stages.split.params import Split

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

OURS = "evenhand, 16 hashes, vectors, sha256"
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16")
_DEDUP = "from imagededup.methods import PHash; PHash(verbose=False)"
_VISION = "from cleanvision import Imagelab; lab = Imagelab(data_path=A, verbose=False)"
PEERS = {
    "imagededup encode": f"{_DEDUP}.encode_images(image_dir=A, num_enc_workers=0, recursive=True)",
    "imagededup": f"{_DEDUP}.find_duplicates(image_dir=A, num_enc_workers=0, num_dist_workers=0, recursive=True)",
    "cleanvision": f"{_VISION}; kinds = dict.fromkeys(['exact_duplicates', 'near_duplicates'], dict()); "
    "lab.find_issues(kinds, n_jobs=1, verbose=False)",
}


def main() -> None:
    """Run one benchmark and print its rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["exactness", "hashing", "search", "stage", "leak"])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--reference", type=Path, help="CSV of photograph, sha256: files that show one photograph")
    parser.add_argument("--count", type=int, default=10_000, help="random pictures, or files of the folder")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core, for what is started from here too
    if arguments.what != "search" and arguments.folder is None:
        parser.error(f"{arguments.what} needs --folder")
    if arguments.what == "leak" and arguments.reference is None:
        parser.error("leak needs --reference")
    chosen = {"exactness": exactness, "hashing": hashing, "search": searching, "stage": stage, "leak": leak}
    chosen[arguments.what](arguments)


def exactness(arguments: argparse.Namespace) -> None:
    """Hash bits that differ from imagehash's."""
    rng = np.random.default_rng(0)
    bits = files_read = 0
    for path in _files(arguments.folder):
        try:
            picture = decode.decode(path.read_bytes(), Clean())
        except decode.Refused:
            continue
        files_read += 1
        bits += _differing(picture.image)
    print(f"{files_read} files of the folder: {bits} bits differ")
    bits = 0
    for _ in range(arguments.count):
        width, height = (int(2**v) for v in rng.uniform(2, 8.5, 2))
        noise = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        mode = MODES[rng.integers(len(MODES))]
        image = (
            Image.fromarray(np.asarray(noise.convert("L")).astype(np.uint16) * 257)
            if mode == "I;16"
            else noise.convert(mode)
        )
        buffer = io.BytesIO()
        image.save(buffer, "TIFF")
        bits += _differing(decode.decode(buffer.getvalue(), Clean()).image)
    print(f"{arguments.count} random pictures of {len(MODES)} modes: {bits} bits differ")


def _differing(image: Image.Image) -> int:
    """Bits between imagehash's pHash and ours, by Pillow and by the compiled path, of whole and centre square."""
    words = [hashes.transform(t)[1][:, 0] for t in (hashes.thumbnails(image), fast.thumbnails(np.asarray(image)))]
    reference = np.array([int(str(imagehash.phash(i)), 16) for i in (image, hashes.centre_square(image))], np.uint64)
    return sum(int(np.bitwise_count(w[k] ^ reference[k]).sum()) for w in words for k in (0, -1))


def hashing(arguments: argparse.Namespace) -> None:
    """Images a second on JPEGs of 300 to 1000 px; the best of five turns, in which the rows take turns."""
    data = []
    for path in _files(arguments.folder)[: arguments.count]:
        content = path.read_bytes()
        try:
            header = decode.open_header(content)
        except decode.Refused:
            continue
        if header.format == "JPEG" and header.mode == "RGB" and 300 <= max(header.size) <= 1000:
            data.append(content)
    data *= -(-600 // len(data))  # a folder of some size: the fast path is loaded after the first megabytes
    fast.thumbnails(np.zeros((40, 50, 3), np.uint8))  # compile
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for k, content in enumerate(data):
            (folder / f"{k}.jpg").write_bytes(content)
        jobs = [Job(str(path)) for path in _files(folder)]
        clean = Clean(workers=1)
        rows = _best({
            "decode only (OpenCV)": lambda: collections.deque((jpeg.pixels(d, clean) for d in data), maxlen=0),
            "imagehash loop, 1 hash": lambda: [_phash(job.file) for job in jobs],
            OURS: lambda: fingerprint.fingerprints(jobs, clean, Cache(None), Reader(clean)),
        })  # fmt: skip
        for peer in ("imagededup encode", "cleanvision"):
            if (seconds := _peer(arguments.peers, peer, folder)) is not None:
                rows[f"{peer}, whole process"] = seconds
    ours = rows[OURS]
    print(f"{len(data)} photographs")
    for name, seconds in rows.items():
        print(f"{name:40s} {len(data) / seconds:8.0f} images/s   evenhand {seconds / ours:5.2f} x")


def _phash(file: str) -> imagehash.ImageHash:
    """As people write it."""
    with Image.open(file) as image:
        return imagehash.phash(image)


def searching(_arguments: argparse.Namespace) -> None:
    """All pairs within r bits, with pairs planted to be found."""
    rng = np.random.default_rng(0)
    search.pairs_between(np.zeros(2, np.uint64), np.zeros(2, np.uint64), 2, compiled=True)  # compile
    took: dict[tuple[int, int], float] = {}
    for radius in (4, 8):
        for count in (100_000, 1_000_000):
            words = rng.integers(0, 2**64, count, dtype=np.uint64)
            planted = rng.permutation(count)[:2000].reshape(2, 1000)
            words[planted[1]] = words[planted[0]]
            for bit in rng.permuted(np.tile(np.arange(64, dtype=np.uint64), (1000, 1)), axis=1)[:, :radius].T:
                words[planted[1]] ^= np.uint64(1) << bit
            start = time.process_time()
            a, b, _ = search.pairs_between(words, words, radius, later=True, compiled=True)
            took[radius, count] = time.process_time() - start
            found = set(zip(a.tolist(), b.tolist(), strict=True))
            recall = np.mean([tuple(sorted(pair)) in found for pair in planted.T.tolist()])
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            found_part = f"{recall:.3f} of 1000 planted pairs, process {peak:.2f} GB at its peak"
            print(f"{count:9d} hashes, r = {radius}: {took[radius, count]:6.2f} s, {found_part}")
        print(f"exponent of growth at r = {radius}: {np.log10(took[radius, 1_000_000] / took[radius, 100_000]):.2f}")


def stage(arguments: argparse.Namespace) -> None:
    """The stage as a process on a tree of label folders, three times, and the peers on the same tree."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        chosen = _files(arguments.folder)[: arguments.count]
        code = Path(__file__).resolve().parent.parent
        (root / "params.yaml").write_bytes((code / "params.yaml").read_bytes())
        _raw(chosen[:-1], arguments.folder, root)
        for turn in ("first run", "nothing new", "one more file"):
            if turn == "one more file":
                _raw(chosen, arguments.folder, root)
            seconds = _process([sys.executable, "-m", "stages.clean"], root, {"PYTHONPATH": str(code)})
            print(f"evenhand, {turn:20s} {seconds or 0:8.2f} CPU s", flush=True)
        audit = files.read_json(root / "data/clean/audit.json")
        print({key: audit[key] for key in ("files", "kept", "duplicate", "quarantined", "groups", "pairs")})
        for peer in ("imagededup", "cleanvision"):
            seconds = _peer(arguments.peers, peer, root / "data/raw/files")
            if seconds is not None:
                print(f"{peer:30s} {seconds:8.1f} CPU s", flush=True)


def leak(arguments: argparse.Namespace) -> None:
    """Test images whose photograph stands in training or validation too, by hand-judged pairs, over 20 splits."""
    photograph = {row["sha256"]: row["photograph"] for row in files.read_rows(arguments.reference)}
    settings = {"as it is": Clean(duplicates="ignore"), "cleaned": Clean(duplicates="drop")}
    for name, clean in settings.items():
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            _raw(_files(arguments.folder), arguments.folder, root)
            done = run(clean, root / "data/raw", root / "data/clean", root / "reports/clean", None)
        kept = [e for e in done.entries if e.status == "kept"]
        shown = [photograph.get(e.print.sha256[:16], e.print.sha256) for e in kept]
        shares = []
        for seed in range(20):
            split = Split.model_validate({"seed": seed, "val": 0.2, "test": 0.2})
            parts = assign([e.label for e in kept], [e.group_id for e in kept], split)
            known = {p for p, part in zip(shown, parts, strict=True) if part != "test"}
            test = [p for p, part in zip(shown, parts, strict=True) if part == "test"]
            shares.append(sum(p in known for p in test) / len(test))
        print(f"{name}: {np.mean(shares):.1%} of the test images leak ({min(shares):.1%} to {max(shares):.1%})")
        print(f"   images of each class: {dict(sorted(Counter(e.label for e in kept).items()))}")
        groups = [len(g) for g in done.groups]
        print(
            f"   {len(groups)} groups of copies or similar pictures, of {sum(groups)} files; the largest {max(groups)}"
        )


def _raw(chosen: Sequence[Path], folder: Path, root: Path) -> None:
    """Files of label folders as ingest would leave them."""
    rows = []
    for path in chosen:
        relative = path.relative_to(folder)
        target = root / "data/raw/files" / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
        row = {"path": str(relative), "file": f"files/{relative}", "label": path.parent.name, "source": "folder"}
        rows.append(row | dict.fromkeys(("group", "box", "problem"), ""))
    files.write_rows(root / "data/raw/manifest.csv", list(rows[0]), rows)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _best(rows: dict[str, Callable[[], object]], times: int = 5) -> dict[str, float]:
    """CPU seconds of each row; they take turns, so that a change of the machine's speed meets all of them."""
    found = dict.fromkeys(rows, math.inf)
    for _ in range(times):
        for name, work in rows.items():
            start = time.process_time()
            work()
            found[name] = min(found[name], time.process_time() - start)
    return found


def _peer(python: Path | None, name: str, folder: Path) -> float | None:
    if python is None:
        print(f"{name}: no --peers, left out")
        return None
    seconds = _process([str(python), "-c", f"A = {str(folder)!r}; {PEERS[name]}"], folder, {})
    if seconds is None:
        print(f"{name}: does not run there, left out")
    return seconds


def _process(command: Sequence[str], folder: Path, more: dict[str, Any]) -> float | None:
    """CPU seconds of a process and its children; None where it fails."""
    before = os.times()
    done = subprocess.run(command, cwd=folder, env=os.environ | more, capture_output=True, text=True, check=False)
    after = os.times()
    if done.returncode:
        print(done.stderr[-300:])
        return None
    return after.children_user + after.children_system - before.children_user - before.children_system


if __name__ == "__main__":
    main()
