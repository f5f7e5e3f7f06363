"""What grades answers: programs that hold it against a reference, a pattern, a schema or its passages, and models with
a rubric. Each keeps `protocols.Judge`.
"""
