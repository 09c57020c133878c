"""A push to Braze as it is usually written: sqlite3, orjson and aiohttp with 16 requests in flight. It neither compares
nor remembers, and takes every 201 for a success.

track.py WAREHOUSE ENDPOINT COLUMN…
"""

import asyncio
import sqlite3
import sys

import aiohttp
import orjson
import uvloop

BATCH = 75
IN_FLIGHT = 16

warehouse, endpoint, *columns = sys.argv[1:]
names = ["external_id", *(f"peak_{column}" for column in columns)]
flags = [at for at, name in enumerate(names) if name.startswith("peak_is_")]


def batches():
    source = sqlite3.connect(f"file:{warehouse}?mode=ro", uri=True)
    rows = source.execute(f"select customer_id, {', '.join(columns)} from customer_predictions order by customer_id")
    while some := rows.fetchmany(BATCH):
        attributes = []
        for row in some:
            update = dict(zip(names, row))
            for flag in flags:
                update[names[flag]] = bool(row[flag])
            update["_update_existing_only"] = True
            attributes.append(update)
        yield orjson.dumps({"attributes": attributes})


async def post(session, queue):
    while (body := await queue.get()) is not None:
        async with session.post("/users/track", data=body) as answer:
            if answer.status != 201:
                raise SystemExit(f"answered {answer.status}")
            await answer.read()


async def main():
    headers = {"authorization": "Bearer the-rest-api-key-of-a-workspace", "content-type": "application/json"}
    queue = asyncio.Queue(IN_FLIGHT)
    connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
    async with aiohttp.ClientSession(endpoint, headers=headers, connector=connector) as session:
        posts = [asyncio.create_task(post(session, queue)) for _ in range(IN_FLIGHT)]
        for body in batches():
            await queue.put(body)
        for _ in posts:
            await queue.put(None)
        await asyncio.gather(*posts)


uvloop.run(main())
