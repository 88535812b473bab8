// Clients that misbehave: that leave at any point, are slow, do not read, flood, answer what was not asked of them, or use what
// belongs to somebody else. Each costs himself only; every call that was decided has its outcome in the record.
import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { after, test } from "node:test";
import { drained, startHttpServer } from "./fixtures/http-server.mjs";
import { decisionsOf, memory, memoryFactor, MiB, outcomeOf } from "./lib/gateway.mjs";
import { atr, eventually, folder, ledger, mint, mustRun, policyDirectory, start, stub, within } from "./lib/harness.mjs";
import { Session, textOf } from "./lib/session.mjs";
import { bearer, HttpConnection, post, reasonOf } from "./lib/wire.mjs";

// --- the upstream, and what the test tells it -----------------------------------------------------------------

const held = new Map();  // key -> the call that waits to be released
const upstream = await startHttpServer({
  tools: {
    ok: (call) => call.answer("fine"),
    // Waits for release(key); with `stream` it begins with an event.
    hold(call) {
      if (call.args.stream) call.stream().progress(1);
      held.set(call.args.key, call);
    },
    large: (call) => call.answer("x".repeat(call.args.bytes)),
    // Asks the client, and answers with what it said.
    asks(call) {
      call.stream().send({ id: call.args.id, method: "sampling/createMessage", params: { messages: [], maxTokens: 1 } });
      held.set(call.args.id, call);
    },
    // As many events as are asked for, as fast as they are taken.
    async events(call) {
      call.stream();
      const { count, size, key } = call.args;
      const state = { sent: 0, call };
      held.set(key, state);
      for (; state.sent < count && !call.res.destroyed; ++state.sent) {
        const params = { level: "info", data: `${state.sent} ${"x".repeat(size)}` };
        if (!call.send({ method: "notifications/message", params })) await drained(call.res);
      }
      if (!call.args.open) call.end("done");
    },
  },
  capabilities: { tools: {}, logging: {} },
});
const released = (key, value = "at last") => {
  const call = held.get(key);
  held.delete(key);
  if (call.args.stream) call.end(value);
  else call.answer(value);
};

const policy = policyDirectory({
  upstreams: { remote: { url: upstream.url }, local: { command: stub("bad-server.mjs") }, echo: { command: stub("echo-server.mjs") } },
});
const gateway = await start(policy);
const grant = (id) => atr({ task: { id } });
const token = mint(policy, grant("task-a"));
const stranger = mint(policy, grant("task-b"));  // the same subject, another task: another session
const other = mustRun(["token", "mint", "--policy", policy, "--subject", "agent-8", "--grant", "-"], { input: JSON.stringify(grant("task-a")) }).trim();  // the same task id, another subject
const url = gateway.url("remote");
const session = await Session.open(url, token, { capabilities: { sampling: {} } });
after(() => upstream.close());

const healthyCall = async () => assert.equal(textOf(await session.call("ok")), "fine");
let keys = 0;
const freshKey = () => `key-${++keys}`;

// --- leaving ----------------------------------------------------------------------------------------------------

const headOf = (bytes) => bytes.subarray(0, bytes.indexOf("\r\n\r\n") + 4);
const message = (name, args, meta) => ({ jsonrpc: "2.0", id: "m", method: "tools/call", params: { name, arguments: args, ...(meta ? { _meta: meta } : {}) } });
const ways = { "in a session": () => [bearer(token), ["Mcp-Session-Id", session.id]], "without a session": () => [bearer(token)] };

