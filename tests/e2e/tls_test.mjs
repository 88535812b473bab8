// TLS on both sides: who may connect to us, what the record says of them, and whom we trust as an upstream.
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import tls from "node:tls";
import { after, test } from "node:test";
import { startHttpServer } from "./fixtures/http-server.mjs";
import { makeAuthority } from "./lib/certificates.mjs";
import { environment, eventually, folder, launch, ledger, leavesOf, mint, policyDirectory, run, start, stub, within, zwinger } from "./lib/harness.mjs";
import { Session, textOf } from "./lib/session.mjs";
import { bearer, HttpConnection, post } from "./lib/wire.mjs";

const kSpiffe = "spiffe://acme.example/ns/agents/sa/clerk";
const ours = makeAuthority("our authority");
const theirs = makeAuthority("another authority");
const server = ours.issue("gateway", { names: ["IP:127.0.0.1", "DNS:localhost"] });
const clerk = ours.issue("clerk", { names: [`URI:${kSpiffe}`], usage: "clientAuth" });
const nameless = ours.issue("nameless", { usage: "clientAuth" });
const forged = theirs.issue("clerk", { names: [`URI:${kSpiffe}`], usage: "clientAuth" });

const text = { command: stub("echo-server.mjs") };
const listener = (more = {}) => ({ address: "127.0.0.1:0", tls: { certificate: server.certificate, key: server.key, ...more } });
const mutual = { clientCa: ours.file, requireClientCertificate: true };
const policy = policyDirectory({ upstreams: { echo: text }, listeners: [listener(mutual)] });
const gateway = await start(policy);
const token = mint(policy);
const url = gateway.url("echo");

const as = (who, more = {}) => ({ tls: { ca: ours.pem, ...who?.node, ...more } });
const failsToCall = async (where, access, options) => {
  const before = ledger(policy).filter(({ kind }) => kind === "decision").length;
  const { exchange } = new Session(where, access, options).startCall("echo", { text: "x" });
  const outcome = await within(10_000, "the refusal", exchange.head.then(({ status }) => `HTTP ${status}`, (error) => error.code ?? error.message));
  assert.equal(ledger(policy).filter(({ kind }) => kind === "decision").length, before, "nothing was decided");
  assert.doesNotMatch(outcome, /^HTTP/);
  return outcome;
};

// --- the listener ---------------------------------------------------------------------------------------------

test("a client with a certificate of our authority gets in, and the record names it", async () => {
  assert.match(url, /^https:/);
  const session = await Session.open(url, token, as(clerk));
  const answer = await session.call("echo", { text: "hello" });
  assert.equal(textOf(answer), "hello");
  const { decision } = leavesOf(policy, answer.http.headers["zwinger-call-id"]);
  assert.equal(decision.peer, kSpiffe);
  assert.equal((await session.end()).status, 200);
});

test("a certificate without a SPIFFE id is named by its digest", async () => {
  const answer = await new Session(url, token, as(nameless)).call("echo", { text: "x" });
  const digest = new X509Certificate(nameless.node.cert).fingerprint256.replaceAll(":", "").toLowerCase();
  assert.equal(leavesOf(policy, answer.http.headers["zwinger-call-id"]).decision.peer, `sha256:${digest}`);
});

test("a certificate opens nothing without a token, and the challenge is for https", async () => {
  const { status, headers } = await new Session(url, "x.y.z", as(clerk)).startCall("echo", { text: "x" }).exchange.whole();
  assert.equal(status, 401);
  assert.match(headers["www-authenticate"], /resource_metadata="https:/);
});

for (const [what, options] of Object.entries({
  "no certificate": as(undefined), "a certificate of another authority with the same name": as(forged),
  "a server's certificate": as(theirs.issue("server-only", { usage: "serverAuth" })),
  "a certificate of ours for servers only": as(ours.issue("for-servers", { usage: "serverAuth" })),
  "TLS 1.1": as(clerk, { maxVersion: "TLSv1.1", minVersion: "TLSv1", ciphers: "DEFAULT@SECLEVEL=0" }),
})) {
  test(`refused at the door: ${what}`, async () => console.log(`# ${await failsToCall(url, token, options)}`));
}

test("TLS 1.2 and 1.3 are spoken", async () => {
  for (const version of ["TLSv1.2", "TLSv1.3"]) {
    const session = new Session(url, token, as(clerk, { minVersion: version, maxVersion: version }));
    assert.equal(textOf(await session.call("echo", { text: version })), version);
  }
});

test("a client that trusts another authority does not talk to us", async () => {
  assert.match(await failsToCall(url, token, { tls: { ca: theirs.pem, ...clerk.node } }), /UNABLE_TO|SELF_SIGNED|CERT/);
});

test("plain HTTP to the TLS port gets no HTTP answer, and nothing is decided", async () => {
  const before = ledger(policy).length;
  const plain = url.replace("https:", "http:");
  const connection = await HttpConnection.open(plain);
  connection.write(post(plain, { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "echo", arguments: { text: "x" } } }, [bearer(token)]));
  assert.equal(await connection.response().catch(() => null), null);
  connection.close();
  assert.equal(ledger(policy).filter(({ kind }) => kind === "decision").length, ledger(policy).slice(0, before).filter(({ kind }) => kind === "decision").length);
});

