"""A participant's file or table and the candidates go in, a checked `Submission` comes out, or all its problems.

Nothing here reads a reference: what a participant sees depends on the submission, the track and the candidates alone.

==== ============================================================================================
E101 the file is empty
E102 not a file of its own: a folder, a device, a link that leads out of its folder
E103 larger than the track admits
E104 asks for more memory, once unpacked, than the track admits
E105 an archive that is encrypted, unsafe, nested, or of too many members
E106 not UTF-8 text
E107 a pickle, or an array of Python objects
E108 a format that is not read
E109 damaged: cut off, or against the rules of its format
E110 `;` separates the columns
E111 a header without rows
E112 made for another track or split
E201 the id column is not there, or not first
E202 a column is there twice, or a target is not there
E203 not one of the labels
E204 not a number in the range
E205 empty
E206 a row that cannot be read, or columns of unequal length
E208 a column that holds neither text nor numbers
E209 not a probability, or probabilities that do not sum to 1
E210 a label that is not the most probable one
E301 candidates that are missing
E302 an id that is not a candidate
E303 an id given twice
E304 a candidate's id that is written differently
E305 an empty id
W101 the suffix says another format
W201 columns that the track does not declare
W202 answers outside the vocabulary, counted as wrong
W301 rows of no candidate, ignored
W302 candidates without an answer, counted as wrong
==== ============================================================================================
"""

from __future__ import annotations

from merbench.submission.checking import Submission, read_submission
from merbench.submission.content import EXPANSION
from merbench.submission.values import SUM_TOLERANCE

__all__ = ["EXPANSION", "SUM_TOLERANCE", "Submission", "read_submission"]