for (const [way, headers] of Object.entries(ways)) {
  test(`a client that leaves before or inside its body has sent nothing, ${way}`, async () => {
    const before = upstream.callsOf("large");
    const bytes = post(url, message("large", { bytes: 1 }), headers());
    for (const part of [10, headOf(bytes).length - 2, headOf(bytes).length, headOf(bytes).length + 1, bytes.length - 1]) {
      for (const leave of ["end", "resetAndDestroy"]) {
        const connection = await HttpConnection.open(url);
        await new Promise((resolve) => connection.socket.write(bytes.subarray(0, part), resolve));
        connection.socket[leave]();
        if (leave === "end") await connection.closedByPeer();
      }
    }
    await healthyCall();
    assert.equal(upstream.callsOf("large"), before);
    assert.equal(decisionsOf(policy, "large").length, before);
  });

  for (const stream of [false, true]) {
    for (const leave of ["end", "resetAndDestroy"]) {
      test(`a client that leaves (${leave}) ${stream ? "mid-stream" : "while it waits"} ends nothing, ${way}`, async () => {
        const key = freshKey();
        const connection = await HttpConnection.open(url);
        connection.write(post(url, message("hold", { key, stream }, { progressToken: 1 }), headers()));
        await eventually("the call is at the upstream", () => held.has(key));
        if (stream) await eventually("the stream has begun", () => connection.socket.bytesRead > 0);
        connection.socket[leave]();
        const { call } = decisionsOf(policy, "hold").at(-1);
        await healthyCall();
        released(key);
        const outcome = await outcomeOf(policy, call);
        assert.deepEqual([outcome.status, outcome.reason], ["result", "ok"]);
      });
    }
  }

  test(`a client that leaves inside its answer, or right after it, changes nothing in the record, ${way}`, async () => {
    for (const [bytes, read] of [[1, 1], [8 * MiB, 1], [8 * MiB, 100_000], [1, 200]]) {
      const connection = await HttpConnection.open(url);
      connection.write(post(url, message("large", { bytes }), headers()));
      await eventually("some of the answer", () => connection.socket.bytesRead >= read);
      connection.socket.resetAndDestroy();
      const { call } = decisionsOf(policy, "large").at(-1);
      const outcome = await outcomeOf(policy, call);
      assert.deepEqual([outcome.status, outcome.answer_bytes > bytes], ["result", true]);
    }
    await healthyCall();
  });
}

test("a client that leaves while a stdio server works gets its outcome recorded", async () => {
  const file = path.join(folder("release"), "now");
  const local = await Session.open(gateway.url("local"), token);
  const before = decisionsOf(policy, "slow").length;
  const { exchange } = local.startCall("slow", { file });
  const call = await eventually("the call is on its way", () => decisionsOf(policy, "slow")[before]?.call);
  exchange.leave();
  fs.writeFileSync(file, "");
  assert.equal((await outcomeOf(policy, call)).status, "result");
  await local.end();
});

test("a client that ends its session while it waits gets an answer, and the outcome is recorded", async () => {
  for (const id of ["remote", "local"]) {
    const leaving = await Session.open(gateway.url(id), token);
    const [tool, args] = id === "remote" ? ["hold", { key: freshKey() }] : ["never", {}];
    const before = decisionsOf(policy, tool).length;
    const { exchange } = leaving.startCall(tool, args);
    const call = await eventually("the call is on its way", () => decisionsOf(policy, tool)[before]?.call);
    assert.equal((await leaving.end()).status, 200);
    const answer = await exchange.whole();
    assert.ok(answer.json.error.data.reason, answer.body);
    assert.equal((await outcomeOf(policy, call)).status, "failed");
    assert.equal((await leaving.start("ping").exchange.whole()).status, 404);
  }
});

// --- slow, or deaf ------------------------------------------------------------------------------------------------

