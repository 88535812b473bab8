// Upstreams that misbehave: the call concerned gets a clear error with its reason, everything else goes on.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, test } from "node:test";
import {
  alive, atr, eventually, folder, ledger, leavesOf, mint, policyDirectory, processesWith, start, stub, within,
} from "./lib/harness.mjs";
import { assertMemory, MiB } from "./lib/gateway.mjs";
import { bearer, HttpClient, post } from "./lib/wire.mjs";

const bad = stub("bad-server.mjs");
const makePolicy = () => policyDirectory({
  upstreams: {
    bad: { command: bad, env: { GREETING: "hello there" }, timeoutSeconds: 3 },
    slow: { command: bad, timeoutSeconds: 3 }, stuck: { command: bad, timeoutSeconds: 3 }, good: { command: bad },
    missing: { command: ["/no/such/server", "--stdio"] },
  },
});
const policy = makePolicy();
const gateway = await start(policy);
const token = mint(policy);
const clients = {};
for (const id of ["bad", "slow", "stuck", "good", "missing"]) clients[id] = await HttpClient.open(gateway.url(id), token);
after(() => Object.values(clients).forEach((client) => client.close()));

const textOf = (answer) => answer.result?.content[0].text;

// Calls until the upstream is back; every refusal on the way says that it is being restarted.
const comesBack = (id) => eventually(`upstream ${id} works again`, async () => {
  const answer = await clients[id].call("ok");
  if (answer.result) return true;
  assert.equal(answer.error.data.reason, "upstream_unavailable");
  assert.equal(answer.error.data.retryable, true);
  return false;
});

// A call that is under way on an upstream until it is released.
async function begin(id) {
  const file = path.join(folder("release"), "now");
  const client = await HttpClient.open(gateway.url(id), token);
  const answer = client.call("slow", { file });
  return {
    async finish() {
      fs.writeFileSync(file, "");
      assert.equal(textOf(await answer), "at last");
      await client.close();
    },
  };
}

const failures = {
  "dies-mid-answer": "upstream_died", garbage: "upstream_invalid_message", never: "upstream_timeout", "wrong-id": "upstream_timeout",
  huge: "upstream_answer_too_large", "huge-line": "upstream_answer_too_large",
  "closes-its-output": "upstream_died", "invalid-utf8": "upstream_invalid_message", "duplicate-keys": "upstream_invalid_message",
};

for (const [tool, reason] of Object.entries(failures)) {
  test(`an upstream that does "${tool}" costs that call only`, async () => {
    await comesBack("bad");
    const elsewhere = await begin("good");
    const answer = await clients.bad.call(tool);
    assert.equal(answer.error?.code, -32001, answer.raw.slice(0, 500));
    assert.equal(answer.error.data.reason, reason);
    assert.equal(answer.error.data.retryable, false, "the call may have taken effect");
    const { decision, outcome } = leavesOf(policy, answer.error.data.callId);
    assert.deepEqual([decision.verdict, outcome.status, outcome.reason], ["allow", "failed", reason]);
    await elsewhere.finish();
    await comesBack("bad");
  });
}

test("a second answer is dropped, and other calls on the same upstream go on", async () => {
  await comesBack("bad");
  const beside = await begin("bad");
  assert.equal(textOf(await clients.bad.call("answers-twice")), "first");
  assert.equal(textOf(await clients.bad.call("ok")), "fine");
  await beside.finish();
  await eventually("a notice", () => ledger(policy).some(({ event }) => event === "answer_without_request"));
});

test("answers with unknown ids are dropped and noted, the call gets its own", async () => {
  await comesBack("bad");
  assert.equal(textOf(await clients.bad.call("unknown-ids")), "fine");
  assert.equal(textOf(await clients.bad.call("progress-of-others")), "fine");
  assert.equal(textOf(await clients.bad.call("ok")), "fine");
});

test("an upstream that stops reading keeps its own callers waiting, to their time limit only", async () => {
  const elsewhere = await begin("good");
  // Requests beyond what a pipe holds; none may block the gateway.
  const reasons = [];
  const asked = [clients.stuck.call("stops-reading")];
  for (let i = 0; i < 8; ++i) {
    const client = await HttpClient.open(gateway.url("stuck"), token);
    asked.push(client.call("ok", { text: "x".repeat(1 << 20) }).finally(() => client.close()));
  }
  assert.equal(textOf(await clients.good.call("ok")), "fine");
  for (const answer of await Promise.all(asked)) reasons.push(answer.error?.data.reason ?? textOf(answer));
  // What was never written to it was not forwarded: it may say so, and be tried again.
  for (const reason of reasons) assert.ok(["upstream_timeout", "overloaded"].includes(reason), reasons.join());
  await elsewhere.finish();
  const outcomes = ledger(policy).filter(({ kind, upstream, reason }) => kind === "outcome" && upstream === "stuck" && reason === "upstream_timeout");
  assert.ok(outcomes.length >= 9);
});

