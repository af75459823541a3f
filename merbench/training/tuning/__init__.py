"""Searches a baseline's options: where, by which draws, and what the best ones are worth."""
