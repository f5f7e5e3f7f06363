"""One module a verb. Only the standard library, typer and rich are imported above a function: `--help` is quick."""