test("a slow loris gets 408 and holds up nobody", async () => {
  const bytes = post(url, message("ok", {}), [bearer(token)]);
  const places = { head: 0, body: headOf(bytes).length };
  const connections = [];
  for (const from of Object.values(places)) {
    for (let i = 0; i < 50; ++i) {
      const connection = await HttpConnection.open(url);
      let at = from;
      if (from > 0) connection.write(bytes.subarray(0, from));
      const timer = setInterval(() => (connection.ended ? clearInterval(timer) : connection.write(bytes.subarray(at, ++at))), 1000);
      connections.push({ connection, timer });
    }
  }
  const begun = Date.now();
  await healthyCall();
  assert.ok(Date.now() - begun < 2000, "others are served at once");
  const answers = await Promise.all(connections.map(({ connection }) => connection.response(40_000)));
  for (const answer of answers) assert.deepEqual([answer?.status, reasonOf(answer)], [408, "http_timeout"]);
  connections.forEach(({ connection, timer }) => (clearInterval(timer), connection.close()));
});

// A POST on a socket that nobody reads.
async function deaf(body, headers) {
  const connection = await HttpConnection.open(url);
  connection.socket.pause();
  connection.write(post(url, body, headers));
  return connection;
}

test("a client that never reads its stream holds the upstream back, and memory stays bounded", async () => {
  const before = memory(gateway);
  const connections = [];
  const states = [];
  const kCount = 20_000, kSize = 4096;
  for (let i = 0; i < 10; ++i) {
    const key = freshKey();
    const headers = i % 2 === 0 ? ways["in a session"]() : ways["without a session"]();
    connections.push(await deaf(message("events", { key, count: kCount, size: kSize }), headers));
    states.push(await eventually("events are sent", () => held.get(key)));
  }
  // Until nothing moves any more.
  let last = -1;
  await eventually("the upstream is held back", async () => {
    const now = states.reduce((sum, { sent }) => sum + sent, 0);
    const still = now === last;
    last = now;
    await new Promise((resolve) => setTimeout(resolve, 300));
    return still;
  });
  for (const { sent } of states) assert.ok(sent < kCount, "the upstream could send everything to a client that reads nothing");
  const grown = memory(gateway) - before;
  console.log(`# 10 unread streams: ${states.map(({ sent }) => sent)} of ${kCount} events taken, the gateway grew by ${(grown / MiB).toFixed(1)} MiB`);
  assert.ok(grown < 32 * MiB * memoryFactor, `${grown} bytes`);
  await healthyCall();
  const decisions = decisionsOf(policy, "events").slice(-10);
  connections.forEach((connection) => connection.socket.resetAndDestroy());
  for (const { call } of decisions) assert.equal((await outcomeOf(policy, call)).status, "result", "without a reader the call goes on to its end");
});

test("clients that never read large answers cost the memory of their answers, not more each time, and nobody else anything", async () => {
  const kClients = 8, kBytes = 8 * MiB;
  const before = memory(gateway);
  const large = () => ledger(policy).filter(({ kind, answer_bytes }) => kind === "outcome" && answer_bytes > kBytes).length;
  const earlier = large();
  for (let round = 1; round <= 4; ++round) {
    const connections = [];
    for (let i = 0; i < kClients; ++i) connections.push(await deaf(message("large", { bytes: kBytes }), ways["without a session"]()));
    await eventually("all outcomes", () => large() === earlier + round * kClients);
    await healthyCall();
    const grown = memory(gateway) - before;
    connections.forEach((connection) => connection.socket.resetAndDestroy());
    console.log(`# ${kClients} unread answers of ${kBytes / MiB} MiB, round ${round}: the gateway grew by ${(grown / MiB).toFixed(1)} MiB`);
    assert.ok(grown < 5 * kClients * kBytes * memoryFactor, `${grown} bytes`);
  }
});

