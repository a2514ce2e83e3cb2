"""What makes the files that a study lacks."""

from __future__ import annotations

from pathlib import Path


def again() -> str:
    """The command that makes what a study lacks, as it is typed in the repository's folder."""
    here = Path.cwd()
    return f"`make study STUDY={here.name}`" if here.parent.name == "studies" else "`dvc repro`"
