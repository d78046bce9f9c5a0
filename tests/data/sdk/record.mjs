// Records requests that the official Node packages sign, as vectors of tests/data/provider_vectors_sdk.json.
//
// npm install stripe twilio svix standardwebhooks @octokit/webhooks-methods livekit-server-sdk atlassian-jwt
// node record.mjs > node.json
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.cwd()}/`);
const at = 1700000000;
const url = "https://hooks.example.com/in";
const event = '{"id":"evt_01","type":"call.ended","data":{"call_id":"c-1","note":"café ✓"}}';
const vectors = [];
const version = (name) => `${name} ${JSON.parse(readFileSync(`node_modules/${name}/package.json`)).version}`;
const record = (provider, name, key, headers, body, more = {}) =>
  vectors.push({
    provider,
    kind: "signature",
    source: version(name),
    origin: "sdk",
    key,
    method: "POST",
    url,
    headers,
    body: Buffer.from(body).toString("base64"),
    timestamp: at,
    valid: true,
    ...more,
  });
const json = { "content-type": "application/json" };
const form = { "content-type": "application/x-www-form-urlencoded" };

const Stripe = require("stripe");
const stripe = new Stripe("sk_test_none");
record("stripe", "stripe", "whsec_test", {
  ...json,
  "stripe-signature": stripe.webhooks.generateTestHeaderString({ payload: event, secret: "whsec_test", timestamp: at }),
}, event);

const twilio = require("twilio");
const fields = { CallSid: "CA1234567890ABCDE", CallStatus: "ringing", Caller: "+14158675309", Note: "a b&c=é" };
const target = `${url}?foo=1&bar=2`;
record("twilio_form", "twilio", "12345", {
  ...form,
  "x-twilio-signature": twilio.getExpectedTwilioSignature("12345", target, fields),
}, new URLSearchParams(fields).toString(), { url: target, timestamp: null });
const digest = createHash("sha256").update(event).digest("hex");
const signed = `${url}?bodySHA256=${digest}`;
record("twilio_json", "twilio", "12345", {
  ...json,
  "x-twilio-signature": twilio.getExpectedTwilioSignature("12345", signed, {}),
}, event, { url: signed, timestamp: null });

const { Webhook: Svix } = require("svix");
const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const svix = new Svix(secret).sign("msg_1", new Date(at * 1000), event);
record("svix", "svix", secret, { ...json, "svix-id": "msg_1", "svix-timestamp": `${at}`, "svix-signature": svix }, event);
// The white-label family of headers.
record("svix", "svix", secret, { ...json, "webhook-id": "msg_1", "webhook-timestamp": `${at}`, "webhook-signature": svix }, event);

const { Webhook: Standard } = require("standardwebhooks");
record("standard_webhooks", "standardwebhooks", secret, {
  ...json,
  "webhook-id": "msg_2",
  "webhook-timestamp": `${at}`,
  "webhook-signature": new Standard(secret).sign("msg_2", new Date(at * 1000), event),
}, event);

const octokit = await import("@octokit/webhooks-methods");
record("github", "@octokit/webhooks-methods", "mysecret", {
  ...json,
  "x-github-event": "push",
  "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
  "x-hub-signature-256": await octokit.sign("mysecret", event),
}, event, { timestamp: null });

const { AccessToken } = require("livekit-server-sdk");
const token = new AccessToken("key1", "livekit-secret-of-32-characters!!", { ttl: "10m" });
token.sha256 = createHash("sha256").update(event).digest("base64");
const jwt = await token.toJwt();
const { exp } = JSON.parse(Buffer.from(jwt.split(".")[1], "base64url"));
record("livekit", "livekit-server-sdk", "livekit-secret-of-32-characters!!", {
  "content-type": "application/webhook+json",
  authorization: jwt,
}, event, { timestamp: null, now: exp - 300 });

const atlassian = require("atlassian-jwt");
const jira = `${url}/jira/issues?tz=Europe%2FMoscow&user=a%20b&tz=x*y&jwt=none`;
const request = atlassian.fromMethodAndUrl("POST", jira);
const claims = { iss: "client-key", iat: at, exp: at + 180, qsh: atlassian.createQueryStringHash(request, false, "https://hooks.example.com/in") };
record("jira_connect", "atlassian-jwt", "shared-secret", {
  ...json,
  authorization: `JWT ${atlassian.encodeSymmetric(claims, "shared-secret")}`,
}, '{"webhookEvent":"jira:issue_updated","timestamp":1700000000123}', { url: jira, timestamp: null });

console.log(JSON.stringify(vectors, null, 1));
