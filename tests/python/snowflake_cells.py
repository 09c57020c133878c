"""Reads cells as Snowflake's own Python connector does (its converter for JSON results).

Standard input: a JSON list of [type, scale, cell]. Prints a JSON list of what each becomes: numbers as their exact text,
instants as microseconds since 1970, dates as ISO text.
"""

import datetime
import decimal
import json
import sys

from snowflake.connector.converter import SnowflakeConverter

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def told(value):
    if isinstance(value, datetime.datetime):
        at = value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)
        return str((at - EPOCH) // datetime.timedelta(microseconds=1))
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return f"{value:f}"
    if isinstance(value, float):
        return repr(value)
    return str(value)


converter = SnowflakeConverter()
converter.set_parameter("TIMEZONE", "UTC")
read = []
for kind, scale, cell in json.load(sys.stdin):
    method = converter.to_python_method(kind, {"scale": scale})
    read.append(told(method(cell)))
print(json.dumps(read))
