"""Records requests that the official Python packages sign, as vectors of tests/data/provider_vectors_sdk.json.

pip install retell-sdk plivo hubspot-api-client braintree Adyen box-sdk-gen slack_sdk cryptography
python record.py > python.json
"""

import base64
import importlib.metadata
import json
import urllib.parse

AT = 1700000000
URL = "https://hooks.example.com/in"
EVENT = '{"id":"evt_01","type":"call.ended","data":{"call_id":"c-1","note":"café ✓"}}'
JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
vectors = []


def record(provider, package, key, headers, body, **more):
    vectors.append({
        "provider": provider, "kind": "signature",
        "source": f"{package} {importlib.metadata.version(package)}", "origin": "sdk",
        "key": key, "method": "POST", "url": URL, "headers": headers,
        "body": base64.b64encode(body.encode()).decode(), "timestamp": AT, "valid": True, **more,
    })


from retell.lib.webhook_auth import symmetric

retell = '{"event":"call_ended","call":{"call_id":"c-1","note":"café"}}'
record("retell", "retell-sdk", "key_1", {**JSON, "x-retell-signature": symmetric["sign"](retell, "key_1", AT * 1000)}, retell)

from hubspot.utils.signature import Signature

hubspot = '[{"eventId":1,"subscriptionId":2,"subscriptionType":"contact.creation","occurredAt":1700000000123}]'
signature = Signature.get_signature("client-secret", hubspot, "v3", URL, "POST", str(AT * 1000))
record("hubspot_v3", "hubspot-api-client", "client-secret",
       {**JSON, "x-hubspot-signature-v3": signature, "x-hubspot-request-timestamp": str(AT * 1000)}, hubspot)

from plivo.utils import signature_v3

# The pairs of a form, and of a query, sorted; and a request without a form.
fields = {"CallUUID": "97ceeb52", "Event": "Hangup", "From": "14155551234", "Duration": "3"}


def plivo(method, url, fields):
    made = signature_v3.construct_post_url(url, dict(fields)) if method == "POST" else signature_v3.construct_get_url(url, dict(fields))
    return signature_v3.get_signature_v3("ptok", made, b"n1").decode()


for header in ("x-plivo-signature-v3", "x-plivo-signature-ma-v3"):
    for query in ("", "?z=1&a=b%20c"):
        record("plivo_v3", "plivo", "ptok",
               {**FORM, header: plivo("POST", URL + query, fields), "x-plivo-signature-v3-nonce": "n1"},
               urllib.parse.urlencode(fields), url=URL + query, timestamp=None)
record("plivo_v3", "plivo", "ptok",
       {"x-plivo-signature-v3": plivo("GET", URL + "?" + urllib.parse.urlencode(fields), {}), "x-plivo-signature-v3-nonce": "n1"},
       "", method="GET", url=URL + "?" + urllib.parse.urlencode(fields), timestamp=None, event=False)

import braintree

gateway = braintree.BraintreeGateway(braintree.Configuration(braintree.Environment.Sandbox, "merchant", "pub", "private"))
sample = gateway.webhook_testing.sample_notification("subscription_went_past_due", "my_id")
record("braintree", "braintree", "private", FORM, urllib.parse.urlencode(sample), timestamp=None, public_id="pub")

from Adyen.util import generate_notification_sig, generate_payload_sig

key = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
item = {
    "pspReference": "7914073381342284", "originalReference": "", "merchantAccountCode": "TestMerchant",
    "merchantReference": "TestPayment-1407325143704", "amount": {"value": 1130, "currency": "EUR"},
    "eventCode": "AUTHORISATION", "success": "true", "eventDate": "2019-05-06T17:15:34.121+02:00",
}
signed = {**item, "additionalData": {"hmacSignature": generate_notification_sig(item, key).decode()}}
record("adyen_standard", "Adyen", key, JSON,
       json.dumps({"live": "false", "notificationItems": [{"NotificationRequestItem": signed}]}), timestamp=None)
payload = '{"data":{"id":"BA1","balance":"é"},"environment":"test","type":"balancePlatform.balanceAccount.created"}'
record("adyen_payload", "Adyen", key,
       {**JSON, "hmacsignature": generate_payload_sig(payload.encode(), key).decode(), "protocol": "HmacSHA256"}, payload, timestamp=None)

from box_sdk_gen.internal.utils import compute_webhook_signature

# Bodies of the package's own tests: of characters beyond ASCII, and of lost escapes.
for name in ("スクリーンショット 2020-08-05.txt", "😀 2020-08-05.txt", "test \r", "\\/", "\\"):
    body = '{"webhook":{"id":"1234567890"},"trigger":"FILE.UPLOADED","source":{"id":"1234567890","type":"file","name":"%s"}}' % name
    headers = {
        "box-delivery-id": "f96bb54b-ee16-4fc5-aa65-8c2d9e5b546f", "box-delivery-timestamp": "2020-01-01T00:00:00-07:00",
        "box-signature-algorithm": "HmacSHA256", "box-signature-version": "1",
    }
    made = compute_webhook_signature(body, headers, "SamplePrimaryKey", escape_body=True)
    record("box", "box-sdk-gen", "SamplePrimaryKey", {**JSON, **headers, "box-signature-primary": made}, body,
           timestamp=1577862000, event=name not in ("test \r", "\\"))

from slack_sdk.signature import SignatureVerifier

verifier = SignatureVerifier("8f742231b10e8888abcd99yyyzzz85a5")
slash = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&command=%2Fweather&text=94070&trigger_id=13.37"
record("slack", "slack_sdk", "8f742231b10e8888abcd99yyyzzz85a5",
       {**FORM, "x-slack-request-timestamp": str(AT), "x-slack-signature": verifier.generate_signature(timestamp=str(AT), body=slash)}, slash)

print(json.dumps(vectors, indent=1))
