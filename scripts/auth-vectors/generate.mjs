// Makes tests/signatures/*.json: requests that each provider's own library signed, or verified after we signed them.
import { createRequire } from "node:module";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
const here = path.dirname(fileURLToPath(import.meta.url));
const folder = path.join(here, "../../tests/signatures");

// 2026-11-21T10:00:00Z, the moment at which the tests' clock stands; libraries that look at the clock see it too
const NOW = 1795255200;
Date.now = () => NOW * 1000;

const ORIGIN = "http://hooks.example.com";
const JSON_BODY = '{"id":"evt_1","amount":12345678901234567890.10,"name":"Nordhavn Tømrer ApS","note":"a\\n\\u00e6 \\"b\\"","list":[1,2]}';
const ODD_BODY = '{ "b" : 1,\r\n  "a": "😀 ÿ" }\n';

const hmac = (hash, key, text, encoding) => crypto.createHmac(hash, key).update(text).digest(encoding);
const bytes = (text) => Buffer.from(text, "utf8");

function library(name, how) {
  let folder = path.join(here, "node_modules", name);
  const { version } = JSON.parse(fs.readFileSync(path.join(folder, "package.json"), "utf8"));
  return { package: name, version, how };
}

function ensure(condition, what) {
  if (!condition) throw new Error(`the library does not accept: ${what}`);
}

function write(preset, fields, vectors) {
  const whole = {
    preset,
    ...fields,
    now: "2026-11-21T10:00:00Z",
    vectors: vectors.map(({ body, ...rest }) => ({ ...rest, body_base64: bytes(body).toString("base64") })),
  };
  fs.writeFileSync(path.join(folder, `${preset}.json`), JSON.stringify(whole, null, 2) + "\n");
  console.log(`${preset}: ${vectors.length}`);
}

const post = (preset, headers, body, target = `/in/${preset}`) => ({
  method: "POST",
  target,
  headers: { host: "hooks.example.com", "content-type": "application/json", ...headers },
  body,
});

const url = (target) => ORIGIN + target;

async function standardWebhooks() {
  const { Webhook } = require("standardwebhooks");
  const secret = "whsec_" + bytes("a key of twenty-four byt").toString("base64");
  const hook = new Webhook(secret);
  const vectors = [JSON_BODY, ODD_BODY, "[]"].map((body) => {
    const headers = { "webhook-id": "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", "webhook-timestamp": String(NOW) };
    headers["webhook-signature"] = hook.sign(headers["webhook-id"], new Date(NOW * 1000), body);
    hook.verify(body, headers);
    return post("standard-webhooks", headers, body);
  });
  const several = structuredClone(vectors[0]);
  several.headers["webhook-signature"] =
    `v1,${bytes("x".repeat(32)).toString("base64")} v1a,abc ${vectors[0].headers["webhook-signature"]}`;
  hook.verify(several.body, several.headers);
  write("standard-webhooks", { library: library("standardwebhooks", "signed"), secret }, [...vectors, several]);
}

