"""Where every answer and all that is said of it is kept: `sql` (SQLite, PostgreSQL) and `memory`."""
