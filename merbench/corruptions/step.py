"""One declared step of damage, as plain data that travels between processes, and what it draws for a sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from merbench.corruptions.declaration import CORRUPTIONS, Corruption
from merbench.corruptions.drawing import generator, shared_draw


@dataclass(frozen=True)
class Step:
    """One step of damage.

    Attributes:
        name: name of the corruption.
        parameters: its parameters as declared: values, or distributions.
        step_name: the name under which the step's draws are made and stored; the corruption's own where none is given.
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    step_name: str = ""

    def __post_init__(self) -> None:
        if not self.step_name:
            object.__setattr__(self, "step_name", self.name)

    @property
    def corruption(self) -> Corruption:
        """What is done."""
        return CORRUPTIONS[self.name]

    @property
    def banks(self) -> set[str]:
        """The names of all noise banks that may be drawn from."""
        return self._named("bank")

    @property
    def columns(self) -> set[str]:
        """The columns of the corpus that may be needed."""
        return self._named("column")

    def _named(self, kind: str) -> set[str]:
        """Return every value that the parameters of one type may take."""
        found: set[str] = set()
        for name, known in self.corruption.parameters.items():
            declared = self.parameters.get(name, known.default)
            if known.type == kind and declared is not None:
                found |= set(declared["choice"]) if isinstance(declared, Mapping) else {declared}
        return found

    @property
    def drawn_names(self) -> list[str]:
        """The parameters that have a value for every sample, in the order in which they are drawn."""
        return list(self.draws(0, ""))

    @property
    def differs(self) -> bool:
        """Whether a parameter is drawn for each sample, so that samples may have different ones."""
        return any(isinstance(value, Mapping) for value in self.parameters.values())

    def draws(self, seed: int, sample_id: str, rng: np.random.PCG64 | None = None) -> dict[str, Any]:
        """Return the value of every parameter for one sample of a track with this seed.

        Args:
            seed: seed of the track.
            sample_id: id of the sample; empty for a step that damages all samples of a split at once.
            rng: the generator to draw from, which is left behind what was drawn; None makes it anew.
        """
        own = generator(seed, self.step_name, sample_id) if rng is None else rng
        return self.corruption.draw(self.parameters, own, shared_draw(seed, sample_id))