async function svix() {
  const { Webhook } = require("svix");
  const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
  const hook = new Webhook(secret);
  const vectors = [JSON_BODY, ODD_BODY].map((body) => {
    const headers = { "svix-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "svix-timestamp": String(NOW) };
    headers["svix-signature"] = hook.sign(headers["svix-id"], new Date(NOW * 1000), body);
    hook.verify(body, headers);
    return post("svix", headers, body);
  });
  write("svix", { library: library("svix", "signed"), secret }, vectors);
}

async function stripe() {
  const Stripe = require("stripe");
  const { webhooks } = new (Stripe.default ?? Stripe)("sk_test_x");
  const secret = "whsec_test_stripe_secret";
  const sign = (payload) => webhooks.generateTestHeaderString({ payload, secret, timestamp: NOW });
  const vectors = [JSON_BODY, '{ "a": 1\n}'].map((body) => {
    const header = sign(body);
    webhooks.constructEvent(body, header, secret);
    return post("stripe", { "stripe-signature": header }, body);
  });
  const rolled = sign(JSON_BODY).replace(",v1=", `,v1=${"0".repeat(64)},v0=abc,v1=`);
  webhooks.constructEvent(JSON_BODY, rolled, secret);
  write("stripe", { library: library("stripe", "signed"), secret }, [...vectors, post("stripe", { "stripe-signature": rolled }, JSON_BODY)]);
}

async function github() {
  const { sign, verify } = await import("@octokit/webhooks-methods");
  const secret = "It's a Secret to Everybody";
  const vectors = [];
  for (const body of [JSON_BODY, ODD_BODY, "Hello, World!"]) {
    const signature = await sign(secret, body);
    ensure(await verify(secret, body, signature), "github");
    vectors.push(post("github", { "x-hub-signature-256": signature, "x-github-event": "push" }, body));
  }
  write("github", { library: library("@octokit/webhooks-methods", "signed"), secret }, vectors);
}

async function shopify() {
  await import("@shopify/shopify-api/adapters/node");
  const { shopifyApi, ApiVersion } = await import("@shopify/shopify-api");
  const secret = "shpss_test_secret";
  const api = shopifyApi({
    apiKey: "k", apiSecretKey: secret, hostName: "hooks.example.com", isEmbeddedApp: false,
    apiVersion: Object.values(ApiVersion).at(-1), logger: { level: 0 },
  });
  const vectors = [];
  for (const body of [JSON_BODY, ODD_BODY]) {
    const headers = {
      "x-shopify-hmac-sha256": hmac("sha256", secret, body, "base64"), "x-shopify-topic": "orders/create",
      "x-shopify-shop-domain": "a.myshopify.com", "x-shopify-api-version": "2026-01", "x-shopify-webhook-id": "1",
      "x-shopify-event-id": "2",
    };
    const rawRequest = { method: "POST", url: "/in/shopify", headers };
    const checked = await api.webhooks.validate({ rawBody: body, rawRequest, rawResponse: {} });
    ensure(checked.valid, `shopify: ${JSON.stringify(checked)}`);
    vectors.push(post("shopify", headers, body));
  }
  write("shopify", { library: library("@shopify/shopify-api", "verified"), secret }, vectors);
}

async function slack() {
  const { verifySlackRequest } = require("./node_modules/@slack/bolt/dist/receivers/verify-request.js");
  const secret = "8f742231b10e8888abcd99yyyzzz85a5";
  const vectors = [JSON_BODY, "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&text=%C3%B8"].map((body) => {
    const headers = { "x-slack-request-timestamp": String(NOW), "x-slack-signature": "v0=" + hmac("sha256", secret, `v0:${NOW}:${body}`, "hex") };
    verifySlackRequest({ signingSecret: secret, body, headers });
    const form = body.startsWith("{") ? {} : { "content-type": "application/x-www-form-urlencoded" };
    return post("slack", { ...headers, ...form }, body);
  });
  write("slack", { library: library("@slack/bolt", "verified"), secret }, vectors);
}

async function twilio() {
  const { validateRequest, validateRequestWithBody, getExpectedTwilioSignature } = require("twilio/lib/webhooks/webhooks.js");
  const secret = "12345678901234567890123456789012";
  const target = "/in/twilio?foo=1&bar=%C3%B8";
  const form = "To=%2B4512345678&From=%2B14158675309&Body=Hej+%C3%B8&Digits=1234&MediaUrl=b&MediaUrl=a&MediaUrl=b&Empty=";
  const params = {};
  for (const [name, value] of new URLSearchParams(form)) params[name] = name in params ? [params[name], value].flat() : value;
  const header = getExpectedTwilioSignature(secret, url(target), params);
  ensure(validateRequest(secret, header, url(target), params), "twilio form");
  const asForm = post("twilio", { "x-twilio-signature": header, "content-type": "application/x-www-form-urlencoded; charset=UTF-8" }, form, target);
  const digest = crypto.createHash("sha256").update(JSON_BODY).digest("hex");
  const withDigest = `/in/twilio?foo=1&bodySHA256=${digest}`;
  const json = getExpectedTwilioSignature(secret, url(withDigest), {});
  ensure(validateRequestWithBody(secret, json, url(withDigest), JSON_BODY), "twilio JSON");
  write("twilio", { library: library("twilio", "signed"), secret }, [asForm, post("twilio", { "x-twilio-signature": json }, JSON_BODY, withDigest)]);
}

async function discord() {
  const { verifyKey } = require("discord-interactions");
  // the seed is fixed so that the vectors are
  const seed = crypto.createHash("sha256").update("discord").digest();
  const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed]);
  const key = crypto.createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  const secret = crypto.createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32).toString("hex");
  const vectors = [];
  for (const body of [JSON_BODY, ODD_BODY]) {
    const signature = crypto.sign(null, bytes(NOW + body), key).toString("hex");
    ensure(await verifyKey(body, signature, String(NOW), secret), "discord");
    vectors.push(post("discord", { "x-signature-ed25519": signature, "x-signature-timestamp": String(NOW) }, body));
  }
  write("discord", { library: library("discord-interactions", "verified"), secret }, vectors);
}

