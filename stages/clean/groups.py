"""Union of pairs into groups, with a cap on chains."""

from __future__ import annotations

from collections import defaultdict


class Groups:
    """Disjoint sets over 0 .. count - 1."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))
        self._size = [1] * count

    def find(self, item: int) -> int:
        """The root of an item's set."""
        while self._parent[item] != item:
            self._parent[item] = self._parent[self._parent[item]]
            item = self._parent[item]
        return item

    def union(self, a: int, b: int, cap: int | None = None) -> bool:
        """Join two sets; False where the result would have more than `cap` members."""
        a, b = sorted((self.find(a), self.find(b)))
        if a == b:
            return True
        if cap is not None and self._size[a] + self._size[b] > cap:
            return False
        self._parent[b] = a
        self._size[a] += self._size[b]
        return True

    def sets(self) -> list[list[int]]:
        """All sets, each in ascending order, ordered by their first member."""
        found: dict[int, list[int]] = defaultdict(list)
        for item in range(len(self._parent)):
            found[self.find(item)].append(item)
        return sorted(found.values())
