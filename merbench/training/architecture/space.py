"""Spaces of architectures as data, and genotypes: what was decided in a space, stored as a small TOML.

A space has cells. A cell is a graph without cycles: each of its nodes reads some of the cell's inputs and of the nodes
before it, each through an operation on the edge, and combines them by an operation of its own, by a cell inside of it,
or as their sum. While a network is searched, edges and nodes mix all operations by weights, the softmax of alphas; a
genotype keeps one for each.

    space = "bm-nas"

    [cells.fusion.step-1]
    inputs = ["audio.1", "text.2"]

    [cells.fusion.step-1.inside.node-1]
    inputs = ["x", "y"]
    op = "linear_glu"

Conventions:
    Alphas are float64 by name: `<path>/edges` has a row for each edge, those of the first node first, and a column for
    each operation in the order declared; `<path>/ops` has a row for each node. A path is the name of a cell, or that of
    a node and the cell around it, as `fusion/step-1`. There are none where there is nothing to choose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from merbench.errors import DeclarationError, Problem, UsageError, did_you_mean, listed
from merbench.files.reading import sha256_bytes
from merbench.files.toml import parse_toml, read_toml, toml_text

NONE = "none"
"""The operation of an edge that passes nothing; it takes a share while a network is searched, and is never kept."""

Alphas = Mapping[str, NDArray[np.float64]]

MOST_DRAWS = 1_000
"""How often a random genotype is drawn for each that is wanted, until all are different."""


@dataclass(frozen=True, kw_only=True)
class CellSpace:
    """What a cell may be.

    Attributes:
        inputs: what it is given, by name.
        nodes: the names of its nodes.
        takes: how many different inputs a node reads.
        edges: the operations that may be on an edge.
        ops: the operations that may combine what a node reads; empty: it is added.
        reads: what a node may read: the cell's inputs and all `earlier` nodes, only the `inputs`, or what is directly
            before it, the `previous` node, or the last input.
        new: whether every node has to read something that no node before it has read.
        inside: the cell in each node, in place of `ops`; its inputs are what the node reads, in this order.
    """

    inputs: tuple[str, ...]
    nodes: tuple[str, ...]
    takes: int = 1
    edges: tuple[str, ...] = ("skip",)
    ops: tuple[str, ...] = ()
    reads: Literal["earlier", "inputs", "previous"] = "earlier"
    new: bool = False
    inside: CellSpace | None = None

    def __post_init__(self) -> None:
        """Raise `UsageError` where no genotype can be in it."""
        fewest = self.takes if self.reads != "previous" else 1
        if len(self.readable(0)) < self.takes:
            raise UsageError(f"a node reads {self.takes} of {listed(self.inputs)}: at least {fewest} are needed")
        if self.new and len(self.nodes) > len(self.inputs) - self.takes + 1:
            raise UsageError(
                f"{len(self.nodes)} nodes that read {self.takes} each cannot each read another one of "
                f"{len(self.inputs)} inputs; at most {len(self.inputs) - self.takes + 1} can"
            )

    @property
    def kept_edges(self) -> tuple[str, ...]:
        """The operations that an edge of a genotype may have."""
        return tuple(name for name in self.edges if name != NONE)

    def mixed(self, node: int) -> tuple[str, ...]:
        """Return what a node reads while the cell is searched: all that is before it."""
        every = (*self.inputs, *self.nodes[:node])
        return every[-1:] if self.reads == "previous" else every

    def readable(self, node: int) -> tuple[str, ...]:
        """Return what a node of a genotype may read."""
        return self.inputs if self.reads == "inputs" else self.mixed(node)

    @property
    def adds(self) -> bool:
        """Whether a node adds what it reads, so that the order does not matter."""
        return not self.ops and self.inside is None


@dataclass(frozen=True)
class Space:
    """The cells that a network is searched for.

    Attributes:
        id: its name, which genotypes have.
        cells: by name.
    """

    id: str
    cells: Mapping[str, CellSpace]

    def __str__(self) -> str:
        """Return all of it, for what is to be the same when a search goes on."""
        return f"{self.id}: {dict(self.cells)}"

    def inputs_read(self, cell: str, genotype: Genotype | None) -> list[str]:
        """Return the inputs of a cell that a node of a genotype reads; without one, all."""
        inputs = self.cells[cell].inputs
        if genotype is None:
            return [*inputs]
        return [name for name in inputs if any(name in node.inputs for node in genotype.cells[cell])]


@dataclass(frozen=True, slots=True)
class Node:
    """What a node of a genotype reads, the operation on each of these edges, and its own, or the nodes inside of it."""

    inputs: tuple[str, ...]
    edges: tuple[str, ...]
    op: str = ""
    inside: tuple[Node, ...] = ()


Cell = tuple[Node, ...]
"""The nodes in the order of the space."""


@dataclass(frozen=True, slots=True)
class Genotype:
    """What was decided in a space."""

    space: str
    cells: Mapping[str, Cell]

    def toml(self, space: Space) -> str:
        """Return its TOML."""
        cells = {name: _table(space.cells[name], cell) for name, cell in self.cells.items()}
        return toml_text({"space": self.space, "cells": cells})

    def key(self, space: Space) -> tuple[Any, ...]:
        """Return what is equal for genotypes of the same network, whose nodes may have changed names."""
        return tuple((name, canonical(space.cells[name], cell)) for name, cell in self.cells.items())


def _table(space: CellSpace, cell: Cell) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name, node in zip(space.nodes, cell, strict=True):
        table[name] = {"inputs": list(node.inputs)}
        table[name] |= {"edges": list(node.edges)} if len(space.kept_edges) > 1 else {}
        table[name] |= {"op": node.op} if node.op else {}
        table[name] |= {"inside": _table(space.inside, node.inside)} if space.inside is not None else {}
    return table


def read_genotype(path: str | Path, space: Space) -> Genotype:
    """Return the genotype in a file.

    Raises:
        UsageError: the file cannot be read.
        DeclarationError: it is of another space, or has a cycle or an unknown operation; all problems are listed.
    """
    return _genotype(str(path), read_toml(Path(path)), space)


def parse_genotype(where: str, data: bytes, space: Space) -> Genotype:
    """Return the genotype in the bytes of a TOML file, as `read_genotype` does."""
    return _genotype(where, parse_toml(where, data), space)


def _genotype(where: str, content: Mapping[str, Any], space: Space) -> Genotype:
    problems = [*_unknown(content, ("space", "cells"), "")]
    of = content.get("space")
    if of != space.id:
        problems.append(Problem("E207", f"is a genotype of {of!r:.60}, not of '{space.id}'", column="space"))
    cells: dict[str, Cell] = {}
    tables = content.get("cells")
    if isinstance(tables, Mapping):
        problems += _unknown(tables, space.cells, "cells")
        for name, own in space.cells.items():
            cell = _read_cell(f"cells.{name}", tables.get(name), own, problems)
            cells[name] = cell
    else:
        problems.append(Problem("E207", f"is not a table of the cells {listed([*space.cells])}", column="cells"))
    if problems:
        raise DeclarationError(where, problems)
    return Genotype(space.id, cells)


def _unknown(table: Mapping[str, Any], known: Sequence[str] | Mapping[str, Any], where: str) -> Iterator[Problem]:
    for name in table:
        if name not in known:
            place = f"{where}.{name}" if where else name
            yield Problem("E207", f"is unknown; allowed: {listed([*known])}{did_you_mean(name, known)}", column=place)


def _read_cell(where: str, table: Any, space: CellSpace, problems: list[Problem]) -> Cell:
    """Return the nodes of a cell, and add what is wrong with them to the problems."""
    if not isinstance(table, Mapping):
        problems.append(Problem("E207", f"is not a table of the nodes {listed(space.nodes)}", column=where))
        return ()
    problems += _unknown(table, space.nodes, where)
    before, cell = set[str](), list[Node]()
    cycle = _cycle(table, space)
    if cycle:
        problems.append(Problem("E207", f"has a cycle: {' → '.join(cycle)}", column=where))
    for n, name in enumerate(space.nodes):
        place, own = f"{where}.{name}", table.get(name)
        if not isinstance(own, Mapping):
            problems.append(Problem("E207", "is missing: every node of the space is needed", column=place))
            continue
        problems += _unknown(own, ("inputs", "edges", "op", "inside"), place)
        inputs = _names(own.get("inputs"))
        readable = [item for item in space.readable(n) if item not in cycle]
        if others := [item for item in inputs if item not in space.readable(n) and item not in cycle]:
            hint = did_you_mean(others[0], readable)
            problems.append(
                Problem(
                    "E207", f"reads {listed(others)}; it may read {listed(readable)}{hint}", column=f"{place}.inputs"
                )
            )
        if len(inputs) != space.takes or len(set(inputs)) != len(inputs):
            message = f"is not a list of {space.takes} different inputs: {listed(inputs) or 'none'}"
            problems.append(Problem("E207", message, column=f"{place}.inputs"))
        elif space.new and before.issuperset(inputs):
            problems.append(Problem("E207", "has nothing that no node before it reads", column=f"{place}.inputs"))
        before |= {*inputs}
        edges = _names(own.get("edges", space.kept_edges * space.takes if len(space.kept_edges) == 1 else ()))
        problems += _operations(edges, space.kept_edges, f"{place}.edges")
        if len(edges) != space.takes:
            message = f"is not a list of {space.takes} operations; allowed: {listed(space.kept_edges)}"
            problems.append(Problem("E207", message, column=f"{place}.edges"))
        op = own.get("op", "")
        if space.ops:
            problems += _operations([op], space.ops, f"{place}.op")
        elif "op" in own:
            problems.append(Problem("E207", "is not chosen in this space", column=f"{place}.op"))
        inside: Cell = ()
        if space.inside is not None:
            inside = _read_cell(f"{place}.inside", own.get("inside"), space.inside, problems)
        elif "inside" in own:
            problems.append(Problem("E207", "is not chosen in this space", column=f"{place}.inside"))
        cell.append(Node(tuple(inputs), tuple(edges), str(op), inside))
    return tuple(cell)


def _names(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list | tuple) else []


def _operations(names: Sequence[Any], allowed: Sequence[str], place: str) -> Iterator[Problem]:
    for name in names:
        if name not in allowed:
            hint = did_you_mean(str(name), allowed)
            yield Problem("E207", f"'{name}' is not an operation; allowed: {listed(allowed)}{hint}", column=place)


def _cycle(table: Mapping[str, Any], space: CellSpace) -> list[str]:
    """Return nodes that read each other in a circle, the first one at the end again; empty without one."""
    graph = {
        name: [item for item in _names(own.get("inputs")) if item in space.nodes]
        for name, own in table.items()
        if isinstance(own, Mapping)
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [str(name) for name in error.args[1]]
    return []


def canonical(space: CellSpace, cell: Cell) -> Cell:
    """Return the cell whose nodes are in the order that gives the smallest list of what they read.

    Two cells are the same graph up to the order of nodes, and of what is added, if and only if these are equal.
    """
    own = space.inside
    cell = tuple(node if own is None else replace(node, inside=canonical(own, node.inside)) for node in cell)
    if space.reads == "previous":
        return cell
    fronts: list[tuple[Cell, tuple[int, ...], dict[str, str]]] = [((), (), {name: name for name in space.inputs})]
    for name in space.nodes:
        further = []
        for nodes, order, names in fronts:
            for n, node in enumerate(cell):
                if n not in order and all(item in names for item in node.inputs):
                    renamed = _renamed(space, node, names)
                    further.append(((*nodes, renamed), (*order, n), {**names, space.nodes[n]: name}))
        smallest = min(repr(nodes[-1]) for nodes, _, _ in further)
        fronts = [front for front in further if repr(front[0][-1]) == smallest]
    return min((nodes for nodes, _, _ in fronts), key=repr)


def _renamed(space: CellSpace, node: Node, names: Mapping[str, str]) -> Node:
    pairs = [(names[item], edge) for item, edge in zip(node.inputs, node.edges, strict=True)]
    pairs = sorted(pairs) if space.adds else pairs
    return replace(node, inputs=tuple(item for item, _ in pairs), edges=tuple(edge for _, edge in pairs))


def alpha_shapes(space: Space) -> dict[str, tuple[int, int]]:
    """Return the shapes of the alphas of a space by name; see the module's conventions."""
    return {name: shape for path, cell in space.cells.items() for name, shape in _shapes(path, cell)}