async function sendgrid() {
  const { EventWebhook } = require("@sendgrid/eventwebhook");
  const { privateKey, publicKey } = crypto.generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const secret = publicKey.export({ format: "der", type: "spki" }).toString("base64");
  const hook = new EventWebhook();
  const vectors = ['[{"email":"a@example.com","event":"processed"}]\r\n', JSON_BODY].map((body) => {
    const signature = crypto.sign("sha256", bytes(NOW + body), privateKey).toString("base64");
    ensure(hook.verifySignature(hook.convertPublicKeyToECDSA(secret), body, signature, String(NOW)), "sendgrid");
    return post("sendgrid", {
      "x-twilio-email-event-webhook-signature": signature, "x-twilio-email-event-webhook-timestamp": String(NOW),
    }, body);
  });
  write("sendgrid", { library: library("@sendgrid/eventwebhook", "verified"), secret }, vectors);
}

async function hubspot() {
  const { Signature } = require("@hubspot/api-client");
  const secret = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy";
  const target = "/in/hubspot?a=1";
  const vectors = [JSON_BODY, "[]"].map((requestBody) => {
    const options = { clientSecret: secret, requestBody, url: url(target), timestamp: NOW * 1000 };
    const signature = Signature.getSignature("POST", "v3", options);
    ensure(Signature.isValid({ ...options, method: "POST", signatureVersion: "v3", signature }), "hubspot");
    const headers = { "x-hubspot-signature-v3": signature, "x-hubspot-request-timestamp": String(NOW * 1000) };
    return post("hubspot", headers, requestBody, target);
  });
  write("hubspot", { library: library("@hubspot/api-client", "signed"), secret }, vectors);
}

async function square() {
  const { WebhooksHelper } = require("square");
  const secret = "asdf1234";
  const vectors = [];
  for (const body of [JSON_BODY, ODD_BODY]) {
    const signatureHeader = hmac("sha256", secret, url("/in/square") + body, "base64");
    ensure(await WebhooksHelper.verifySignature({ requestBody: body, signatureHeader, signatureKey: secret, notificationUrl: url("/in/square") }), "square");
    vectors.push(post("square", { "x-square-hmacsha256-signature": signatureHeader }, body));
  }
  write("square", { library: library("square", "verified"), secret }, vectors);
}

async function linear() {
  const { LinearWebhookClient } = await import("@linear/sdk/webhooks");
  const secret = "lin_wh_test";
  const body = `{"action":"create","type":"Issue","data":{"title":"Tømrer"},"webhookTimestamp":${NOW * 1000}}`;
  const signature = hmac("sha256", secret, body, "hex");
  ensure(new LinearWebhookClient(secret).verify(Buffer.from(body), signature), "linear");
  write("linear", { library: library("@linear/sdk", "verified"), secret }, [post("linear", { "linear-signature": signature }, body)]);
}

