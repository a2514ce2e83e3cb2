"""The page and its API. Labels and names of files travel as JSON and are shown as text."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import FastAPI, Query
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from stages.core import curation, labels
from stages.core.errors import UserError
from stages.curate.findings import KINDS, MOST, Study
from stages.curate.guard import Guard
from stages.curate.pictures import SIDES, Pictures
from stages.curate.store import ConflictError, Store, doubt, pairs, refuse_to_keep, shown

if TYPE_CHECKING:
    from fastapi import Request

    from stages.clean.params import Clean
    from stages.core.curation import Decision
    from stages.curate.findings import Finding, Picture
    from stages.curate.store import Doubt, Step, Subject

STATIC = Path(__file__).parent / "static"
PAGE = 20  # findings
Text = Annotated[str, Field(max_length=labels.LONGEST)]


class Shown(BaseModel):
    """What the page showed of a picture, or of a pair: the words of `store.shown`."""

    model_config = ConfigDict(extra="forbid", strict=True)
    names: list[str] = Field(min_length=1, max_length=2)
    was: str


class Asked(BaseModel):
    """One step of a person.

    pictures: their numbers. decision: empty to take all decisions on these pictures back. others: of `not_same`, those
    that none of the pictures is the same as; without them, no picture is the same as another. shown: what the page
    showed of all that the step is about; of pictures to take back, also that there was no decision. sure: the person
    was asked whether an odd label is meant.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    pictures: list[int] = Field(min_length=1, max_length=500)
    others: list[int] = Field(default=[], max_length=500)
    decision: Literal["", "drop", "keep", "relabel", "not_same", "together"]
    value: Text = ""
    reason: Text = ""
    shown: list[Shown] = Field(default=[], max_length=2000)
    sure: bool = False


class Looked(BaseModel):
    """Findings that a person has looked at."""

    model_config = ConfigDict(extra="forbid", strict=True)
    ids: list[str] = Field(max_length=1000)


class Filters(BaseModel):
    """Which findings are shown."""

    model_config = ConfigDict(extra="forbid")
    kind: str = ""
    show: Literal["all", "unseen", "decided", "undecided"] = "all"
    label: str = ""
    text: str = ""
    page: int = Field(default=1, ge=1)


