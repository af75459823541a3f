"""Corruptions: labels."""