test("a client that reads nothing of its standalone stream is dropped from, not waited for", async () => {
  const silent = await Session.open(url, token);
  const upstreamSession = [...upstream.live.keys()].at(-1);
  const listening = silent.get();
  await listening.head;
  listening.response.pause();
  await eventually("the upstream's stream", () => upstream.streams.has(upstreamSession));
  const before = memory(gateway);
  let sent = 0;
  const stream = upstream.streams.get(upstreamSession);
  // As much as is taken within two seconds, 64 MiB at most.
  const end = Date.now() + 2000;
  while (sent < 16_384 && Date.now() < end) {
    if (upstream.tell(upstreamSession, { method: "notifications/message", params: { level: "info", data: `${sent} ${"x".repeat(4096)}` } })) ++sent;
    else await Promise.race([new Promise((resolve) => stream.once("drain", resolve)), new Promise((resolve) => setTimeout(resolve, 100))]);
  }
  const grown = memory(gateway) - before;
  console.log(`# an unread standalone stream: ${sent} events sent, the gateway grew by ${(grown / MiB).toFixed(1)} MiB`);
  assert.ok(grown < 16 * MiB * memoryFactor, `${grown} bytes`);
  assert.equal(textOf(await silent.call("ok")), "fine", "its own calls go on");
  await healthyCall();
  listening.leave();
  assert.equal((await silent.end()).status, 200);
});

// --- floods ---------------------------------------------------------------------------------------------------------

test("500 pipelined requests are answered in order, each once", async () => {
  const connection = await HttpConnection.open(gateway.url("echo"));
  const before = decisionsOf(policy, "echo").length;
  const kCount = 500;
  const requests = Array.from({ length: kCount }, (_, id) =>
    post(gateway.url("echo"), { jsonrpc: "2.0", id, method: "tools/call", params: { name: "echo", arguments: { text: `text ${id}` } } }, [bearer(token)]));
  connection.write(Buffer.concat(requests));
  for (let id = 0; id < kCount; ++id) {
    const { json } = await connection.response();
    assert.deepEqual([json.id, json.result.content[0].text], [id, `text ${id}`]);
  }
  connection.close();
  assert.equal(decisionsOf(policy, "echo").length - before, kCount);
});

test("600 parallel requests on 300 connections are all answered, and the healthy client goes on", async () => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 300 });
  const many = new Session(url, token, { agent });
  many.id = session.id;
  many.nextId = 1_000_000;
  const before = upstream.callsOf("ok");
  const memoryBefore = memory(gateway);
  const answers = Array.from({ length: 600 }, () => many.call("ok"));
  await healthyCall();
  const reasons = new Map();
  for (const answer of await Promise.all(answers)) {
    const key = answer.error?.data.reason ?? textOf(answer);
    reasons.set(key, (reasons.get(key) ?? 0) + 1);
  }
  console.log(`# ${JSON.stringify(Object.fromEntries(reasons))}`);
  // Whatever was not passed on says that it may be tried again.
  for (const key of reasons.keys()) assert.ok(["fine", "overloaded", "decision_timeout", "ledger_late"].includes(key), key);
  assert.equal(upstream.callsOf("ok") - before, (reasons.get("fine") ?? 0) + 1);
  agent.destroy();
  const grown = memory(gateway) - memoryBefore;
  assert.ok(grown < 64 * MiB * memoryFactor, `${grown} bytes`);
});

test("connections that open and vanish by the hundred cost nothing", async () => {
  for (let round = 0; round < 5; ++round) {
    const connections = await Promise.all(Array.from({ length: 200 }, () => HttpConnection.open(url)));
    connections.forEach((connection) => connection.socket.resetAndDestroy());
  }
  await healthyCall();
});

test("too many sessions get 503, and one that ends makes room", async () => {
  const directory = policyDirectory({ upstreams: { remote: { url: upstream.url } }, maxSessions: 3 });
  const small = await start(directory);
  const access = mint(directory);
  const open = [];
  for (let i = 0; i < 3; ++i) open.push(await Session.open(small.url("remote"), access));
  for (let i = 0; i < 5; ++i) {
    const refused = await new Session(small.url("remote"), access).begin();
    assert.deepEqual([refused.status, refused.message.error.data.reason, refused.message.error.data.retryable], [503, "session_limit", true]);
    assert.equal(refused.headers["mcp-session-id"], undefined);
  }
  assert.equal(textOf(await open[0].call("ok")), "fine");
  assert.equal((await open[1].end()).status, 200);
  open.push(await Session.open(small.url("remote"), access));
  await eventually("the upstream keeps only what we keep", () => upstream.live.size <= 3 + 20);
  assert.equal((await small.stop()).code, 0);
});

