"""For those who write connectors: the suite that every connector passes, and a connector in memory.

`documents` makes small documents, broken and hostile ones too. Needs pytest.
"""

from rungwise_connectors.testing.connector import ConnectorContract, Holding, ListConnector, Source

__all__ = ["ConnectorContract", "Holding", "ListConnector", "Source"]
