"""Verifies a notice with the Standard Webhooks library: {"secret", "headers", "body"} on standard input."""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

given = json.load(sys.stdin)
webhook = Webhook(given["secret"])
webhook.verify(given["body"], given["headers"])
try:
    webhook.verify(given["body"] + " ", given["headers"])
except WebhookVerificationError:
    print(json.loads(given["body"])["type"])
else:
    sys.exit("another body is taken too")
