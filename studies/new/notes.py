"""What a user should know about a folder before anything runs, a sentence each."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

from stages.core.folders import part_named
from stages.core.labels import alike
from stages.ingest.entry import named
from stages.ingest.table import part_of_table
from studies.new import names
from studies.new.words import listed, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from studies.new.layout import Layout
    from studies.new.listing import Listing
    from studies.new.names import Parts
    from studies.new.pictures import Looked
    from studies.new.tables import Table

MOST = 0.95  # share of the pictures in one class, above which the rest is hardly a class
_PART_WORD = re.compile(r"train(ing)?|val(id(ation)?)?|test(ing)?|eval|pred|holdout|unlabell?ed")
_LEFT_OVER = re.compile(
    r"unlabell?ed|unknown|unsorted|uncategori[sz]ed|unclassified|undefined|others?|misc(ellaneous)?|rest|rejected|trash|"
    r"todo|tmp|temp|new folder|neuer ordner|nouveau dossier|background( google)?|none", re.I)  # fmt: skip
# Parts of a data set in other languages, without accents.
_PARTS = re.compile(
    r"(training|test|lern|validierung|validation|pruf)s?(daten|satz|datensatz|menge|bilder)|validierung|"
    r"entrainement|apprentissage|essais?|entrenamiento|pruebas?|validacion|treino|treinamento|testes?|validacao|"
    r"addestramento|prova|validazione|训练[集组]?|測試集?|测试[集组]?|验证[集组]?|訓練用?(テータ)?|検証用?(テータ)?|обучение|"
    r"обучающ.*|тест.*|валидац.*", re.I)  # fmt: skip
_MASK = re.compile(
    r"(?P<of>.*?)[ _-]?(tri)?(mask|segmentation|seg|gt|ground_?truth|label|depth|annotation)s?(\.\w+)?", re.I
)


def of_tables(found: Sequence[Table], unread: Sequence[str], layout: Layout) -> list[str]:
    """What the user should know about tables: rows and tables that are not used."""
    said = [f"{why}. The table is not used." for why in unread]
    used = layout.table
    if used and used.missing:
        what = number(len(used.missing), "file that is", "files that are")
        said.append(
            f"{used.file!r} names {what} not there, for example {used.missing[0]!r}: add the files, or delete their "
            "rows. The study lists such rows and leaves them out."
        )
    if layout.torn:
        said.append(
            f"{number(len(layout.torn), 'picture has', 'pictures have')} several labels in the table, for example "
            f"{min(layout.torn)!r}, and will be left out; correct the table if you can."
        )
    if used and layout.rule == "table" and used.others and not used.sure:
        said.append(
            f"The label could also be the column {' or '.join(map(repr, [*used.others][:5]))} of {used.file!r}: "
            "`--label-column` chooses it."
        )
    for table in found:
        column = table.group or table.part
        if not used and column and (table.groups or table.parts):
            rows = len(table.groups or table.parts)
            said.append(
                f"The column {column!r} of {table.file!r} is not used, since it has rows for {rows:,} of "
                f"{len(layout.labels):,} pictures only. Complete the table to use it."
            )
        if layout.rule != "table":
            continue
        more = sum(bool(label) and not layout.labels[path] for path, label in table.labels.items())
        if table is not used and more and table.classes > 1:
            said.append(
                f"{table.file!r} has labels too, of {number(more, 'further picture', 'further pictures')}, but a study "
                "reads one table. Put the rows of both into one table to use them."
            )
    return said


def of_data(listing: Listing, layout: Layout, looked: Looked, parts: Parts | None) -> list[str]:
    """What the user should know about the data before anything runs."""
    found = []
    counts, total = layout.counts, sum(layout.counts.values())
    label, most = next(iter(counts.items()))
    if most >= MOST * total:
        found.append(
            f"{label!r} has {100 * most / total:.0f} % of the pictures: a network that always answers {label!r} "
            "is right that often. Add pictures of the other classes if you can."
        )
    unlabelled = sum(not label for path, label in layout.labels.items() if path not in layout.torn)
    if unlabelled:
        example = next(path for path, label in layout.labels.items() if not label and path not in layout.torn)
        found.append(
            f"{number(unlabelled, 'picture has', 'pictures have')} no label and will be left out, for example "
            f"{example!r}."
        )
    found += [
        f"The labels {listed(same)} look the same, but are separate classes: rename their folders or rows."
        for same in alike(set(counts))
    ]
    if like := [label for label in counts if _like_a_part(label)]:
        found.append(
            f"{listed(like)} {'is' if len(like) == 1 else 'are'} named like parts of a data set (training, test), but "
            "will be classes; if they are none, move their folders elsewhere, or rename them to train and test."
        )
    found += of_names(listing, layout, parts)
    if looked.broken:
        found.append(
            f"{number(len(looked.broken), 'file', 'files')} cannot be opened and will be left out, for example "
            f"{looked.broken[0]!r}."
        )
    if listing.links:
        found.append(
            f"{number(len(listing.links), 'link leads', 'links lead')} to a folder, nowhere, or out of the folder, "
            f"for example {listing.links[0]!r}. Such links are not followed."
        )
    if listing.closed:
        found.append(f"{listed(listing.closed)} cannot be read by this user, so the study will lack their pictures.")
    found += _conflicts(layout, looked)
    if parts:
        found += _leaks(parts, looked)
    return found


def of_names(listing: Listing, layout: Layout, parts: Parts | None) -> list[str]:
    """What names make doubtful: labels that may be none, masks among photographs, folders and tables of parts."""
    found, counts = [], layout.counts
    folders = {folder for path in layout.labels for folder in path.split("/")[:-1]}
    if not parts and len(foreign := sorted(filter(_is_part, folders))) > 1:
        found.append(
            f"The folders {listed(foreign)} may be parts of a data set. A new split is drawn; to keep the parts, name "
            "the folders train, val and test."
        )
    if folds := names.folds([path for path, label in layout.labels.items() if label]):
        found.append(
            f"The folders {listed(folds[1])} are folds of a cross-validation, as their names say. They are not used, "
            f"since a new split is drawn; `--group '{folds[0]}'` keeps each fold in one part of it."
        )
    if left := [label for label in counts if _LEFT_OVER.fullmatch(re.sub(r"[\W_]+", " ", label).strip())]:
        found.append(
            f"{listed(left)}: such names stand for what is left over, but will be classes like the others. If they "
            "are none, move their pictures elsewhere."
        )
    several = [one for one in counts if any(part.strip() in counts for part in re.split(r"[|;,]", one) if part != one)]
    if layout.rule == "table" and several:
        found.append(
            f"Several classes stand in {len(several):,} of the labels, for example {several[0]!r}. A picture has one "
            "label here, so each combination will be a class of its own; leave one name in each row."
        )
    if masks := _masks(layout):
        found.append(
            f"Masks, as their names say, are {len(masks):,} of the pictures, for example {masks[0]!r}. They would be "
            "classified like photographs: move them out of the folder."
        )
    if layout.table and layout.table.unread and not parts:
        found.append(
            f"The column {layout.table.unread!r} of {layout.table.file} may say to which part a picture belongs. It is "
            "not read, and a new split is drawn: to keep the parts, add a column that says train, val or test."
        )
    lists = named(listing.tables, layout.table.file) if layout.table and not parts else ()
    if len(lists) > 1 and all(map(part_of_table, lists)):
        found.append(
            f"The tables {listed(sorted(lists))} are named like parts, but a new split is drawn: to keep the parts, "
            "make one table of them with a column that says train, val or test."
        )
    return found


def _like_a_part(label: str) -> bool:
    """trainA, seg_pred, test_old; a bare `train` beside `car` is a vehicle."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z0-9])|[^A-Za-z]+", " ", label).lower().split()
    return len(spaced) + len(re.findall(r"\d", label)) > 1 and any(map(_PART_WORD.fullmatch, spaced))