def _shapes(path: str, space: CellSpace) -> Iterator[tuple[str, tuple[int, int]]]:
    if len(space.edges) > 1:
        yield f"{path}/edges", (sum(len(space.mixed(n)) for n in range(len(space.nodes))), len(space.edges))
    if len(space.ops) > 1:
        yield f"{path}/ops", (len(space.nodes), len(space.ops))
    if space.inside is not None:
        for name in space.nodes:
            yield from _shapes(f"{path}/{name}", space.inside)


def decoded(space: Space, alphas: Alphas) -> Genotype:
    """Return the genotype that alphas lead to.

    A node gets the inputs with the largest product of weights, the largest one of each but that of `none`, of those
    that it may read; of equally good ones, the first. Every kept edge and node has its operation of the largest weight.
    """
    return Genotype(space.id, {path: _decoded(path, cell, alphas) for path, cell in space.cells.items()})


def _decoded(path: str, space: CellSpace, alphas: Alphas) -> Cell:
    edges, ops = _weights(f"{path}/edges", alphas), _weights(f"{path}/ops", alphas)
    kept, cell, start, before = [space.edges.index(name) for name in space.kept_edges], list[Node](), 0, set[str]()
    for n, name in enumerate(space.nodes):
        mixed = space.mixed(n)
        rows = {item: edges[start + k][kept] if edges is not None else np.ones(1) for k, item in enumerate(mixed)}
        start += len(mixed)
        pairs = [own for own in combinations(space.readable(n), space.takes) if not (space.new and before >= {*own})]
        scores = [float(np.prod([rows[item].max() for item in own])) for own in pairs]
        inputs = pairs[int(np.argmax(scores))]
        before |= {*inputs}
        cell.append(
            Node(
                inputs,
                tuple(space.kept_edges[int(rows[item].argmax())] for item in inputs),
                (space.ops[int(ops[n].argmax())] if ops is not None else space.ops[0]) if space.ops else "",
                () if space.inside is None else _decoded(f"{path}/{name}", space.inside, alphas),
            )
        )
    return tuple(cell)


