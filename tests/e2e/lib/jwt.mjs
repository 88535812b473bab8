// Tokens that `zwinger token mint` would never make, signed or half-signed with the development issuer's key.
import { createHmac, createPrivateKey, generateKeyPairSync, sign } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { issuer } from "./harness.mjs";

const encode = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

export const es256 = (key) => (input) => sign("sha256", Buffer.from(input), { key, dsaEncoding: "ieee-p1363" });
export const es256der = (key) => (input) => sign("sha256", Buffer.from(input), key);
export const hs256 = (secret) => (input) => createHmac("sha256", secret).update(input).digest();
export const unsigned = () => Buffer.alloc(0);

// Compact form of any header and payload with any signer.
export function compact(header, payload, signer) {
  const input = `${encode(header)}.${encode(payload)}`;
  return `${input}.${signer(input).toString("base64url")}`;
}

// What the gateway's issuer would sign: its key, its key id, and claims that pass.
export function developmentIssuer(policy, stateDir = "state") {
  const key = createPrivateKey(fs.readFileSync(path.join(policy, stateDir, "dev-issuer.pem")));
  const jwks = fs.readFileSync(path.join(policy, issuer.jwksFile), "utf8");
  const [jwk] = JSON.parse(jwks).keys;
  const now = Math.floor(Date.now() / 1000);
  return {
    key, jwk, jwks, now,
    stranger: generateKeyPairSync("ec", { namedCurve: "P-256" }),
    header: { alg: "ES256", kid: jwk.kid, typ: "JWT" },
    claims: (atr) => ({
      iss: issuer.issuer, aud: issuer.audience, sub: "agent-7", jti: `forged-${Math.random()}`, iat: now, exp: now + 600, atr,
    }),
  };
}
