"""Reads an OpenAPI document from standard input and holds every example against its schema. Prints how many there are."""
import json
import sys

import jsonschema_rs

document = json.load(sys.stdin)
count = 0


def check(where, schema, value):
    global count
    count += 1
    # References lead to the document's own components.
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", "components": document["components"], **schema}
    for error in jsonschema_rs.validator_for(whole, validate_formats=True).iter_errors(value):
        sys.exit(f"{where}: {error.message} at {error.instance_path}")


def bodies(where, body):
    for media, content in body.get("content", {}).items():
        if "example" in content:
            check(f"{where} {media}", content["schema"], content["example"])
        for name, example in content.get("examples", {}).items():
            check(f"{where} {media} {name}", content["schema"], example["value"])


for path, item in document["paths"].items():
    for method, operation in item.items():
        where = f"{method} {path}"
        bodies(where, operation.get("requestBody", {}))
        for status, response in operation["responses"].items():
            bodies(f"{where} {status}", response)
print(count)
