"""The ledger of the ladder: what each workload costs, how good it is, and what the rung above would cost and pay back.

    gather (log, eval sets) -> evidence -> traffic, quality, latency, weak -> rungs (costs on a sheet) -> advice -> book

Only `gather`, `Ledger` and `trace` read anything; all else is pure computation over frozen values.
"""
