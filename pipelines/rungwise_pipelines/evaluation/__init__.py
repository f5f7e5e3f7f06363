"""Evaluation: sets of examples, runs of candidates over them, and what was measured."""
