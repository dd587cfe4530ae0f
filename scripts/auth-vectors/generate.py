"""Makes tests/signatures/python-*.json: the same with libraries for Python, which another hand wrote."""

import base64
import datetime
import json
import pathlib
import time
from importlib.metadata import version

import stripe
from slack_sdk.signature import SignatureVerifier
from standardwebhooks.webhooks import Webhook

NOW = 1795255200
BODY = '{"id": "evt_2", "name": "Nordhavn T\\u00f8mrer", "list": [1, 2.50]}'
FOLDER = pathlib.Path(__file__).parent / "../../tests/signatures"
time.time = lambda: NOW


def write(preset, package, how, secret, headers, body=BODY):
    headers = {"host": "hooks.example.com", "content-type": "application/json", **headers}
    encoded = base64.b64encode(body.encode()).decode()
    vector = {"method": "POST", "target": f"/in/{preset}", "headers": headers, "body_base64": encoded}
    whole = {
        "preset": preset,
        "library": {"package": f"{package} (Python)", "version": version(package), "how": how},
        "secret": secret,
        "now": "2026-11-21T10:00:00Z",
        "vectors": [vector],
    }
    (FOLDER / f"python-{preset}.json").write_text(json.dumps(whole, indent=2) + "\n")
    print(f"{preset}: 1")


def slack():
    secret = "another-signing-secret"
    clock = type("Clock", (), {"now": lambda self: NOW})()
    verifier = SignatureVerifier(secret, clock=clock)
    signature = verifier.generate_signature(timestamp=str(NOW), body=BODY)
    headers = {"x-slack-request-timestamp": str(NOW), "x-slack-signature": signature}
    assert verifier.is_valid(BODY, str(NOW), signature)
    write("slack", "slack_sdk", "signed", secret, headers)


def standard_webhooks():
    secret = "whsec_" + base64.b64encode(b"another key of 32 bytes, exactly").decode()
    moment = datetime.datetime.fromtimestamp(NOW, tz=datetime.timezone.utc)
    signature = Webhook(secret).sign("msg_1", moment, BODY)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(NOW), "webhook-signature": signature}
    write("standard-webhooks", "standardwebhooks", "signed", secret, headers)


def stripes():
    secret = "whsec_another"
    signature = stripe.WebhookSignature._compute_signature(f"{NOW}.{BODY}", secret)
    header = f"t={NOW},v1={signature}"
    assert stripe.WebhookSignature.verify_header(BODY, header, secret, 300)
    write("stripe", "stripe", "verified", secret, {"stripe-signature": header})


slack()
standard_webhooks()
stripes()