test("initialize a hundred times at once, of a server that is a process: bounded, and told", async () => {
  const directory = policyDirectory({ upstreams: { echo: { command: stub("echo-server.mjs"), maxSessions: 2 } } });
  const small = await start(directory);
  const access = mint(directory);
  const begun = await Promise.all(Array.from({ length: 100 }, () => new Session(small.url("echo"), access).begin()));
  const good = begun.filter(({ message: { result } }) => result);
  assert.equal(good.length, 2);
  for (const { message: { error } } of begun) if (error) assert.equal(error.data.reason, "session_limit");
  const alone = await new Session(small.url("echo"), access).call("echo", { text: "x" });
  assert.equal(textOf(alone), "x", "requests without a session go on");
  assert.equal((await small.stop()).code, 0);
});

// --- answers that nobody asked for ------------------------------------------------------------------------------------

const answersTo = (id) => upstream.answers.filter((answer) => answer.message.id === id);
const sampled = (value) => ({ role: "assistant", content: { type: "text", text: value }, model: "none" });

async function question(from = session) {
  const id = freshKey();
  const { exchange } = from.startCall("asks", { id });
  const asked = await exchange.find(({ method }) => method === "sampling/createMessage");
  return { id, exchange, asked: asked.message, finish: () => held.get(id).end("done") };
}

test("a second answer to a server's question does not reach the server", async () => {
  const { id, asked, exchange, finish } = await question();
  assert.equal((await session.answer(asked.id, sampled("first"))).status, 202);
  await eventually("the first answer", () => answersTo(id).length === 1);
  const second = await session.answer(asked.id, sampled("second"));
  assert.deepEqual([second.status, reasonOf(second)], [400, "rpc_invalid"]);
  finish();
  assert.equal(textOf((await exchange.find(({ result }) => result)).message), "done");
  assert.deepEqual(answersTo(id).map(({ message: { result } }) => result.content.text), ["first"]);
});

test("two answers at once: exactly one reaches the server", async () => {
  const { id, asked, exchange, finish } = await question();
  const both = await Promise.all([1, 2, 3, 4].map((n) => session.answer(asked.id, sampled(String(n)))));
  assert.deepEqual(both.map(({ status }) => status).sort(), [202, 400, 400, 400]);
  await eventually("one answer", () => answersTo(id).length === 1);
  finish();
  await exchange.all();
  assert.equal(answersTo(id).length, 1);
});

test("answers with ids that nobody gave out are refused", async () => {
  const { id, asked, exchange, finish } = await question();
  const before = upstream.answers.length;
  for (const wrong of [asked.id + 1, asked.id + 1000, -1, 0, String(asked.id), `${asked.id}.0`, id, 2 ** 53]) {
    const refused = await session.answer(wrong, sampled("mine"));
    assert.deepEqual([refused.status, reasonOf(refused)], [400, "rpc_invalid"], JSON.stringify(wrong));
  }
  // Without the session there is nothing to answer either.
  const refused = await new Session(url, token).answer(asked.id, sampled("mine"));
  assert.equal(refused.status, 400);
  assert.equal(upstream.answers.length, before);
  await session.answer(asked.id, sampled("right"));
  await eventually("the right answer", () => answersTo(id).length === 1);
  finish();
  await exchange.all();
});