def _weights(name: str, alphas: Alphas) -> NDArray[np.float64] | None:
    if name not in alphas:
        return None
    powers = np.exp(alphas[name] - alphas[name].max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def permuted(alphas: Alphas, seed: int) -> dict[str, NDArray[np.float64]]:
    """Return alphas of which each table has its numbers in a random order: a control that forgets what was searched."""
    changed = {}
    for name, values in alphas.items():
        order = np.argsort(_bits("permuted", name, seed).random_raw(values.size), kind="stable")
        changed[name] = values.reshape(-1)[order].reshape(values.shape)
    return changed


def random_genotypes(space: Space, n: int, seed: int) -> list[Genotype]:
    """Return different genotypes, each drawn uniformly from all that `decoded` could return.

    Raises:
        UsageError: the space does not have so many different networks.
    """
    stream, drawn = _bits("random", space.id, seed), dict[tuple[Any, ...], Genotype]()
    for _ in range(MOST_DRAWS * n):
        genotype = Genotype(space.id, {name: _drawn(cell, stream) for name, cell in space.cells.items()})
        drawn.setdefault(genotype.key(space), genotype)
        if len(drawn) == n:
            return list(drawn.values())
    raise UsageError(f"the space '{space.id}' has only {len(drawn):,} different networks, {n:,} are wanted")


def _drawn(space: CellSpace, stream: np.random.PCG64) -> Cell:
    def one_of(items: Sequence[Any]) -> Any:
        return items[int(stream.random_raw()) % len(items)]

    while True:  # uniform among the cells in which every node reads something new
        chosen = [one_of([*combinations(space.readable(n), space.takes)]) for n in range(len(space.nodes))]
        before = [{*()}.union(*chosen[:n]) for n in range(len(chosen))]
        if not space.new or not any(old.issuperset(own) for old, own in zip(before, chosen, strict=True)):
            break
    return tuple(
        Node(
            inputs,
            tuple(one_of(space.kept_edges) for _ in inputs),
            one_of(space.ops) if space.ops else "",
            () if space.inside is None else _drawn(space.inside, stream),
        )
        for inputs in chosen
    )


def _bits(*key: object) -> np.random.PCG64:
    return np.random.PCG64(int(sha256_bytes("|".join(map(str, key)).encode())[:32], 16))