class Desk:
    """A study that a person works on: its findings, its pictures, and the decisions so far."""

    def __init__(self, root: Path, clean: Clean, title: str, who: str, least: int = 3) -> None:
        """Lay out the study in the folder `root`; `least`: how many pictures of a label its split needs."""
        self.study, self.pictures, self.store = Study.read(root), Pictures(root, clean), Store(root, who)
        self.title, self.least = title, least

    def view(self, filters: Filters) -> dict[str, Any]:
        """A page of findings and the state of everything around it."""
        decisions, count = self.store.decisions(), Counter(f.kind for f in self.study.findings)
        by_name = _by_name(decisions)
        decided = {f.id for f in self.study.findings if any(p.name in by_name for p in f.pictures)}
        seen = self.store.seen | decided
        chosen = [f for f in self.study.findings if _fits(f, filters, seen, decided)]
        pages = max(1, -(-len(chosen) // PAGE))
        page = min(filters.page, pages)
        given = [d.value for d in decisions.values() if d.decision == "relabel"]
        part = chosen[(page - 1) * PAGE : page * PAGE]
        return {
            "title": self.title,
            "findings": [self._finding(f, by_name, seen=f.id in seen) for f in part],
            "page": page,
            "pages": pages,
            "matching": len(chosen),
            "total": len(self.study.findings),
            "seen": sum(f.id in seen for f in self.study.findings),
            "decisions": len(decisions),
            "kinds": [{"key": key, "title": title, "count": n} for key, title in KINDS.items() if (n := count[key])],
            "labels": sorted({*self.study.labels, *given}),
            "undo": len(self.store.undoable),
            "redo": len(self.store.redoable),
        }

    def _finding(self, one: Finding, by_name: dict[str, list[Decision]], *, seen: bool) -> dict[str, Any]:
        pictures = one.pictures[:MOST]
        return {
            "id": one.id,
            "kind": one.kind,
            "title": KINDS[one.kind],
            "said": one.said,
            "hint": one.hint,
            "seen": seen,
            "more": len(one.pictures) - len(pictures),
            "pictures": [_picture(p, by_name.get(p.name, []), self.study.not_applied) for p in pictures],
        }

    def picture(self, number: int, side: int, mark: str) -> Response:
        """A picture, as PNG or JPEG; its mark is checked, since its number may be that of another study's picture."""
        inside = 0 <= number < len(self.study.pictures) and side in SIDES
        if inside and mark and mark != self.study.pictures[number].mark:
            return JSONResponse({"detail": "another study, or another run of clean, is shown now"}, 404)
        data = self.pictures.drawn(self.study.pictures[number], side) if inside else None
        if data is None:
            return JSONResponse({"detail": "the picture is not here or cannot be read"}, 404)
        kind = "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"
        age = "private, max-age=600" if mark else "no-store"
        return Response(data, media_type=kind, headers={"cache-control": age})

    def decide(self, asked: Asked) -> bool | Doubt:
        """Make a step of decisions; False where there is nothing to change, a doubt where a label is odd.

        Raises:
            UserError: it is none that can be made.
            ConflictError: the page showed other pictures or other decisions.
        """
        pictures, others = self._chosen(asked.pictures), self._chosen(asked.others)
        new: dict[Subject, Decision | None]
        if asked.decision:
            more = {"reason": " ".join(asked.reason.split()), **self.store.stamp()}
            if asked.decision in curation.PAIR:
                made = pairs(asked.decision, pictures, others, more)
            else:
                made = [self._single(asked, picture, more) for picture in pictures]
            new = {one.subject: one for one in made}
        else:
            names = {picture.name for picture in pictures}
            new = dict.fromkeys([(name,) for name in names])
            new |= dict.fromkeys(s for s in self.store.decisions() if names & set(s))
        expected = {tuple(sorted(one.names)): one.was for one in asked.shown}
        if expected and set(expected) != set(new):
            raise ConflictError("the page showed other pictures; it shows the new state")
        if asked.decision == "relabel" and not asked.sure:
            value = labels.tidy(asked.value)
            odd = doubt(value, pictures, self.study.pictures, self.store.decisions(), self.least)
            if odd:
                return odd
        return self.store.decide(new, expected)

    def _single(self, asked: Asked, picture: Picture, more: dict[str, str]) -> Decision:
        value = labels.tidy(asked.value) if asked.decision == "relabel" else ""
        if asked.decision == "relabel" and (fault := labels.fault(value)):
            raise UserError(f"the new label {fault}")
        if asked.decision == "keep":
            refuse_to_keep(picture, self.study)
        left_out = asked.decision != "drop" and picture.status == "quarantined" and picture.file
        if left_out and self.pictures.drawn(picture, SIDES[0]) is None:
            raise UserError(f"no picture can be read from {picture.name}, so it stays left out")
        return curation.Decision(picture.name, picture.sha256, asked.decision, value, **more)

    def _chosen(self, numbers: list[int]) -> list[Picture]:
        if any(not 0 <= number < len(self.study.pictures) for number in numbers):
            raise UserError("there is no such picture in this study")
        pictures = [self.study.pictures[number] for number in dict.fromkeys(numbers)]
        if any(not picture.sha256 for picture in pictures):
            raise UserError("the source brought no file for this row, so there is nothing to decide")
        return pictures


def create(desk: Desk, token: str = "") -> Guard:
    """The application; with a token, only who has it gets in."""
    said: dict[Any, Any] = {UserError: _refused, ConflictError: _refused}
    app = FastAPI(title="Curate", docs_url=None, redoc_url=None, openapi_url=None, exception_handlers=said)

    @app.get("/")
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers={"cache-control": "no-store"})

    @app.get("/static/{name}")
    def static(name: Literal["style.css", "curate.js"]) -> FileResponse:
        return FileResponse(STATIC / name, headers={"cache-control": "no-cache"})

    @app.get("/picture/{number}")
    def picture(number: int, side: int = SIDES[0], mark: str = "") -> Response:
        return desk.picture(number, side, mark)

    @app.get("/api/findings")
    def findings(filters: Annotated[Filters, Query()]) -> dict[str, Any]:
        return desk.view(filters)

    @app.post("/api/decide")
    def decide(asked: Asked) -> dict[str, Any]:
        done = desk.decide(asked)
        return {"done": done} if isinstance(done, bool) else {"done": False, **done._asdict()}

    @app.post("/api/undo")
    def undo() -> dict[str, Any]:
        return _step(desk.store.undo())

    @app.post("/api/redo")
    def redo() -> dict[str, Any]:
        return _step(desk.store.redo())

    @app.post("/api/seen")
    def seen(looked: Looked) -> dict[str, bool]:
        desk.store.look({f.id for f in desk.study.findings} & set(looked.ids))
        return {"done": True}

    return Guard(app, token)


def _step(step: Step | None) -> dict[str, Any]:
    """The step that was undone or redone, in words: it may be one of another tab."""
    return {"done": step is not None, "said": step.said if step else ""}


def _refused(_: Request, error: Exception) -> JSONResponse:
    """The answer to a step that cannot be made: the reason, for the person to put it right."""
    return JSONResponse({"detail": str(error)}, 409 if isinstance(error, ConflictError) else 400)


def _by_name(decisions: dict[Subject, Decision]) -> dict[str, list[Decision]]:
    found: dict[str, list[Decision]] = {}
    for subject, one in decisions.items():
        for name in subject:
            found.setdefault(name, []).append(one)
    return found


def _fits(one: Finding, filters: Filters, seen: set[str], decided: set[str]) -> bool:
    if filters.kind and one.kind != filters.kind:
        return False
    if filters.show != "all" and not {
        "unseen": one.id not in seen, "decided": one.id in decided, "undecided": one.id not in decided,
    }[filters.show]:  # fmt: skip
        return False
    if filters.label and all(p.label != filters.label for p in one.pictures):
        return False
    wanted = filters.text.casefold()
    return not wanted or any(wanted in p.name.casefold() for p in one.pictures)


def _picture(one: Picture, decisions: list[Decision], not_applied: dict[Decision, str]) -> dict[str, Any]:
    told = [
        {
            "subject": d.subject, "shown": shown(d), "decision": d.decision, "reason": d.reason,
            "value": d.value if d.value != one.name else d.path, "not_applied": not_applied.get(d, ""),
        }
        for d in decisions
    ]  # fmt: skip
    keys = ("number", "mark", "name", "label", "status", "reason", "detail", "size")
    return {key: getattr(one, key) for key in keys} | {"decisions": told}