test("another session's answer does not reach the server, whoever holds it", async () => {
  const { id, asked, exchange, finish } = await question();
  const sibling = await Session.open(url, token, { capabilities: { sampling: {} } });
  const foreign = await Session.open(url, stranger, { capabilities: { sampling: {} } });
  for (const from of [sibling, foreign]) {
    const refused = await from.answer(asked.id, sampled("stolen"));
    assert.deepEqual([refused.status, reasonOf(refused)], [400, "rpc_invalid"]);
  }
  for (const access of [stranger, other]) {
    const thief = new Session(url, access);
    thief.id = session.id;
    assert.equal((await thief.answer(asked.id, sampled("stolen"))).status, 404);
  }
  assert.equal(answersTo(id).length, 0);
  await session.answer(asked.id, sampled("right"));
  await eventually("the right answer", () => answersTo(id).length === 1);
  assert.equal(answersTo(id)[0].message.result.content.text, "right");
  finish();
  await exchange.all();
  for (const from of [sibling, foreign]) assert.equal((await from.end()).status, 200);
});

test("a client that answers with an error, or leaves instead, is told to the server as that", async () => {
  const refusing = await question();
  const said = await session.post({ jsonrpc: "2.0", id: refusing.asked.id, error: { code: -1, message: "no" } }).whole();
  assert.equal(said.status, 202);
  await eventually("the error", () => answersTo(refusing.id).length === 1);
  assert.deepEqual(answersTo(refusing.id)[0].message.error, { code: -1, message: "no" });
  refusing.finish();
  await refusing.exchange.all();

  const leaving = await Session.open(url, token, { capabilities: { sampling: {} } });
  const left = await question(leaving);
  const decision = ledger(policy).findLast((leaf) => leaf.kind === "decision" && leaf.direction === "server");
  assert.equal((await leaving.end()).status, 200);
  const outcome = await outcomeOf(policy, decision.call);
  assert.deepEqual([outcome.status, outcome.reason], ["failed", "client_gone"]);
  await left.exchange.all();
});

test("a question that the client never declared to answer does not reach it", async () => {
  const plain = await Session.open(url, token);
  const id = freshKey();
  const { exchange } = plain.startCall("asks", { id });
  await eventually("the refusal", () => answersTo(id).length === 1);
  assert.equal(answersTo(id)[0].message.error.data.reason, "capability_missing");
  held.get(id).end("done");
  assert.deepEqual((await exchange.all()).filter(({ message: { method } }) => method).length, 0);
  await plain.end();
});

// --- what belongs to somebody else ----------------------------------------------------------------------------------

test("another principal's session id is 404 for everything, as is one of another path", async () => {
  for (const [where, access] of [[url, stranger], [url, other], [gateway.url("local"), token], [new URL("/mcp", url).href, token]]) {
    const thief = new Session(where, access);
    thief.id = session.id;
    const tried = [
      thief.start("ping").exchange, thief.startCall("ok").exchange, thief.get(), thief.get({ "Last-Event-ID": "1-0" }),
      thief.get({ "Last-Event-ID": "2-0" }), thief.post({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 1 } }),
    ];
    for (const exchange of tried) {
      const answer = await exchange.whole();
      assert.deepEqual([answer.status, reasonOf(answer)], [404, "session_unknown"]);
    }
    assert.deepEqual([(await thief.end()).status], [404]);
  }
  await healthyCall();
});

test("a session id without a token, or with a broken one, is 401", async () => {
  for (const access of ["", "x.y.z", token.slice(0, -4)]) {
    const thief = new Session(url, access);
    thief.id = session.id;
    for (const exchange of [thief.start("ping").exchange, thief.get()]) assert.equal((await exchange.whole()).status, 401);
    assert.equal((await thief.end()).status, 401);
  }
  await healthyCall();
});

test("nobody cancels another's call", async () => {
  const key = freshKey();
  const { id, exchange } = session.startCall("hold", { key });
  await eventually("the call is at the upstream", () => held.has(key));
  const foreign = await Session.open(url, stranger);
  const sibling = await Session.open(url, token);
  for (const from of [foreign, sibling, new Session(url, stranger), new Session(url, token)]) await from.notify("notifications/cancelled", { requestId: id });
  released(key);
  assert.equal(textOf((await exchange.whole()).json), "at last");
  for (const from of [foreign, sibling]) await from.end();
});

