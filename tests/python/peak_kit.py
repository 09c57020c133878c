"""Checks deploy/peak with Peak's own SDK and the Standard Webhooks library. Ends with status 0, or says what is wrong.

peak_kit.py render WORKFLOW PARAMS   renders as the SDK does, checks every key and value, prints the result as JSON
peak_kit.py sign SECRET              signs with notify.py, verifies with the library
"""

import importlib.util
import json
import os
import sys
import time

import yaml
from peak.template import load_template
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

KIT = os.path.join(os.path.dirname(__file__), "..", "..", "deploy", "peak")

# What a workflow may hold, as the SDK's own samples and client know it: a name's keys, [keys] of each of a list,
# {"*": keys} of each of a map with free names, None for a value.
PARAMETERS = {"env": {"*": None}, "inherit": {"*": None}, "secrets": [None]}
RETRIES = {"duration": None, "exitCodes": [None], "exponentialBackoff": None, "numberOfRetries": None}
CONDITIONS = {
    "conditional": [{"condition": None, "stepName": None, "paramName": None, "value": None}],
    "parentStatus": [{"condition": None, "parents": [None], "status": [None]}],
}
ANY_STEP = {
    "type": None,
    "parents": [None],
    "parameters": PARAMETERS,
    "outputParameters": {"*": None},
    "executionParameters": CONDITIONS,
    "runConfiguration": {"retryOptions": RETRIES, "skipConfiguration": {"skip": None, "skipDAG": None}},
}
STEPS = {
    "standard": {
        **ANY_STEP,
        "imageId": None,
        "imageVersionId": None,
        "command": None,
        "repository": {"url": None, "branch": None, "token": None},
        "resources": {"instanceTypeId": None, "storage": None},
        "stepTimeout": None,
        "clearImageCache": None,
    },
    "http": {
        **ANY_STEP,
        "method": None,
        "url": None,
        "payload": None,
        "headers": {"absolute": {"*": None}, "secrets": {"*": None}},
        "auth": {
            name: None
            for name in ("type", "clientId", "clientSecret", "authUrl", "username", "password", "apiKey", "bearerToken")
        },
    },
}
EVENTS = {"success": None, "fail": None, "runtimeExceeded": None}
WATCHER = {"user": None, "events": EVENTS, "webhook": {"name": None, "url": None, "payload": None}}
BODY = {
    "name": None,
    "metadata": {"allowConcurrentExecution": None},
    "tags": [{"name": None}],
    "triggers": [{"cron": None, "webhook": None}],
    "watchers": [WATCHER],
    "retryOptions": RETRIES,
}


def check(value, known, path):
    """That every key is known, and no value empty: a misspelt parameter is rendered as nothing."""
    if known is None:
        assert isinstance(value, (str, int, bool)) and value != "", f"{path} is empty"
    elif isinstance(known, list):
        assert isinstance(value, list), f"{path} is no list"
        for index, item in enumerate(value):
            check(item, known[0], f"{path}[{index}]")
    else:
        assert isinstance(value, dict) and value, f"{path} is no map"
        for name, item in value.items():
            assert "*" in known or name in known, f"{path}.{name} is unknown to Peak"
            check(item, known.get(name, known.get("*")), f"{path}.{name}")


def check_step(name, step, steps):
    assert name.replace("-", "").isalnum(), f"{name} is no name of a step"
    check(step, STEPS[step["type"]], name)
    parents = [steps[parent] for parent in step["parents"]]
    offered = {output for parent in parents for output in parent.get("outputParameters", {})}
    wanted = set(step.get("parameters", {}).get("inherit", {}).values())
    assert wanted <= offered, f"{name} inherits {wanted - offered}, which no parent gives"
    retries = step.get("runConfiguration", {}).get("retryOptions")
    # Peak takes five retries, a base of 120 s, at most.
    assert retries is None or retries["numberOfRetries"] <= 5 and retries["duration"] <= 120, f"{name} retries too long"


def check_cron(cron):
    fields = cron.split()
    assert len(fields) == 5, f"{cron} has not five fields"
    for field, (low, high) in zip(fields, [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]):
        assert field == "*" or low <= int(field) <= high, f"{cron}: {field}"


def render(workflow, params):
    with open(os.path.join(KIT, params), encoding="utf-8") as file:
        values = yaml.safe_load(file)
    assert all(value not in (None, "") for value in values.values()), "a parameter is empty"
    rendered = load_template(os.path.join(KIT, workflow), values)
    assert list(rendered) == ["body"], "only `body` is read"
    body = rendered["body"]
    steps = body.pop("steps")
    check(body, BODY, "body")
    check_cron(body["triggers"][0]["cron"])
    for name, step in steps.items():
        check_step(name, step, steps)
    print(json.dumps({**body, "steps": steps}))


def notify():
    spec = importlib.util.spec_from_file_location("notify", os.path.join(KIT, "notify.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sign(secret):
    kit = notify()
    env = {"PEAK_EXEC_ID": "ex-1", "SCORED_AT": "2026-11-01T00:00:00Z", "ROWS_UPDATED": "7", "MODEL_NAME": "épargne"}
    payload, identity = kit.body(env), kit.delivery_id(env)
    signed = kit.headers(secret, identity, int(time.time()), payload)
    Webhook(secret).verify(payload, signed)
    try:
        Webhook(secret).verify(payload + b" ", signed)
    except WebhookVerificationError:
        pass
    else:
        raise AssertionError("another body is taken too")
    other = {**env, "MODEL_VERSION": "8"}
    assert kit.delivery_id(env) == identity != kit.delivery_id(other), "an id is one result's own"


if __name__ == "__main__":
    {"render": render, "sign": sign}[sys.argv[1]](*sys.argv[2:])