test("half a handshake, and garbage in it, harm nobody", async () => {
  const { hostname, port } = new URL(url);
  for (const bytes of [Buffer.from("160301", "hex"), Buffer.from("16030100050100000100", "hex"), Buffer.alloc(5000, 0x16)]) {
    const connection = await HttpConnection.open(`http://${hostname}:${port}/`);
    connection.write(bytes);
    connection.socket.end();
    await within(15_000, "the end", eventually("closed", () => connection.ended));
    connection.close();
  }
  assert.equal(textOf(await new Session(url, token, as(clerk)).call("echo", { text: "x" })), "x");
});

test("bytes that follow a good handshake are strict HTTP, too", async () => {
  const { port } = new URL(url);
  const socket = tls.connect({ port: Number(port), host: "127.0.0.1", ca: ours.pem, ...clerk.node });
  let said = "";
  socket.setEncoding("latin1").on("data", (piece) => (said += piece)).on("error", () => {});
  socket.write("POST /mcp/echo HTTP/1.1\nHost: x\n\n");
  await eventually("a refusal", () => said.startsWith("HTTP/1.1 400 "));
  socket.destroy();
});

test("a listener that only asks for certificates takes clients with and without", async () => {
  const directory = policyDirectory({ upstreams: { echo: text }, listeners: [listener({ clientCa: ours.file })] });
  const optional = await start(directory);
  const access = mint(directory);
  const peers = [];
  for (const who of [undefined, clerk]) {
    const answer = await new Session(optional.url("echo"), access, as(who)).call("echo", { text: "x" });
    peers.push(leavesOf(directory, answer.http.headers["zwinger-call-id"]).decision.peer);
  }
  assert.deepEqual(peers, [undefined, kSpiffe]);
  const outcome = await new Session(optional.url("echo"), access, as(forged)).startCall("echo", { text: "x" }).exchange.head.then(() => "let in", () => "refused");
  assert.equal(outcome, "refused", "a certificate that is shown has to be good");
  assert.equal((await optional.stop()).code, 0);
});

// --- what check refuses -----------------------------------------------------------------------------------------

function checked(listeners) {
  const directory = policyDirectory({ upstreams: { echo: text } });
  const file = path.join(directory, "zwinger.yaml");
  const lines = listeners.map((entry) => `  - ${JSON.stringify(entry)}`).join("\n");
  fs.writeFileSync(file, fs.readFileSync(file, "utf8").replace(/listeners:\n.*\n/, `listeners:\n${lines}\n`));
  return { directory, ...run(["check", directory]) };
}

test("a listener on every address needs TLS", () => {
  for (const address of ["0.0.0.0:0", "[::]:0", "192.0.2.7:443"]) {
    const bare = checked([{ address }]);
    assert.equal(bare.code, 1, address);
    assert.match(bare.err, /zwinger: policy_listener: .*zwinger\.yaml:\d+:\d+/);
    assert.equal(checked([{ ...listener(mutual), address }]).code, 0, address);
  }
});

test("keys and certificates that cannot work are refused before anybody connects", async () => {
  const open = path.join(folder("keys"), "open.key");
  fs.copyFileSync(server.key, open);
  fs.chmodSync(open, 0o644);
  const cases = {
    "a key that others may read": { certificate: server.certificate, key: open }, "somebody else's key": { certificate: server.certificate, key: clerk.key },
    "no such file": { certificate: "/no/such.pem", key: server.key }, "a key as certificate": { certificate: server.key, key: server.key },
    "an authority that is none": { certificate: server.certificate, key: server.key, clientCa: server.key },
  };
  for (const [what, settings] of Object.entries(cases)) {
    const { directory } = checked([{ address: "127.0.0.1:0", tls: settings }]);
    const child = launch(zwinger, ["gateway", "--policy", directory, "--json"], { env: environment(folder("home")) });
    let said = "";
    child.stdout.on("data", (chunk) => (said += chunk));
    const { code } = await within(20_000, `${what}: the gateway refuses to start`, child.ended);
    assert.notEqual(code, 0, what);
    assert.equal(said, "", `${what}: it was never ready`);
    assert.match(child.errors, /tls_config|policy_/, what);
  }
  assert.equal(checked([{ address: "127.0.0.1:0", tls: { certificate: server.certificate, key: server.key, requireClientCertificate: true } }]).code, 1, "required, but of nobody");
});

