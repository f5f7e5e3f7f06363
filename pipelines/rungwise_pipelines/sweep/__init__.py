"""`rungwise sweep`: which settings of a workload are worth their money, found on its eval set.

`grid` says which settings there are, `race` which of them stay in it, `run` asks and grades, `result` is what came out,
`diff` writes the choice down for a person to review. Nothing is applied.
"""
