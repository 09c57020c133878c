"""Runs the SQL on standard input in DuckDB, then exports table customers as real exports do, to the path given."""

import sys

import duckdb

path = sys.argv[1]
form = "(FORMAT parquet)" if path.endswith(".parquet") else "(FORMAT csv, HEADER)"
connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
connection.execute(sys.stdin.read())
connection.execute(f"COPY customers TO '{path}' {form}")
