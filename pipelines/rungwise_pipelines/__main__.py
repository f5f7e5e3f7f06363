"""`python -m rungwise_pipelines` is `rungwise`."""

from rungwise_pipelines.cli import main

main()
