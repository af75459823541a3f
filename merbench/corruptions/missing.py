"""Corruptions: missing."""
