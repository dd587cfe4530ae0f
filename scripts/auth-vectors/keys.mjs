// Makes tests/signatures/keys/openssl.json: public keys in every form that is read, with a signature that OpenSSL made with each.
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const folder = path.join(path.dirname(fileURLToPath(import.meta.url)), "../../tests/signatures/keys");
const body = '{"name":"Tømrer"}';

function forms(key, raw) {
  const spki = key.export({ format: "der", type: "spki" });
  const forms = {
    pem: key.export({ format: "pem", type: "spki" }),
    jwk: JSON.stringify({ ...key.export({ format: "jwk" }), use: "sig", kid: "1" }),
    base64: spki.toString("base64"),
    hex: raw ? raw(spki).toString("hex") : spki.toString("hex"),
  };
  return forms;
}

const vectors = [];
const add = (algorithm, forms, signature) =>
  Object.entries(forms).forEach(([form, key]) => vectors.push({ algorithm, form, key, signature: signature.toString("base64") }));

const ed = crypto.generateKeyPairSync("ed25519");
add("ed25519", forms(ed.publicKey, (spki) => spki.subarray(-32)), crypto.sign(null, Buffer.from(body), ed.privateKey));
const ec = crypto.generateKeyPairSync("ec", { namedCurve: "prime256v1" });
for (const dsaEncoding of ["der", "ieee-p1363"]) {
  add("ecdsa-p256-sha256", forms(ec.publicKey, (spki) => spki.subarray(-65)), crypto.sign("sha256", Buffer.from(body), { key: ec.privateKey, dsaEncoding }));
}
const rsa = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
for (const hash of ["sha1", "sha256", "sha512"]) {
  const pkcs1 = { pem: rsa.publicKey.export({ format: "pem", type: "pkcs1" }) };
  const signature = crypto.sign(hash, Buffer.from(body), rsa.privateKey);
  add(`rsa-${hash}`, forms(rsa.publicKey), signature);
  add(`rsa-${hash}`, pkcs1, signature);
}
fs.mkdirSync(folder, { recursive: true });
fs.writeFileSync(path.join(folder, "openssl.json"), JSON.stringify({ body, vectors }, null, 2) + "\n");
console.log(`keys: ${vectors.length}`);