// Begins a stream of events in `of`, reads some, and leaves. Gives the event ids.
async function interrupted(of, count, size = 10) {
  const key = freshKey();
  const { exchange } = of.startCall("events", { key, count, size, open: true });
  const first = await exchange.next();
  assert.ok(first.id, "events have ids");
  exchange.leave();
  const state = await eventually("all events are sent", () => held.get(key)?.sent === count && held.get(key));
  return { first, finish: () => state.call.end("done") };
}

test("a stream that broke is resumed where it broke, by its owner alone", async () => {
  const { first, finish } = await interrupted(session, 100);
  const foreign = await Session.open(url, stranger);
  for (const last of [first.id, first.id.replace(/-.*/, "-0")]) {
    const thief = new Session(url, stranger);
    thief.id = session.id;
    assert.equal((await thief.get({ "Last-Event-ID": last }).whole()).status, 404);
    // In a session of his own the id means nothing, or his own events.
    const own = foreign.get({ "Last-Event-ID": last });
    const head = await own.head;
    if (head.status === 400) assert.equal(reasonOf(await own.whole()), "resume_unknown");
    else {
      assert.equal(head.status, 200);
      own.leave();
      for (const event of await own.all()) assert.notEqual(event.message.method, "notifications/message");
    }
  }
  finish();
  const resumed = session.get({ "Last-Event-ID": first.id });
  const events = await resumed.all();
  assert.equal(textOf(events.at(-1).message), "done");
  const numbers = events.slice(0, -1).map(({ message: { params } }) => Number(params.data.split(" ")[0]));
  assert.deepEqual(numbers, Array.from({ length: 99 }, (_, at) => at + 1), "each event once, in order");
  await foreign.end();
});

test("what the bounded store has dropped is not resumed, in parts or otherwise", async () => {
  for (const [count, size] of [[2000, 10], [300, 4096]]) {
    const { first, finish } = await interrupted(session, count, size);
    const old = await session.get({ "Last-Event-ID": first.id }).whole();
    assert.deepEqual([old.status, reasonOf(old)], [400, "resume_unknown"]);
    finish();
  }
  for (const last of ["", "0", "1", "-", "1-", "-1", "1-x", "99999-0", "1-99999", "2-18446744073709551615", "18446744073709551616-0", "2-0-0", "abc", "1".repeat(2000)]) {
    const answer = await session.get({ "Last-Event-ID": last }).whole();
    assert.deepEqual([answer.status, reasonOf(answer)], [400, "resume_unknown"], `Last-Event-ID: ${last}`);
  }
  await healthyCall();
});

test("streams by the hundred are not all kept", async () => {
  const before = memory(gateway);
  for (let i = 0; i < 60; ++i) {
    const { finish } = await interrupted(session, 60, 4096);
    finish();
  }
  const grown = memory(gateway) - before;
  console.log(`# 60 broken streams of 240 KiB: the gateway grew by ${(grown / MiB).toFixed(1)} MiB`);
  assert.ok(grown < 24 * MiB * memoryFactor, `${grown} bytes`);
});

test("every call that was decided has its outcome, and the gateway ends in order", async () => {
  await healthyCall();
  for (const call of held.values()) call.res?.destroy();
  assert.equal((await within(20_000, "the end", gateway.stop())).code, 0);
  const leaves = ledger(policy);
  const calls = new Map();
  for (const leaf of leaves) if (leaf.call) calls.set(leaf.call, [...(calls.get(leaf.call) ?? []), leaf.kind]);
  for (const [call, kinds] of calls) assert.deepEqual(kinds, ["decision", "outcome"], call);
  console.log(`# ${calls.size} calls`);
});
