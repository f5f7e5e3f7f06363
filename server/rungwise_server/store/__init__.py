"""What is kept for clients (`rungwise_server.keeping`): in the database, on disk, in memory."""
