"""Designs in which every picture, pair of methods and side comes equally often.

Raters and pictures are the two sides of a bipartite graph, and each trial is an edge. What a trial shows, such as
which of the pairs of methods, or which of the two orders, is the colour of its edge. A colouring is equitable if at
each rater and at each picture all colours come equally often, within one; bipartite graphs always have one (de Werra,
"Equitable colorations of graphs", 1971).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

Edge = tuple[int, int]
"""A rater and a picture."""
Step = tuple[int, tuple[str, str]]
"""The place of a pair among others, and the pair in one of its two orders."""
_Node = tuple[int, int, int]


def deal(raters: int, trials: int, pictures: int, rng: Random) -> list[list[int]]:
    """The pictures of each rater: no picture twice for one rater, and each equally often within one.

    Each rater gets those that were given out least often, drawn at random where several were.

    Args:
        raters: How many.
        trials: Pictures for each rater, at most `pictures`.
        pictures: How many there are.
        rng: The random source.
    """
    seen = [0] * pictures
    hands: list[list[int]] = []
    for _ in range(raters):
        order = list(range(pictures))
        rng.shuffle(order)
        hand = sorted(order, key=lambda picture: seen[picture])[:trials]
        for picture in hand:
            seen[picture] += 1
        hands.append(hand)
    return hands


def equitable_colours(edges: Sequence[Edge], colours: int, rng: Random) -> list[int]:
    """A colour for each edge: equally often at each rater, at each picture and overall, always within one.

    Each rater and each picture is split into clones with at most as many edges as there are colours. The clones' graph
    has a colouring in which no two edges at a clone are alike (König, 1916), and that one is equitable.
    """
    order = list(range(len(edges)))
    rng.shuffle(order)
    colouring = _Colouring(_clones(edges, order, colours), colours)
    for edge in order:
        colouring.add(edge, rng)
    colouring.even_out()
    return colouring.colour_of


def trails(pairs: Sequence[tuple[str, str]], rng: Random) -> list[list[Step]]:
    """The pairs as walks in which each begins with what the one before ended with.

    Whoever shows each pair in the direction of its walk, or a whole walk in the other, shows each member first and
    second equally often, within one (Euler).

    Returns:
        The walks. Each pair is a step of one of them, in its direction.
    """
    left: dict[str, list[int]] = {}
    order = list(range(len(pairs)))
    rng.shuffle(order)
    for place in order:
        for member in pairs[place]:
            left.setdefault(member, []).append(place)
    found: list[list[Step]] = []
    for member, own in left.items():
        if len(own) % 2:  # still: it is an end of one walk, and the other end is such a member, too
            found.append(_walk(member, pairs, left))
    for member, own in left.items():
        while own:
            found.append(_walk(member, pairs, left))
    return found


def _walk(here: str, pairs: Sequence[tuple[str, str]], left: dict[str, list[int]]) -> list[Step]:
    """A walk along pairs that are left, taken from them, until there is none to go on with."""
    steps: list[Step] = []
    while left[here]:
        place = left[here].pop()
        one, other = pairs[place]
        there = other if here == one else one
        left[there].remove(place)
        steps.append((place, (here, there)))
        here = there
    return steps


class _Colouring:
    """A colouring that grows edge by edge; at each node an edge of one colour at most."""

    def __init__(self, ends: Sequence[tuple[_Node, _Node]], colours: int) -> None:
        self._ends = ends
        self._at: dict[_Node, list[int | None]] = {node: [None] * colours for pair in ends for node in pair}
        self.colour_of = [-1] * len(ends)

    def add(self, edge: int, rng: Random) -> None:
        """Colour one more edge, and change others where no colour is free at both of its ends."""
        one, other = self._ends[edge]
        free = [colour for colour, taken in enumerate(self._at[one]) if taken is None]
        free_at_other = [colour for colour, taken in enumerate(self._at[other]) if taken is None]
        if both := [colour for colour in free if colour in free_at_other]:
            colour = rng.choice(both)
        else:
            colour = rng.choice(free)
            self._swap(other, colour, rng.choice(free_at_other))
        self._paint(edge, colour)

    def even_out(self) -> None:
        """Change colours along paths until all colours have the same number of edges, within one."""
        counts = [self.colour_of.count(colour) for colour in range(len(next(iter(self._at.values()), [])))]
        while counts and max(counts) - min(counts) > 1:
            often, seldom = counts.index(max(counts)), counts.index(min(counts))
            ends = [node for node, at in self._at.items() if at[often] is not None and at[seldom] is None]
            # of the paths from these, one at least has more edges of the frequent colour than of the other
            self._swap(next(n for n in ends if len(list(self._path(n, often, seldom))) % 2), often, seldom)
            counts[often] -= 1
            counts[seldom] += 1

    def _path(self, node: _Node, first: int, second: int) -> Iterator[int]:
        """The edges of the path from a node whose colours are alternately these two."""
        colour = first
        while (edge := self._at[node][colour]) is not None:
            yield edge
            one, other = self._ends[edge]
            node = other if node == one else one
            colour = second if colour == first else first

    def _swap(self, node: _Node, first: int, second: int) -> None:
        """Exchange the two colours along the path from a node."""
        path = list(self._path(node, first, second))
        for edge in path:
            for end in self._ends[edge]:
                self._at[end][self.colour_of[edge]] = None
        for edge in path:
            self._paint(edge, second if self.colour_of[edge] == first else first)

    def _paint(self, edge: int, colour: int) -> None:
        self.colour_of[edge] = colour
        for node in self._ends[edge]:
            self._at[node][colour] = edge


def _clones(edges: Sequence[Edge], order: Sequence[int], most: int) -> list[tuple[_Node, _Node]]:
    """The ends of each edge: side, number of the rater or picture, and of its clone."""
    seen: dict[tuple[int, int], int] = {}
    ends: list[tuple[_Node, _Node]] = [((0, 0, 0), (1, 0, 0))] * len(edges)
    for edge in order:
        nodes: list[_Node] = []
        for side, number in enumerate(edges[edge]):
            count = seen.get((side, number), 0)
            seen[side, number] = count + 1
            nodes.append((side, number, count // most))
        ends[edge] = nodes[0], nodes[1]
    return ends
