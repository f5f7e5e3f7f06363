"""Judges at work: asked about all answers of an eval set, held against people, chosen among variants."""
