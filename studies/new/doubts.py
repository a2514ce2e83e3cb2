"""What names make doubtful: labels that may be none, masks among photographs, tables that may be parts."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

from stages.core.folders import part_named
from stages.ingest.entry import named
from stages.ingest.table import part_of_table
from studies.new import names
from studies.new.words import listed

if TYPE_CHECKING:
    from studies.new.layout import Layout
    from studies.new.listing import Listing
    from studies.new.names import Parts

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


def tell(listing: Listing, layout: Layout, parts: Parts | None) -> list[str]:
    """A sentence for each doubt."""
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