test("an upstream that closes its input is started again", async () => {
  const directory = policyDirectory({ upstreams: { bad: { command: bad, timeoutSeconds: 3 } } });
  const other = await start(directory);
  const client = await HttpClient.open(other.url("bad"), mint(directory));
  assert.equal(textOf(await client.call("closes-its-input")), "deaf now");
  const answers = [];
  await eventually("it works again", async () => {
    const answer = await client.call("ok");
    answers.push(answer.error?.data.reason ?? "fine");
    return answer.result;
  }, 30_000);
  for (const reason of answers) assert.ok(["fine", "upstream_died", "upstream_unavailable"].includes(reason), answers.join());
  await client.close();
  assert.equal((await other.stop()).code, 0);
});

test("an upstream that answers a byte a second times out, and costs nobody else", async () => {
  const answer = await clients.slow.call("a-byte-a-second");
  assert.equal(answer.error.data.reason, "upstream_timeout");
  assert.equal(leavesOf(policy, answer.error.data.callId).outcome.reason, "upstream_timeout");
  assert.equal(textOf(await clients.good.call("ok")), "fine");
});

test("100 MB of output leave the gateway small", async () => {
  const noisy = policyDirectory({ upstreams: { bad: { command: bad, timeoutSeconds: 20 } } });
  const quiet = await start(noisy);
  const client = await HttpClient.open(quiet.url("bad"), mint(noisy));
  assert.equal(textOf(await client.call("huge-noise")), "after the noise");
  const answer = await client.call("huge-line");
  assert.equal(answer.error.data.reason, "upstream_answer_too_large");
  assertMemory(quiet, 200 * MiB);
  await client.close();
  assert.equal((await quiet.stop()).code, 0);
});

test("what an upstream asks of the client is refused, ping is answered", async () => {
  const [sampling, roots, ping] = JSON.parse(textOf(await clients.bad.call("asks-the-client")));
  for (const refused of [sampling, roots]) {
    assert.equal(refused.error.code, -32601);
    assert.equal(refused.error.data.reason, "method_not_supported");
  }
  assert.deepEqual(ping, { result: {} });
  const notices = () => ledger(policy).filter((leaf) => leaf.event === "server_request_refused");
  await eventually("both refusals in the record", () => ["sampling/createMessage", "roots/list"].every((method) =>
    notices().some((leaf) => leaf.method === method && leaf.upstream === "bad")));
});

test("an upstream sees PATH, HOME, LANG, TZ and its own configuration, nothing else", async () => {
  const seen = JSON.parse(textOf(await clients.bad.call("environment")));
  const names = Object.keys(seen).filter((name) => name !== "ZWINGER_TEST_MARK");
  assert.deepEqual(names.sort(), ["GREETING", "HOME", "LANG", "PATH"]);
  assert.equal(seen.GREETING, "hello there");
});

test("an upstream that cannot be started fails alone", async () => {
  for (const answer of [await clients.missing.call("ok"), await clients.missing.rpc("tools/list")]) {
    assert.deepEqual([answer.error.data.reason, answer.error.data.retryable], ["upstream_unavailable", true]);
  }
  assert.equal(textOf(await clients.good.call("ok")), "fine");
});

test("a client that leaves does not stop its call, and the outcome is recorded", async () => {
  const file = path.join(folder("release"), "now");
  const client = await HttpClient.open(gateway.url("good"), token);
  const request = client.request("tools/call", { name: "slow", arguments: { file } });
  const decisions = () => ledger(policy).filter((leaf) => leaf.kind === "decision" && leaf.tool === "slow");
  const before = decisions().length;
  client.connection.write(post(client.url, request, [bearer(token)]));
  const call = await eventually("the call is on its way", () => decisions().length > before && decisions().at(-1).call);
  await client.close();
  fs.writeFileSync(file, "");
  const outcome = await eventually("its outcome", () => ledger(policy).find((leaf) => leaf.kind === "outcome" && leaf.call === call));
  assert.equal(outcome.status, "result");
});

test("SIGTERM of the gateway ends every process of every upstream", async () => {
  const server = Number(textOf(await clients.bad.call("pid")));
  const daemon = Number(textOf(await clients.bad.call("leaves-a-daemon")));
  assert.ok(alive(server) && alive(daemon));
  assert.equal((await gateway.stop()).code, 0);
  await eventually("no process is left", () => processesWith().length === 0);
  assert.ok(!alive(server) && !alive(daemon));
});

test("up: SIGKILL of its gateway ends the old tree, and a new gateway serves", async () => {
  const supervised = makePolicy();
  const up = await start(supervised, { command: "up" });
  const access = mint(supervised, atr());
  const call = async (ready, tool) => {
    const client = await HttpClient.open(ready.endpoints.good, access);
    const answer = await client.call(tool);
    await client.close();
    return textOf(answer);
  };
  const server = Number(await call(up.ready, "pid"));
  const daemon = Number(await call(up.ready, "leaves-a-daemon"));
  assert.notEqual(up.ready.pid, up.child.pid, "the gateway is a child of up");
  process.kill(up.ready.pid, "SIGKILL");
  const again = await within(30_000, "the gateway is started again", up.nextReady());
  assert.notEqual(again.pid, up.ready.pid);
  await eventually("the old tree is gone", () => !alive(server) && !alive(daemon));
  assert.notEqual(Number(await call(again, "pid")), server);

  const lastDaemon = Number(await call(again, "leaves-a-daemon"));
  assert.equal((await up.stop()).code, 0);
  await eventually("nothing is left of up", () => processesWith().length === 0 && !alive(again.pid) && !alive(lastDaemon));
});
