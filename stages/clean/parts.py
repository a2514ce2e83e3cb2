"""Pictures that share a part: which are compared by local features, what is remembered, what it makes of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from stages.clean import local, verify
from stages.clean.cache import Cache, key
from stages.clean.fingerprint import identity, workers
from stages.clean.groups import Groups
from stages.clean.match import PART, Pair
from stages.core.console import progress, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from tqdm import tqdm

    from stages.clean.fingerprint import Fingerprint
    from stages.clean.match import Looker
    from stages.clean.params import Clean, LocalFeatures

_VERSION = 2  # raise it when the features, or the evidence on the same pictures, change
_CHUNK = 16


def add(
    found: Sequence[Pair],
    use: Sequence[int],
    prints: Sequence[Fingerprint],
    look: Looker,
    clean: Clean,
    cache: Cache,
) -> tuple[list[Pair], int]:
    """Add the pairs that share a part to those that `match.pairs` found.

    A part is no proof that one picture is a copy of the other: these pairs are similar, never the same. Of pictures
    that are the same only the best is looked at.

    Returns:
        All pairs, sorted, and the number of pictures whose local features were compared.
    """
    settings = clean.match.local
    if settings is None:
        return list(found), 0
    chosen = _chosen(found, use, prints, settings)
    if len(chosen) < 2:
        return list(found), 0
    if local.cv2 is None:
        say("clean: OpenCV is missing, so zoomed crops and montages are not looked for")
        return list(found), 0
    if len(chosen) > settings.up_to:
        said = f"{len(chosen)} pictures, more than clean.match.local.up_to = {settings.up_to}"
        say(f"clean: {said}: zoomed crops and montages are not looked for")
        return list(found), 0
    pairs = {(p.a, p.b): p for p in found}
    for a, b, orientation, values in _shared(chosen, prints, look, clean, settings, cache):
        pair = _pair(a, b, orientation, prints, verify.Evidence(*values), settings)
        known = pairs.get((a, b))
        if known is None or (known.verdict == "different" and pair.verdict == "similar"):
            pairs[a, b] = pair
    return [pairs[place] for place in sorted(pairs)], len(chosen)


def _chosen(
    found: Sequence[Pair], use: Sequence[int], prints: Sequence[Fingerprint], settings: LocalFeatures
) -> list[int]:
    """Pictures large enough to have features; of those that are the same the best, as `decide` keeps it."""
    copies = Groups(len(prints))
    for pair in found:
        if pair.verdict == "same":
            copies.union(pair.a, pair.b)
    large = (k for k in use if min(prints[k].width, prints[k].height) >= settings.min_side)
    best: dict[int, int] = {}
    for k in sorted(large, key=lambda k: (-prints[k].width * prints[k].height, -prints[k].size, k)):
        best.setdefault(copies.find(k), k)
    return sorted(best.values())


def _pair(
    a: int, b: int, orientation: int, prints: Sequence[Fingerprint], evidence: verify.Evidence, settings: LocalFeatures
) -> Pair:
    words = [np.frombuffer(bytes.fromhex(prints[k].words), "<u8") for k in (a, b)]
    distance = int(np.bitwise_count(words[0][orientation] ^ words[1][0]))
    alike = evidence.detail >= settings.detail and evidence.colour >= settings.colour
    verdict = "similar" if alike and evidence.overlap >= settings.area else "different"
    return Pair(a, b, distance, orientation, PART, PART, evidence, verdict)  # type: ignore[arg-type]


def _shared(
    chosen: Sequence[int],
    prints: Sequence[Fingerprint],
    look: Looker,
    clean: Clean,
    settings: LocalFeatures,
    cache: Cache,
) -> list[tuple[int, int, int, list[float]]]:
    """Pairs with enough matches: positions, orientation of the first, evidence."""
    names = [identity(look.jobs[k], prints[k].sha256, clean) for k in chosen]
    method = _VERSION, local.METHOD, settings.features, settings.side
    voted = verify.METHOD, settings.ratio, settings.inliers, clean.match.max_group
    whole = key("parts", method, voted, chosen, b"".join(names))
    if whole not in (known := cache.get([whole])):

        @lru_cache(maxsize=settings.up_to)
        def picture(place: int) -> NDArray[np.uint8]:
            return local.shrunk(look.pixels(chosen[place]), settings.side)

        keys = [key("local", method, name) for name in names]
        features = _features(picture, keys, look, clean, settings, cache)
        rows = []
        for match in local.matches(features, settings, clean.match.max_group):
            left, right, area = local.parts(picture(match.a), picture(match.b), match)
            evidence = verify.compare(left, right)
            if evidence.overlap:
                values = list(vars(replace(evidence, overlap=evidence.overlap * area)).values())
                rows.append((chosen[match.a], chosen[match.b], int(match.mirrored), values))
        known = {whole: rows}
        if not look.changed:
            cache.put(known.items())
    return [(a, b, orientation, values) for a, b, orientation, values in known[whole]]


def _features(
    picture: Callable[[int], NDArray[np.uint8]],
    keys: Sequence[bytes],
    look: Looker,
    clean: Clean,
    settings: LocalFeatures,
    cache: Cache,
) -> list[local.Features]:
    """Of each picture, those that are known from the cache."""

    def part(places: range) -> list[local.Features]:
        known = cache.get([keys[place] for place in places])
        result, new = [], []
        for place in places:
            if keys[place] in known:
                result.append(local.Features.unpacked(known[keys[place]]))
            else:
                result.append(local.describe(picture(place), settings.features))
                new.append((keys[place], result[-1].packed()))
        if not look.changed:
            cache.put(new)
        return result

    features: list[local.Features] = []
    chunks = [range(start, min(start + _CHUNK, len(keys))) for start in range(0, len(keys), _CHUNK)]
    bar: tqdm[None]
    with ThreadPoolExecutor(workers(clean)) as pool, progress(total=len(keys), desc="features", unit="image") as bar:
        for done in pool.map(part, chunks):
            features += done
            bar.update(len(done))
    return features
