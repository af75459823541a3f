"""The list of mutations fits the source."""

from __future__ import annotations

import shlex

import pytest
from mutants import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.file}: {mutant.old.strip()}")
def test_a_mutation_changes_one_place_of_the_source(mutant: Mutant) -> None:
    mutated = mutant.source(ROOT)
    assert mutated is not None, "the old text is not found exactly once"
    assert mutant.old != mutant.new
    compile(mutated, mutant.file, "exec")
    assert all((ROOT / part.split("::")[0]).exists() for part in shlex.split(mutant.tests) if part.startswith("tests/"))