// --- upstreams ----------------------------------------------------------------------------------------------------

const tools = { ok: (call) => call.answer("fine") };
const good = ours.issue("upstream", { names: ["IP:127.0.0.1", "DNS:mcp.acme.example"], usage: "serverAuth" });
const elsewhere = ours.issue("elsewhere", { names: ["DNS:elsewhere.example"], usage: "serverAuth" });
const commonName = ours.issue("127.0.0.1", { usage: "serverAuth" });
const secured = {
  plain: await startHttpServer({ tools, tls: good.node }), named: await startHttpServer({ tools, tls: elsewhere.node }),
  old: await startHttpServer({ tools, tls: { ...commonName.node } }),
  strange: await startHttpServer({ tools, tls: theirs.issue("strange", { names: ["IP:127.0.0.1"], usage: "serverAuth" }).node }),
  client: await startHttpServer({ tools, tls: ours.issue("as-client", { names: ["IP:127.0.0.1"], usage: "clientAuth" }).node }),
  tls11: await startHttpServer({ tools, tls: { ...good.node, minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } }),
  cleartext: await startHttpServer({ tools }),
  mutual: await startHttpServer({ tools, tls: { ...good.node, ca: ours.pem, requestCert: true, rejectUnauthorized: true } }),
};
after(() => Object.values(secured).forEach((one) => one.close()));
const tlsCa = ours.file;
const us = ours.issue("zwinger", { usage: "clientAuth" });
const cases = {
  "trusted": [{ url: secured.plain.url, tlsCa }, "fine"],
  "name-in-policy": [{ url: secured.named.url, tlsCa, tlsServerName: "elsewhere.example" }, "fine"],
  "mutual": [{ url: secured.mutual.url, tlsCa, tlsCertificate: us.certificate, tlsKey: us.key }, "fine"],
  "system-authorities": [{ url: secured.plain.url }, "refused"],
  "wrong-authority": [{ url: secured.strange.url, tlsCa }, "refused"],
  "wrong-name": [{ url: secured.named.url, tlsCa }, "refused"],
  "wrong-name-in-policy": [{ url: secured.plain.url, tlsCa, tlsServerName: "other.acme.example" }, "refused"],
  "name-in-cn-only": [{ url: secured.old.url, tlsCa }, "refused"],
  "for-clients-only": [{ url: secured.client.url, tlsCa }, "refused"],
  "tls11": [{ url: secured.tls11.url, tlsCa }, "refused"],
  "mutual-without": [{ url: secured.mutual.url, tlsCa }, "refused"],
  "mutual-stranger": [{ url: secured.mutual.url, tlsCa, tlsCertificate: forged.certificate, tlsKey: forged.key }, "refused"],
  "https-to-plain-http": [{ url: secured.cleartext.url.replace("http:", "https:"), tlsCa }, "refused"],
};
const upstreamPolicy = policyDirectory({ upstreams: Object.fromEntries(Object.entries(cases).map(([id, [settings]]) => [id, { ...settings, startTimeoutSeconds: 3, timeoutSeconds: 3 }])) });
const outward = await start(upstreamPolicy);
const access = mint(upstreamPolicy);

for (const [id, [, expected]] of Object.entries(cases)) {
  test(`an upstream over TLS: ${id}, ${expected}`, async () => {
    for (const session of [new Session(outward.url(id), access), new Session(outward.url(id), access)]) {
      const begun = await session.begin();
      session.id = begun.message.result ? session.id : undefined;
      const answer = await session.call("ok");
      if (expected === "fine") {
        assert.equal(textOf(answer), "fine");
      } else {
        assert.equal(answer.result, undefined);
        assert.ok(["upstream_unavailable", "upstream_died"].includes(answer.error.data.reason), JSON.stringify(answer.error));
        assert.doesNotMatch(answer.error.message, /BEGIN|\.key/);
      }
    }
  });
}

test("what was refused never saw a request, and the server that asked saw who we are", () => {
  for (const id of ["strange", "client", "tls11", "old", "cleartext"]) assert.deepEqual(secured[id].heads, [], id);
  for (const id of ["named"]) assert.ok(secured[id].heads.length > 0, "with the right name it did");
  assert.ok(secured.mutual.heads.length > 0);
  for (const { peer } of secured.mutual.heads) assert.equal(peer, "zwinger");
});

test("both gateways end in order", async () => {
  assert.equal((await gateway.stop()).code, 0);
  assert.equal((await outward.stop()).code, 0);
});