async function zoom() {
  const { AwsLambdaReceiver } = await import("@zoom/rivet/meetings");
  const secret = "zoom-secret-token";
  const body = JSON.stringify({ event: "meeting.started", event_ts: NOW * 1000, payload: { account_id: "a", object: { topic: "Tømrer" } } });
  const headers = { "x-zm-request-timestamp": String(NOW), "x-zm-signature": "v0=" + hmac("sha256", secret, `v0:${NOW}:${body}`, "hex") };
  const receiver = new AwsLambdaReceiver({ webhooksSecretToken: secret });
  receiver.init({ eventEmitter: { emit: async () => {} } });
  const handler = receiver.start();
  const ask = (headers) => handler({ headers, body, rawPath: "/", requestContext: {}, isBase64Encoded: false }, {});
  const answer = await ask(headers);
  ensure(answer.statusCode === 200, `zoom: ${JSON.stringify(answer)}`);
  const refused = await ask({ ...headers, "x-zm-signature": "v0=00" });
  ensure(refused.statusCode !== 200, "zoom must refuse another signature");
  write("zoom", { library: library("@zoom/rivet", "verified"), secret }, [post("zoom", headers, body)]);
}

async function telegram() {
  const { Telegraf } = require("telegraf");
  const secret = "telegram_Secret-1";
  const headers = { "x-telegram-bot-api-secret-token": secret };
  const bot = new Telegraf("1:x");
  const accepts = (headers) => bot.webhookFilter.call({ hookPath: "/in/telegram", path: "/in/telegram", secretToken: secret }, { method: "POST", url: "/in/telegram", headers });
  ensure(accepts(headers) && !accepts({ "x-telegram-bot-api-secret-token": "other" }), "telegram");
  write("telegram", { library: library("telegraf", "verified"), secret }, [post("telegram", headers, JSON_BODY)]);
}

/** Providers without a library that verifies: what their pages say, in few words. */
function documented() {
  const one = (preset, documentation, secret, headers, body = JSON_BODY) =>
    write(preset, { library: null, documentation, secret }, [post(preset, headers, body)]);
  one("gitlab", "the token itself in `X-Gitlab-Token`", "gitlab-token", { "x-gitlab-token": "gitlab-token" });
  one("meta", "`sha256=` and the hex HMAC-SHA256 of the body, keyed with the app secret", "meta", {
    "x-hub-signature-256": "sha256=" + hmac("sha256", "meta", JSON_BODY, "hex"),
  });
  one("woocommerce", "base64 HMAC-SHA256 of the body", "woo", { "x-wc-webhook-signature": hmac("sha256", "woo", JSON_BODY, "base64") });
  one("xero", "base64 HMAC-SHA256 of the body", "xero+key/", { "x-xero-signature": hmac("sha256", "xero+key/", JSON_BODY, "base64") });
  one("intercom", "`sha1=` and the hex HMAC-SHA1 of the body", "intercom", { "x-hub-signature": "sha1=" + hmac("sha1", "intercom", JSON_BODY, "hex") });
  one("typeform", "`sha256=` and the base64 HMAC-SHA256 of the body", "typeform", {
    "typeform-signature": "sha256=" + hmac("sha256", "typeform", JSON_BODY, "base64"),
  });
  one("trello", "base64 HMAC-SHA1 of the body followed by the callback URL", "trello", {
    "x-trello-webhook": hmac("sha1", "trello", JSON_BODY + url("/in/trello"), "base64"),
  });
  const token = "c".repeat(50);
  const signature = hmac("sha256", "mailgun-signing-key", NOW + token, "hex");
  const body = JSON.stringify({ signature: { timestamp: String(NOW), token, signature }, "event-data": { event: "opened" } });
  one("mailgun", "hex HMAC-SHA256 of timestamp and token, all in the body", "mailgun-signing-key", {}, body);
  one("timemoto", "undocumented: assumed to be the hex HMAC-SHA256 of the body", "tmkey_test", {
    "timemoto-signature": hmac("sha256", "tmkey_test", JSON_BODY, "hex"),
  });
  one("clockodo", "the token itself in the body", "route-secret", {}, JSON.stringify({ event_name: "project.updated", token: "route-secret", payload: {} }));
  one("rackbeat", "the token itself in `Rackbeat-Webhook-Token`", "r".repeat(32), { "rackbeat-webhook-token": "r".repeat(32) });
}

for (const make of [standardWebhooks, svix, stripe, github, shopify, slack, twilio, discord, sendgrid, hubspot, square, linear, zoom, telegram, documented]) {
  await make();
}