def _is_part(folder: str) -> bool:
    plain = "".join(char for char in unicodedata.normalize("NFKD", folder) if not unicodedata.combining(char))
    return bool(part_named(folder) or _PARTS.fullmatch(plain.strip(" _-0123456789")))


def _masks(layout: Layout) -> list[str]:
    """Pictures that are named as masks of others: 1_mask.png beside 1.png, masks/1.png beside images/1.png."""
    bare = {path.rpartition(".")[0] for path in layout.labels}
    called = Counter(path.rpartition("/")[2] for path in bare)
    found = []
    for path, label in layout.labels.items():
        *folders, name = path.rpartition(".")[0].split("/")
        own = _MASK.fullmatch(name)
        beside = own and own["of"] and "/".join([*folders, own["of"]]) in bare
        apart = any((hit := _MASK.fullmatch(folder)) and not hit["of"] for folder in folders) and called[name] > 1
        if label and (beside or (apart and not _MASK.fullmatch(label))):
            found.append(path)
    return sorted(found)


def _conflicts(layout: Layout, looked: Looked) -> list[str]:
    """One picture under two labels."""
    groups = [[path for path in group if layout.labels.get(path)] for group in looked.alike]
    torn = [group for group in groups if len({layout.labels[path] for path in group}) > 1]
    if not torn:
        return []
    one, *rest = torn[0]
    other = next(path for path in rest if layout.labels[path] != layout.labels[one])
    they = "It" if len(torn) == 1 else "They"
    said = (
        f"{number(len(torn), 'picture stands', 'pictures stand')} under several labels, for example {one!r} and "
        f"{other!r}. {they} will be left out under each label (`clean.label_conflicts`); correct the labels if you can."
    )
    return [said]


def _leaks(parts: Parts, looked: Looked) -> list[str]:
    leaks = parts.leaks(looked.alike)
    if not leaks:
        return []
    said = " and ".join(f"{count} of the {part} pictures" for part, count in sorted(leaks.items()))
    return [f"{said} have a copy in the training part: a leak. The study leaves such copies out of training."]
