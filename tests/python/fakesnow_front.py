"""Snowflake's SQL API v2 in front of fakesnow, which runs Snowflake's SQL on DuckDB.

Only the front is ours: it reads the documented requests and writes documented answers. So what a test proves with it is
that the SQL does what is meant, and that both sides of the wire agree on one reading of the documentation; not that
Snowflake itself agrees.

Takes the rows of a part. Prints `port N` once it listens, and ends when its standard input does.
"""

import asyncio
import gzip
import json
import os
import socket
import sys
import threading
import uuid
import warnings

import pyarrow as pa
import pyarrow.compute as pc
import snowflake.connector.errors
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fakesnow.converter import from_binding
from fakesnow.dialect import parse
from fakesnow.instance import FakeSnow
from fakesnow.rowtype import describe_as_rowtype

warnings.filterwarnings("ignore", message="Arrow output on a DB-API result")

FIRST_ROWS = 400
PART_ROWS = int(sys.argv[1])
FIELDS = {"statement", "timeout", "database", "schema", "warehouse", "role", "bindings", "parameters"}

shared = FakeSnow()
statements = {}  # handle -> Statement
requests = {}  # requestId -> handle


class Statement:
    """One statement: its answer, or its error, once `done` is set."""

    def __init__(self, body):
        self.handle = str(uuid.uuid4())
        self.body = body
        self.done = asyncio.Event()
        self.parts = []
        self.meta = None
        self.error = None
        self.is_cancelled = False

    async def run(self):
        try:
            table, rowtype = await run_in_threadpool(execute, self.body)
            self.parts, self.meta = await run_in_threadpool(parts, table, rowtype)
        except snowflake.connector.errors.Error as error:
            self.error = (f"{error.errno:06d}", error.sqlstate, str(error.msg))
        except Exception as error:  # what fakesnow does not translate is an error of the statement too
            self.error = ("000603", "XX000", f"{type(error).__name__}: {error}")
        self.done.set()


def execute(body):
    sql = body["statement"]
    if len([one for one in parse(sql) if one is not None]) != 1:
        raise snowflake.connector.errors.ProgrammingError(
            msg="Actual statement count did not match the desired statement count 1.", errno=8, sqlstate="0A000"
        )
    bindings = body.get("bindings") or {}
    assert all(isinstance(one["value"], str) for one in bindings.values()), "values are bound as strings"
    params = tuple(from_binding(bindings[str(at)]) for at in range(1, len(bindings) + 1))
    connection = shared.connect(body.get("database"), body.get("schema"))
    try:
        cursor = connection.cursor()
        cursor.execute(sql, binding_params=params, server=True)
        table = cursor._arrow_table
        rowtype = describe_as_rowtype(cursor._describe_last_sql())
        return table, rowtype
    finally:
        shared.results_cache.clear()
        connection.close()


def parts(table, rowtype):
    """The table as jsonv2 cells, gzipped, in parts of growing size."""
    bounds = [0, min(FIRST_ROWS, table.num_rows)]
    while bounds[-1] < table.num_rows:
        bounds.append(min(bounds[-1] + PART_ROWS, table.num_rows))
    made = []
    for start, end in zip(bounds, bounds[1:]):
        piece = table.slice(start, end - start)
        columns = [cells(piece.column(at), column) for at, column in enumerate(rowtype)]
        made.append([list(row) for row in zip(*columns)])
    meta = {
        "numRows": table.num_rows,
        "format": "jsonv2",
        "rowType": rowtype,
        "partitionInfo": [{"rowCount": len(rows)} for rows in made],
    }
    first = {"resultSetMetaData": meta, "data": made[0], "code": "090001", "sqlState": "00000"}
    return [first, *(gzip.compress(json.dumps({"data": rows}).encode(), 1) for rows in made[1:])], meta


