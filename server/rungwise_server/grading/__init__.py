"""Grading by people: what is to be graded next and by whom, which grades count, and what they tell so far.

The log holds every grade ever given; `Desk` reads them together with the answers, and everything else here is pure.
"""
