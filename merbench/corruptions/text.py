"""Corruptions: text."""