def cells(column, info):
    kind = info["type"]
    if kind in ("timestamp_ntz", "timestamp_tz"):
        unit = {"s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}[column.type.unit]
        suffix = " 1440" if kind == "timestamp_tz" else ""
        return [stamp(value, unit, suffix) for value in column.cast(pa.int64()).to_pylist()]
    if kind == "date":
        return [None if value is None else str(value) for value in column.cast(pa.int32()).to_pylist()]
    if kind == "time":
        return [None if value is None else f"{value / 1e6:.9f}" for value in column.cast(pa.int64()).to_pylist()]
    if kind == "boolean":
        return [None if value is None else ("true" if value else "false") for value in column.to_pylist()]
    if kind == "real":
        return [None if value is None else real(value) for value in column.to_pylist()]
    if kind == "binary":
        return [None if value is None else value.hex().upper() for value in column.to_pylist()]
    if kind == "fixed":
        return pc.cast(column, pa.string()).to_pylist()
    return [None if value is None else str(value) for value in column.to_pylist()]


def stamp(value, unit, suffix):
    if value is None:
        return None
    nanos = value * unit
    sign, nanos = ("-", -nanos) if nanos < 0 else ("", nanos)
    return f"{sign}{nanos // 10**9}.{nanos % 10**9:09d}{suffix}"


def real(value):
    text = repr(value)
    return {"nan": "NaN", "inf": "inf", "-inf": "-inf"}.get(text, text)


def answer(status, body):
    return Response(
        gzip.compress(json.dumps(body).encode(), 1),
        status_code=status,
        headers={"content-type": "application/json", "content-encoding": "gzip"},
    )


def answer_of(statement):
    if statement.is_cancelled:
        body = {"code": "000604", "sqlState": "57014", "message": "SQL execution canceled"}
        return answer(422, body | {"statementHandle": statement.handle})
    if not statement.done.is_set():
        body = {"code": "333334", "sqlState": "00000", "message": "Asynchronous execution in progress."}
        return answer(202, body | {"statementHandle": statement.handle})
    if statement.error:
        code, state, message = statement.error
        body = {"code": code, "sqlState": state, "message": message, "statementHandle": statement.handle}
        return answer(422, body)
    return answer(200, statement.parts[0] | {"statementHandle": statement.handle})


async def submit(request: Request):
    if not request.headers.get("authorization", "").startswith("Bearer ") or not request.headers.get("user-agent"):
        return answer(401, {"code": "390303", "message": "Invalid OAuth access token."})
    body = await request.json()
    unknown = set(body) - FIELDS
    if unknown:
        return answer(400, {"code": "390142", "message": f"unknown fields {sorted(unknown)}"})
    known = requests.get(request.query_params.get("requestId"))
    if known and request.query_params.get("retry") == "true":
        statement = statements[known]
    else:
        statement = Statement(body)
        statements[statement.handle] = statement
        requests[request.query_params.get("requestId")] = statement.handle
        statement.task = asyncio.create_task(statement.run())
    if request.query_params.get("async") != "true":
        await statement.done.wait()
    return answer_of(statement)


async def seed(request: Request):
    """Rows by plain INSERT, which both dialects spell alike: read by DuckDB itself, a hundred times faster."""

    def insert(body):
        connection = shared.connect(body["database"], body["schema"])
        try:
            connection._duck_conn.execute(body["statement"])
        finally:
            connection.close()

    await run_in_threadpool(insert, await request.json())
    return answer(200, {})


async def look(request: Request):
    statement = statements.get(request.path_params["handle"])
    if statement is None:
        return answer(404, {"code": "000709", "message": "Statement not found"})
    part = int(request.query_params.get("partition", "0"))
    if part == 0 or not statement.done.is_set() or statement.error:
        return answer_of(statement)
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    return Response(statement.parts[part], headers=headers)


async def cancel(request: Request):
    statement = statements.get(request.path_params["handle"])
    if statement is None:
        return answer(404, {"code": "000709", "message": "Statement not found"})
    statement.is_cancelled = not statement.done.is_set()
    return answer(200, {"code": "090001", "message": "successfully canceled", "statementHandle": statement.handle})


routes = [
    Route("/seed", seed, methods=["POST"]),
    Route("/api/v2/statements", submit, methods=["POST"]),
    Route("/api/v2/statements/{handle}", look, methods=["GET"]),
    Route("/api/v2/statements/{handle}/cancel", cancel, methods=["POST"]),
]


def end_with_parent():
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    print(f"port {listener.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="error")).run(sockets=[listener])
