"""Cells of a network: of a search, which mix all operations by the softmax of alphas, and of a genotype.

Conventions:
    States are tensors of any shape that the operations share. An operation of an edge maps a state, and whatever else
    the cell is given, to a state; that of a node maps as many states as a node reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from merbench.training.architecture.space import NONE, Cell, CellSpace, Genotype, Space, alpha_shapes

Weights = Mapping[str, Tensor]
"""The softmax of each table of alphas."""

INITIAL = 1e-3
"""The deviation of alphas before the search, as DARTS and BM-NAS have it."""


class Skip(nn.Module):
    """The operation that passes what it is given."""

    def forward(self, x: Tensor, *_: Any) -> Tensor:
        """Return the first state."""
        return x


@dataclass(frozen=True)
class Operations:
    """Makes the layers of a cell.

    Attributes:
        of_node: returns, for a node, a function of the name of an operation that makes it; operations of a node may
            share layers.
        around: makes what combines the nodes inside of a node, their mean, with the first state that it reads; None
            where nothing is inside.
    """

    of_node: Callable[[str], Callable[[str], nn.Module]]
    around: Callable[[], nn.Module] | None = None

    @classmethod
    def named(
        cls, makers: Mapping[str, Callable[[], nn.Module]], around: Callable[[], nn.Module] | None = None
    ) -> Operations:
        """Return operations that share nothing, each from a function of its own."""
        return cls(lambda _: lambda name: makers[name](), around)


class _Mixed(nn.Module):
    """The sum of all operations, each times its weight."""

    def __init__(self, names: Sequence[str], make: Callable[[str], nn.Module]) -> None:
        super().__init__()
        self.places = [n for n, name in enumerate(names) if name != NONE]
        self.layers = nn.ModuleList(make(names[n]) for n in self.places)

    def forward(self, weights: Tensor | None, *given: Any) -> Tensor:
        """Return the sum; without weights, there is one operation."""
        outputs = [layer(*given) for layer in self.layers]
        if weights is None:
            only: Tensor = outputs[0]
            return only
        return torch.stack([weights[n] * output for n, output in zip(self.places, outputs, strict=True)]).sum(0)


class CellNetwork(nn.Module):
    """The nodes of a cell.

    While it is searched, a node reads the sum of all that is before it, each through a mixture of the operations of an
    edge; where its own operation, or the cell inside of it, takes several states, each of them is this sum, as in
    BM-NAS. A node of a genotype reads what was kept.

    Args:
        space: what the cell may be.
        operations: makes its layers.
        cell: the nodes of a genotype; None: it is searched.
        path: of its alphas.
    """

    def __init__(self, space: CellSpace, operations: Operations, cell: Cell | None, path: str) -> None:
        super().__init__()
        self.space, self.cell, self.path = space, cell, path
        self.edges, self.ops, self.around = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for n, name in enumerate(space.nodes):
            make = operations.of_node(name)
            if cell is None:
                self.edges.append(nn.ModuleList(_Mixed(space.edges, make) for _ in space.mixed(n)))
            else:
                self.edges.append(nn.ModuleList(make(edge) for edge in cell[n].edges))
            if space.inside is not None:
                own = None if cell is None else cell[n].inside
                self.ops.append(CellNetwork(space.inside, operations, own, f"{path}/{name}"))
                assert operations.around is not None
                self.around.append(operations.around())
            elif space.ops:
                self.ops.append(_Mixed(space.ops, make) if cell is None else make(cell[n].op))

    def forward(self, inputs: Mapping[str, Tensor], weights: Weights, *given: Any) -> list[Tensor]:
        """Return the states of all nodes.

        Args:
            inputs: states by name; of a genotype, those that it reads.
            weights: those of alphas; of a genotype none are needed.
            given: what operations are given besides states.
        """
        states = dict(inputs)
        for n, name in enumerate(self.space.nodes):
            parts = self._read(n, states, weights, given)
            states[name] = self._combined(n, parts, weights, given)
        return [states[name] for name in self.space.nodes]

    def _read(self, n: int, states: Mapping[str, Tensor], weights: Weights, given: Sequence[Any]) -> list[Tensor]:
        edges: Any = self.edges[n]
        if self.cell is not None:
            return [edge(states[name], *given) for edge, name in zip(edges, self.cell[n].inputs, strict=True)]
        own, start = weights.get(f"{self.path}/edges"), sum(len(self.space.mixed(k)) for k in range(n))
        rows = [None] * len(edges) if own is None else own[start : start + len(edges)]
        parts = zip(edges, rows, self.space.mixed(n), strict=True)
        total = torch.stack([edge(row, states[name], *given) for edge, row, name in parts]).sum(0)
        return [total] if self.space.adds else [total] * self.space.takes

    def _combined(self, n: int, parts: Sequence[Tensor], weights: Weights, given: Sequence[Any]) -> Tensor:
        if self.space.adds:
            return torch.stack([*parts]).sum(0) if len(parts) > 1 else parts[0]
        combine: Any = self.ops[n]
        if self.space.inside is not None:
            inner = torch.stack(combine(dict(zip(self.space.inside.inputs, parts, strict=True)), weights, *given)).mean(
                0
            )
            return self.around[n](inner, parts[0])  # type: ignore[no-any-return]
        if self.cell is not None:
            return combine(*parts, *given)  # type: ignore[no-any-return]
        own = weights.get(f"{self.path}/ops")
        return combine(None if own is None else own[n], *parts, *given)  # type: ignore[no-any-return]


class Cells(nn.Module):
    """All cells of a space, with the alphas of a search, or those of a genotype.

    Args:
        space: the space.
        operations: by the name of a cell, what makes its layers.
        genotype: None: it is searched.
        copies: by the name of a cell, how many times its architecture follows itself, each with its own parameters.
    """

    def __init__(
        self,
        space: Space,
        operations: Mapping[str, Operations],
        genotype: Genotype | None,
        copies: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        shapes = {} if genotype is not None else alpha_shapes(space)
        self.alphas = nn.ParameterDict({name: INITIAL * torch.randn(shape) for name, shape in shapes.items()})
        self.cells, self.starts = nn.ModuleList(), dict[str, int]()
        for name, own in space.cells.items():
            self.starts[name] = len(self.cells)
            nodes = None if genotype is None else genotype.cells[name]
            for _ in range((copies or {}).get(name, 1)):
                self.cells.append(CellNetwork(own, operations[name], nodes, name))

    def weights(self) -> Weights:
        """Return the softmax of the alphas; nothing of a genotype."""
        return {name: alphas.softmax(1) for name, alphas in self.alphas.items()}

    def forward(
        self, name: str, inputs: Mapping[str, Tensor], weights: Weights, *given: Any, copy: int = 0
    ) -> list[Tensor]:
        """Return the states of all nodes of a cell, or of one of its copies."""
        states: list[Tensor] = self.cells[self.starts[name] + copy](inputs, weights, *given)
        return states


def cells_of(network: nn.Module) -> Cells:
    """Return the cells of a network."""
    return next(module for module in network.modules() if isinstance(module, Cells))


def alphas_of(network: nn.Module) -> dict[str, NDArray[np.float64]]:
    """Return the alphas of a network that is searched."""
    return {name: alphas.detach().cpu().numpy().astype(np.float64) for name, alphas in cells_of(network).alphas.items()}


def weight_parameters(network: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the parameters of a network that are no alphas."""
    alphas = {id(parameter) for parameter in cells_of(network).alphas.parameters()}
    yield from (parameter for parameter in network.parameters() if id(parameter) not in alphas)
