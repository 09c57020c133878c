#!/usr/bin/env python3
"""Last step of a Peak workflow: tells peak-braze that the model run is complete.

Needs nothing but Python 3.8. Reads its settings from the environment (see README.md beside this file), signs the callback as
Standard Webhooks 1.0.0 and posts it once: Peak's own step retries are the retries, so any failure ends with status 1.
A retry has the same id and the same body, and so is taken for the same delivery.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

# Peak gives a step 120 s (stepTimeout in workflow.yaml); peak-braze answers in milliseconds or not at all.
TIMEOUT_SECS = 30
# Standard Webhooks 1.0.0, Signature scheme: a key has 24 bytes or more.
KEY_BYTES = 24
# Most of an answer that is read: an accepted callback's has about 150 bytes.
ANSWER_BYTES = 4096
# What a person must set right before a retry can succeed.
CURES = {
    400: "the body was not understood; is this notify.py as old as the server?",
    401: "secret, sync in CALLBACK_URL, or this machine's clock does not fit; the server's deliveries page names the step",
    404: "CALLBACK_URL must end in /v1/callbacks/SYNC",
    409: "this id was delivered before with another body; did the step's parameters change between two tries?",
    413: "the body is too large",
    415: "something between here and the server changed the content type",
    422: "a parameter is longer or other than the server takes",
}


class Unready(Exception):
    """A setting is missing or cannot be used."""


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without its body."""

    def redirect_request(self, *_):
        return None


def first(env, *names):
    """The first of these variables that is set to something."""
    return next((env[name].strip() for name in names if env.get(name, "").strip()), None)


def key(secret):
    """The bytes to sign with: whsec_ and base64, base64 alone, or raw: and the bytes themselves."""
    if secret.startswith("raw:"):
        found = secret[len("raw:"):].encode()
    else:
        text = secret[len("whsec_"):] if secret.startswith("whsec_") else secret
        try:
            found = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except binascii.Error:
            raise Unready("the callback secret is not base64; write raw: before a literal one") from None
    if len(found) < KEY_BYTES:
        raise Unready(f"the callback secret has {len(found)} bytes; at least {KEY_BYTES} are needed")
    return found


def address(env):
    """Where to post: https, or http to this very machine for a try."""
    url = first(env, "CALLBACK_URL")
    if url is None:
        raise Unready("CALLBACK_URL is not set")
    parts = urllib.parse.urlsplit(url)
    is_local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_local):
        raise Unready("CALLBACK_URL must begin with https://")
    return url


def body(env):
    """The event. Nothing in it changes between two tries, or the second would be a conflict instead of a duplicate."""
    rows = first(env, "ROWS_UPDATED")
    data = {
        "tenant": first(env, "TENANT_NAME", "TENANT"),
        "workflow_id": first(env, "PEAK_WORKFLOW_ID"),
        "execution_id": first(env, "PEAK_EXEC_ID"),
        "run_id": first(env, "PEAK_RUN_ID"),
        "model": first(env, "MODEL_NAME"),
        "model_version": first(env, "MODEL_VERSION"),
        "output_table": first(env, "OUTPUT_TABLE"),
        "rows_updated": int(rows) if rows and rows.isascii() and rows.isdigit() else None,
    }
    event = {"type": "model.run.completed", "timestamp": first(env, "SCORED_AT")}
    event = {name: value for name, value in event.items() if value is not None}
    event["data"] = {name: value for name, value in data.items() if value is not None}
    return json.dumps(event, separators=(",", ":"), sort_keys=True).encode()


def delivery_id(env):
    """The same for every try of one result, another when the steps of an execution are run again with a new result."""
    execution = first(env, "PEAK_EXEC_ID", "PEAK_RUN_ID")
    if execution is None:
        raise Unready("neither PEAK_EXEC_ID nor PEAK_RUN_ID is set: without one a retry could not be told from a new run")
    result = "\n".join(first(env, name) or "" for name in ("MODEL_VERSION", "SCORED_AT", "ROWS_UPDATED"))
    digest = hashlib.sha256(f"{execution}\n{result}".encode()).hexdigest()
    return f"peak_{digest[:32]}"


def headers(secret, identity, sent_at, payload):
    """The three headers of a Standard Webhooks delivery. `sent_at`: seconds since 1970, new with every try."""
    signed = b".".join([identity.encode(), str(sent_at).encode(), payload])
    signature = base64.b64encode(hmac.new(key(secret), signed, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": f"v1,{signature}",
    }


def secret(env):
    """Peak shows a custom credential called `callback` as CALLBACK_CUSTOM; another name goes into CALLBACK_SECRET_ENV."""
    name = first(env, "CALLBACK_SECRET_ENV") or "CALLBACK_CUSTOM"
    found = first(env, name)
    if found is None:
        raise Unready(f"{name} is not set: the step needs the credential with the callback secret")
    return found


def post(url, payload, signed):
    """Posts, and gives the answer's status and text."""
    request = urllib.request.Request(
        url,
        data=payload,
        headers={"content-type": "application/json", "user-agent": "peak-braze-notify/1", **signed},
    )
    opener = urllib.request.build_opener(NoRedirects)
    try:
        with opener.open(request, timeout=TIMEOUT_SECS) as answer:
            return answer.status, answer.read(ANSWER_BYTES)
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read(ANSWER_BYTES)


def said(text):
    """The parts of an answer that say what became of the callback; never the whole of it."""
    try:
        answer = json.loads(text)
    except ValueError:
        return ""
    if not isinstance(answer, dict):
        return ""
    parts = [f"{name} {answer[name]}" for name in ("code", "run_id", "state", "duplicate") if name in answer]
    return f" ({', '.join(parts)})" if parts else ""


def main(env):
    try:
        url, payload, identity = address(env), body(env), delivery_id(env)
        signed = headers(secret(env), identity, int(time.time()), payload)
        status, text = post(url, payload, signed)
    except Unready as unready:
        print(f"not sent: {unready}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"not accepted: no answer ({getattr(error, 'reason', error)}); a retry may succeed", file=sys.stderr)
        return 1
    if 200 <= status < 300:
        print(f"accepted: {status}{said(text)}")
        return 0
    cure = CURES.get(status, "a retry may succeed" if status >= 500 or status == 429 else "not what peak-braze answers")
    print(f"not accepted: {status}{said(text)}: {cure}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(os.environ))
