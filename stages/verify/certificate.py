"""The certificate: what was checked and what was found, and on which machine; two fresh clones give the same one.

What differs from clone to clone (folder, time) stands apart, under `circumstances`.
"""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jinja2

from stages.core import cells as places
from stages.core import children, files, intact
from stages.core.errors import UserError
from stages.core.markdown import markdown

if TYPE_CHECKING:
    from stages.verify.scratch import Place

Verdict = Literal["equal", "within tolerance", "different", "missing", "not checked"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or that was judged by tolerance."""

    what: str  # a path, a stage or a cell
    verdict: Verdict
    detail: str


@dataclass
class Check:
    """One part of the verification: its promise, how many things it compared, and its findings."""

    name: str
    promise: str
    compared: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether the promise holds for everything that was compared."""
        return all(finding.verdict == "within tolerance" for finding in self.findings)

    @property
    def verdict(self) -> str:
        """A `Verdict` on the whole check."""
        if not self.holds:
            failed = {finding.verdict for finding in self.findings} - {"within tolerance"}
            return "not checked" if failed == {"not checked"} else "different"
        if self.findings:
            return "within tolerance"
        return "equal" if self.compared else "not checked"

    def add(self, what: str, verdict: Verdict, detail: str) -> None:
        """Note one finding."""
        self.findings.append(Finding(what, verdict, detail))

    def as_json(self) -> dict[str, Any]:
        """For the certificate."""
        return {
            "check": self.name,
            "promise": self.promise,
            "verdict": self.verdict,
            "compared": self.compared,
            "findings": [vars(finding) for finding in self.findings],
            "notes": self.notes,
        }


TEMPLATE = Path(__file__).parent / "templates/certificate.md.j2"
JSON, MARKDOWN = "verify/certificate.json", "verify/certificate.md"


def build(place: Place, name: str, checks: list[Check], environment: dict[str, Any]) -> dict[str, Any]:
    """The part of the certificate that is the same in two clones.

    Args:
        place: the study, in the clone that is judged.
        name: of the study.
        checks: what was done.
        environment: `here`, `made_with` (of environment.json), `machines` (types in the cells), `notes`, `unpinned`.
    """
    status = place.git("status", "--porcelain", "--no-renames", "-z").split("\0")
    joined = f"{place.study}/dvc.yaml"  # a link that `make study` makes; it is never committed
    uncommitted = [line[3:] for line in status if line and line[3:] != joined]
    return {
        "study": name,
        "folder": place.study,
        "commit": place.git("rev-parse", "HEAD", check=False).strip() or None,
        "uncommitted": uncommitted,
        "holds": all(check.holds for check in checks),
        "checks": [check.as_json() for check in checks],
        "environment": environment,
    }


def forget(folder: Path) -> None:
    """Remove the certificate of an earlier verification, in case this one does not finish."""
    for name in (JSON, MARKDOWN):
        (folder / name).unlink(missing_ok=True)


def write(folder: Path, certificate: dict[str, Any], circumstances: dict[str, Any]) -> None:
    """Write both files into `folder`."""
    files.write_json(folder / JSON, {"certificate": certificate, "circumstances": circumstances})
    files.write_text(folder / MARKDOWN, text(certificate, circumstances))


def text(certificate: dict[str, Any], circumstances: dict[str, Any]) -> str:
    """The certificate for a reader."""
    verdict = "All checks hold." if certificate["holds"] else "At least one check does not hold."
    if certificate["holds"] and certificate["checks"][-1]["verdict"] == "not checked":
        verdict = "The checks that were made hold; no cell was trained again."
    shown = {"verdict": verdict, "machines": machine_words(certificate["environment"]["machines"])}
    environment = jinja2.Environment(  # noqa: S701 - Markdown, which is escaped by `markdown`
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, finalize=markdown
    )
    environment.filters["words"] = words
    page: str = environment.from_string(TEMPLATE.read_text("utf-8")).render(
        certificate | shown, circumstances=circumstances
    )
    return page


def words(value: object) -> str:
    """A value of the environment for a reader."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {inner}" for key, inner in value.items())
    return str(value or "none")


RECORD = "environment.json"


def this_machine() -> dict[str, Any]:
    """Python, the packages that affect the bits of a result, processor, GPU."""
    import torch

    gpu = torch.cuda.is_available()
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {
            name: importlib.metadata.version(name) for name in ("torch", "torchvision", "timm", "numpy", "dvc")
        },
        "cpu": children.processor(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if gpu else None,
        "driver": _driver() if gpu else None,
        "cuda": torch.version.cuda if gpu else None,
        "cudnn": torch.backends.cudnn.version() if gpu else None,  # type: ignore[no-untyped-call]
    }


def record_environment(place: Place, here: dict[str, Any]) -> None:
    """Record that the study with its present dvc.lock was made on the machine `here`."""
    files.write_json(place.folder / RECORD, {"lock": files.sha256(place.folder / "dvc.lock"), "environment": here})


def recorded_environment(place: Place) -> tuple[dict[str, Any], str | None]:
    """The environment that the study was made with, empty if it was not recorded; and what is wrong with the record."""
    path = place.folder / RECORD
    alone = "only the cells say what the study was made with"
    if not path.exists():
        return {}, f"{RECORD} is missing: {alone}"
    try:
        read = files.read_json(path)
        lock, environment = read["lock"], dict(read["environment"])
    except (UserError, ValueError, TypeError):
        return {}, f"{RECORD} cannot be read: {alone}"
    if lock != files.sha256(place.folder / "dvc.lock"):
        return environment, f"{RECORD} was written for another dvc.lock"
    return environment, None


def unpinned(place: Place) -> list[str]:
    """Packages of requirements.lock that are missing or installed in another version, each in words."""
    from packaging.requirements import InvalidRequirement, Requirement

    path = place.root / "requirements.lock"
    words = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        try:
            pin = Requirement(line.strip("\\ "))  # a hash follows in the next line
        except InvalidRequirement:
            continue
        if pin.marker and not pin.marker.evaluate():
            continue
        try:
            version = importlib.metadata.version(pin.name)
        except importlib.metadata.PackageNotFoundError:
            version = "not installed"
        if version == "not installed" or version not in pin.specifier:
            words.append(f"{pin.name}: pinned {str(pin.specifier).removeprefix('==')}, here {version}")
    return words


def _driver() -> str | None:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.split("\n")[0].strip() or None


def machines(place: Place, cells: list[tuple[str, int]]) -> list[dict[str, str]]:
    """The machine types that the cells recorded in training, each once."""
    found: list[dict[str, str]] = []
    for variant, seed in cells:
        path = place.folder / places.train_folder(variant, seed) / "config.json"
        machine = files.read_json(path, dict[str, Any]).get("machine") if path.exists() else None
        if machine and not (isinstance(machine, dict) and str(machine.get("threads", 1)).isdigit()):
            raise intact.damaged(path, "`machine` says no type of machine")
        if machine and machine not in found:
            found.append(machine)
    return found


def machine_words(machines: list[dict[str, str]]) -> str:
    """Machine types for a reader."""
    return "; ".join(
        ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in machine.items() if value) for machine in machines
    )
