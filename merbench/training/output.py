"""Predictions go in, the files of a run come out; and files of runs become predictions again."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from merbench.corpus.candidates import Candidates
from merbench.errors import UsageError
from merbench.files import arrow_file, atomic_path, sha256_file, write_text
from merbench.training.data import Predictions

SUBMISSION, PROBABILITIES, CARD = "submission.csv", "probabilities.parquet", "run.json"


def submission_table(candidates: Candidates, predictions: Predictions) -> pa.Table:
    """Return the submission: ids, sorted, and one column per target.

    A track that asks for several views of a sample gets as many equal rows, with the probabilities that it averages.
    """
    if candidates.track.submission.views is not None:
        return probability_table(candidates, predictions)
    return _answers(candidates, predictions)


def probability_table(candidates: Candidates, predictions: Predictions) -> pa.Table:
    """Return the submission with one column `p_<label>` added for every label whose name no other target shares."""
    table, views = _answers(candidates, predictions), candidates.track.submission.views
    for name, columns in candidates.track.probability_columns.items():
        for code, column in enumerate(columns):
            table = table.append_column(column, pa.array(predictions.outputs[name][:, code]))
    return table if views is None else table.take(pa.array(np.repeat(np.arange(table.num_rows), views)))


def _answers(candidates: Candidates, predictions: Predictions) -> pa.Table:
    columns: dict[str, Any] = {candidates.track.submission.id: candidates.ids}
    for name, values in predictions.answers(candidates.track).items():
        columns[name] = candidates.track.targets[name].written(values)
    return pa.table(columns)


def write_predictions(folder: Path, candidates: Candidates, predictions: Predictions) -> str:
    """Write `submission.csv` and `probabilities.parquet` and return the SHA-256 of the former."""
    write_text(folder / SUBMISSION, _csv(submission_table(candidates, predictions)))
    with atomic_path(folder / PROBABILITIES) as beside, arrow_file(beside, "wb") as file:
        pq.write_table(probability_table(candidates, predictions), file)
    return sha256_file(folder / SUBMISSION)


def _csv(table: pa.Table) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return text.getvalue()


def require_free(folder: Path, card: str = CARD, *, replace: bool) -> None:
    """Raise `UsageError` when a run may not be written to `folder`.

    Args:
        folder: where a run is to be written.
        card: the file by which a run of this kind is known.
        replace: whether a run that already exists is replaced; nothing else ever is.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not (folder / card).is_file():
        raise UsageError(f"{folder}: is not empty and holds no {card}; only a run is replaced by a run")
    if not replace:
        raise UsageError(f"{folder}: already holds a run; --force replaces it, --output names another folder")
