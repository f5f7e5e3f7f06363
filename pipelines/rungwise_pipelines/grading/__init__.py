"""Grading in a terminal: one key per grade."""
