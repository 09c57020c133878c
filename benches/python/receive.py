"""A callback receiver as it is usually written: FastAPI, SQLite with synchronous=FULL, a commit for each callback.

receive.py DATABASE SECRET prints where it listens.
"""

import base64
import hashlib
import hmac
import socket
import sqlite3
import sys
import time

import uvicorn
from fastapi import FastAPI, Request, Response

TOLERANCE_SECS = 300

database, secret = sys.argv[1:]
key = base64.b64decode(secret.removeprefix("whsec_"))
ledger = sqlite3.connect(database)
ledger.execute("pragma journal_mode = wal")
ledger.execute("pragma synchronous = full")
ledger.execute("create table deliveries (id text primary key, body blob) without rowid")
app = FastAPI()


@app.post("/v1/callbacks/predictions")
async def receive(request: Request) -> Response:
    body = await request.body()
    headers = request.headers
    id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    signed = f"{id}.{timestamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = headers["webhook-signature"].split()
    if abs(time.time() - int(timestamp)) > TOLERANCE_SECS or not any(
        hmac.compare_digest(expected, signature) for signature in given
    ):
        return Response(status_code=401)
    ledger.execute("insert into deliveries values (?, ?) on conflict (id) do nothing", (id, body))
    ledger.commit()
    return Response(status_code=202)


listener = socket.create_server(("127.0.0.1", 0))
print(f"127.0.0.1:{listener.getsockname()[1]}", flush=True)
server = uvicorn.Server(uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="error"))
server.run(sockets=[listener])
