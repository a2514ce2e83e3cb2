"""What is said of a file that a study lacks. The served model has this module, and not the stages of a report."""

from __future__ import annotations

from pathlib import Path

from stages.core.errors import UserError


def again() -> str:
    """The command that makes what a study lacks, as it is typed in the repository's folder."""
    here = Path.cwd()
    return f"`make study STUDY={here.name}`" if here.parent.name == "studies" else "`dvc repro`"


def error(path: Path) -> UserError:
    """Of a file or folder that DVC's cache may hold."""
    return UserError(f"{path} is not here; {again()} makes it, `dvc pull` fetches it")
