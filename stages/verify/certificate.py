"""The certificate: what was checked, what was found, and where. Two fresh clones of a commit give the same one.

What differs from clone to clone (folder, time) stands apart, under `circumstances`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stages.core import files
from stages.verify import tolerance

if TYPE_CHECKING:
    from pathlib import Path

    from stages.verify.result import Check
    from stages.verify.scratch import Place

JSON, MARKDOWN = "verify/certificate.json", "verify/certificate.md"


def build(place: Place, name: str, checks: list[Check], environment: dict[str, Any]) -> dict[str, Any]:
    """The part that two clones share.

    Args:
        place: the study, in the clone that is judged.
        name: of the study.
        checks: what was done.
        environment: `here`, `made_with` (of environment.json), `machines` (types in the cells), `notes`, `unpinned`.
    """
    status = place.git("status", "--porcelain", "--no-renames", "-z").split("\0")
    joined = f"{place.study}/dvc.yaml"  # the link that makes a published study's folder a study, never committed
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
    """Remove an earlier certificate: if this verification does not come to its end, none must be taken for its own."""
    for name in (JSON, MARKDOWN):
        (folder / name).unlink(missing_ok=True)


def write(folder: Path, certificate: dict[str, Any], circumstances: dict[str, Any]) -> None:
    """Write both files into `folder`."""
    files.write_json(folder / JSON, {"certificate": certificate, "circumstances": circumstances})
    files.write_text(folder / MARKDOWN, text(certificate, circumstances))


def text(certificate: dict[str, Any], circumstances: dict[str, Any]) -> str:
    """The certificate for a reader."""
    state = f", with uncommitted changes: {', '.join(certificate['uncommitted'])}" if certificate["uncommitted"] else ""
    verdict = "What was promised holds." if certificate["holds"] else "Something does not hold."
    if certificate["holds"] and certificate["checks"][-1]["verdict"] == "not checked":
        verdict = "What was checked holds; nothing was trained again."
    lines = [
        f"# Verification of the study `{certificate['study']}`",
        "",
        f"**{verdict}**",
        "",
        f"Commit {certificate['commit'] or 'none yet'}{state}.",
        "",
    ]
    for check in certificate["checks"]:
        lines += [
            f"## {check['check'].capitalize()}: {check['verdict']}",
            "",
            f"{check['promise'][0].upper()}{check['promise'][1:]}.",
            "",
        ]
        lines += [f"{check['compared']} compared, {len(check['findings'])} findings."]
        lines += [f"Note: {note}." for note in check["notes"]]
        lines += [""] + [f"- {f['verdict']}: `{f['what']}`: {f['detail']}" for f in check["findings"]]
        lines += [""] if check["findings"] else []
    lines += [
        "## Environment",
        "",
        "| | here | made with |",
        "|---|---|---|",
        *_environment(certificate["environment"]),
        "",
    ]
    unpinned = certificate["environment"]["unpinned"]
    machines = certificate["environment"]["machines"]
    lines += ["Machine types, as the cells recorded them: " + (tolerance.words(machines) or "none") + ".", ""]
    lines += [f"Note: {note}.\n" for note in certificate["environment"]["notes"]]
    lines += [f"Packages unlike requirements.lock: {'; '.join(unpinned) if unpinned else 'none'}.", ""]
    lines += ["## Circumstances", "", *(f"- {key}: {value}" for key, value in circumstances.items()), ""]
    return "\n".join(lines)


def _environment(environment: dict[str, Any]) -> list[str]:
    here, then = environment["here"], environment["made_with"]

    def words(value: Any) -> str:
        return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value or "none")

    return [
        f"| {name.replace('_', ' ')} | {words(value)} | {words(then[name]) if name in then else 'not recorded'} |"
        for name, value in here.items()
    ]
