// Ten thousand idle connections and many idle sessions: what they cost, and that a call works beside them.
import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import { after, test } from "node:test";
import { startHttpServer } from "./fixtures/http-server.mjs";
import { admin, memory, memoryFactor } from "./lib/gateway.mjs";
import { eventually, fixture, launch, mint, policyDirectory, start, within } from "./lib/harness.mjs";
import { LineReader } from "./lib/lines.mjs";
import { Session, textOf } from "./lib/session.mjs";

const kConnections = 10_000;
const kSessions = 1000;
const kStreams = 300;
const upstream = await startHttpServer({ tools: { ok: (call) => call.answer("fine") } });
after(() => upstream.close());
const policy = policyDirectory({ upstreams: { remote: { url: upstream.url } } });
const token = mint(policy);

async function timedCall(session) {
  const begun = performance.now();
  assert.equal(textOf(await session.call("ok")), "fine");
  return performance.now() - begun;
}
// Until nothing moves any more.
async function settled(gateway) {
  let last = 0;
  await eventually("memory is steady", async () => {
    const now = memory(gateway);
    const steady = Math.abs(now - last) < 64 << 10;
    last = now;
    await new Promise((resolve) => setTimeout(resolve, 200));
    return steady;
  });
  return last;
}

test(`${kConnections} idle connections cost little memory, and no time`, async () => {
  const gateway = await start(policy);
  const url = gateway.url("remote");
  const session = await Session.open(url, token);
  await timedCall(session);
  const before = await settled(gateway);
  const grown = [];
  for (let round = 0; round < 2; ++round) {
    const { hostname, port } = new URL(url);
    // The soft limit is often 1,024; each side has its own.
    const script = `ulimit -n ${kConnections + 500} && exec "$0" "$@"`;
    const idle = launch("sh", ["-c", script, process.execPath, fixture("idle-clients.mjs"), hostname, port, String(kConnections)]);
    const said = new LineReader(idle.stdout);
    assert.equal(await within(60_000, "all are open", said.next()), `open ${kConnections}`, idle.errors);
    grown.push(await settled(gateway) - before);
    const times = [];
    for (let i = 0; i < 5; ++i) times.push(await timedCall(session));
    times.push(await timedCall(await Session.open(url, token)));
    const each = grown.at(-1) / kConnections;
    console.log(`# ${kConnections} idle connections: ${(each / 1024).toFixed(1)} KiB each in the gateway; calls beside them took ${times.map((ms) => ms.toFixed(0))} ms`);
    assert.ok(Math.max(...times) < 2000, `${times}`);
    assert.ok(each < 16 * 1024 * memoryFactor, `${each} bytes for each connection`);
    assert.equal((await admin(policy, "/readyz")).status, 200);
    idle.stdin.end();
    await within(20_000, "the clients end", idle.ended);
    assert.equal(await said.next(), null, "none was closed meanwhile");
    await eventually("the gateway has let go of them", () => fs.readdirSync(`/proc/${gateway.ready.pid}/fd`).length < 100);
    assert.ok((await timedCall(session)) < 2000);
  }
  assert.ok(grown[1] < grown[0] * 1.25, `the second time cost more: ${grown}`);
  assert.equal((await gateway.stop()).code, 0);
});

test(`${kSessions} sessions that listen cost little memory, and no time`, async () => {
  const gateway = await start(policy);
  const url = gateway.url("remote");
  const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
  await timedCall(await Session.open(url, token));
  const before = await settled(gateway);
  const sessions = [];
  while (sessions.length < kSessions) {
    sessions.push(...await Promise.all(Array.from({ length: 50 }, () => Session.open(url, token, { agent }))));
  }
  const begun = await settled(gateway);
  const listening = sessions.slice(0, kStreams).map((session) => new Session(url, token).resume(session.id).get());
  for (const { head } of listening) assert.equal((await head).status, 200);
  const held = await settled(gateway);
  const time = await timedCall(sessions.at(-1));
  const [each, streaming] = [(begun - before) / kSessions, (held - begun) / kStreams];
  console.log(`# ${kSessions} sessions: ${(each / 1024).toFixed(1)} KiB each, and ${(streaming / 1024).toFixed(1)} KiB for each of ${kStreams} that listen; a call took ${time.toFixed(0)} ms`);
  assert.ok(time < 2000);
  assert.ok(each < 32 * 1024 * memoryFactor, `${each} bytes for each session`);
  assert.ok(streaming < 64 * 1024 * memoryFactor, `${streaming} bytes for each stream`);
  listening.forEach((exchange) => exchange.leave());
  agent.destroy();
  assert.equal((await gateway.stop()).code, 0);
});
