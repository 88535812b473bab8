// HTTP upstreams that misbehave: the call concerned gets a clear error with its reason, both its leaves are in the record,
// everything else goes on, and the gateway stays small.
import assert from "node:assert/strict";
import net from "node:net";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { drained, startHttpServer, text } from "./fixtures/http-server.mjs";
import { eventually, leavesOf, ledger, mint, policyDirectory, start } from "./lib/harness.mjs";
import { assertMemory, MiB, outcomeOf } from "./lib/gateway.mjs";
import { Session, textOf } from "./lib/session.mjs";

const kHuge = 100 * MiB;

// --- the upstreams ----------------------------------------------------------------------------------------

// Writes as fast as the other side takes it, until `bytes` are written or nobody is there.
async function pour(res, bytes) {
  const piece = Buffer.alloc(MiB, "x");
  for (let sent = 0; sent < bytes && !res.destroyed; sent += piece.length) {
    if (!res.write(piece)) await drained(res);
  }
}

// One byte a second, for as long as somebody reads.
function drip(socket, bytes) {
  let at = 0;
  const timer = setInterval(() => (at < bytes.length && !socket.destroyed ? socket.write(bytes.slice(at, ++at)) : clearInterval(timer)), 1000);
}

let redirected = 0;
const elsewhere = net.createServer((socket) => {
  ++redirected;
  socket.destroy();
});
await new Promise((resolve) => elsewhere.listen(0, "127.0.0.1", resolve));

const raw = (call, ...pieces) => pieces.forEach((piece) => call.res.socket.write(piece));
const tools = {
  ok: (call) => call.answer("fine"),
  "ok-stream": (call) => call.stream().end("fine"),
  "dies-before-head": ({ res }) => res.socket.destroy(),
  "dies-in-head": (call) => {
    raw(call, "HTTP/1.1 200 OK\r\nContent-Ty");
    call.res.socket.end();
  },
  "dies-in-body": (call) => {
    raw(call, 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"jsonrpc":');
    call.res.socket.end();
  },
  "dies-in-chunk": (call) => {
    raw(call, 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{"jsonrpc":');
    call.res.socket.resetAndDestroy();
  },
  "dies-mid-stream": (call) => {
    call.stream().progress(1);
    setImmediate(() => call.res.socket.destroy());
  },
  "dies-mid-event": (call) => {
    call.stream().res.write('event: message\ndata: {"jsonrpc":"2.0"');
    setImmediate(() => call.res.socket.destroy());
  },
  "ends-without-answer": (call) => {
    call.stream().progress(1);
    call.res.end();
  },
  "huge-json": async (call) => {
    call.res.writeHead(200, { "Content-Type": "application/json" });
    call.res.write(`{"jsonrpc":"2.0","id":${call.id},"result":{"content":[{"type":"text","text":"`);
    await pour(call.res, kHuge);
    call.res.end('"}]}}');
  },
  "huge-json-that-says-so": async (call) => {
    call.res.writeHead(200, { "Content-Type": "application/json", "Content-Length": kHuge });
    await pour(call.res, kHuge);
  },
  "huge-event": async (call) => {
    call.stream().res.write(`data: {"jsonrpc":"2.0","id":${call.id},"result":{"content":[{"type":"text","text":"`);
    await pour(call.res, kHuge);
    call.res.end('"}]}}\n\n');
  },
  "huge-comment": async (call) => {
    call.stream().res.write(":");
    await pour(call.res, kHuge);
    call.res.end();
  },
  "huge-head": async (call) => {
    raw(call, "HTTP/1.1 200 OK\r\nX-A: ");
    await pour(call.res.socket, kHuge);
  },
  "endless-informational": (call) => {
    const timer = setInterval(() => (call.res.socket.destroyed ? clearInterval(timer) : raw(call, "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000))), 1);
  },
  "slow-head": ({ res }) => drip(res.socket, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"),
  "slow-body": (call) => {
    raw(call, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n");
    drip(call.res.socket, '{"jsonrpc":"2.0",');
  },
  "slow-stream": (call) => {
    call.stream();
    drip(call.res, 'data: {"jsonrpc":"2.0",');
  },
  never: () => {},
  "never-after-head": (call) => call.stream(),
  "answers-twice": (call) => {
    call.stream().send(call.result(text("first")));
    call.send(call.result(text("second")));
    call.res.end();
  },
  "unknown-id": (call) => call.json({ jsonrpc: "2.0", id: call.id + 1_000_000, result: text("for whom?") }),
  "id-as-text": (call) => call.json({ jsonrpc: "2.0", id: String(call.id), result: text("for whom?") }),
  "unknown-id-in-stream": (call) => {
    call.stream().send({ id: call.id + 1_000_000, result: text("for whom?") });
    call.res.end();
  },
  "unknown-id-first": (call) => {
    call.stream().send({ id: call.id + 1_000_000, result: text("for whom?") });
    call.end("fine");
  },
  "a-request-as-json": (call) => call.json({ jsonrpc: "2.0", id: call.id, method: "ping" }),
  "a-batch": (call) => call.json([call.result(text("a"))]),
  redirect: ({ res }) => res.writeHead(307, { Location: `http://127.0.0.1:${elsewhere.address().port}/mcp` }).end(),
  "redirect-home": ({ res }) => res.writeHead(302, { Location: "/mcp" }).end(),
  html: ({ res }) => res.writeHead(200, { "Content-Type": "text/html" }).end("<html>"),
  "no-type": (call) => {
    raw(call, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    call.res.socket.end();
  },
  "accepted-only": ({ res }) => res.writeHead(202).end(),
  "empty-json": ({ res }) => res.writeHead(200, { "Content-Type": "application/json" }).end(),
  unauthorized: ({ res }) => res.writeHead(401, { "WWW-Authenticate": 'Bearer scope="upstream"' }).end(),
  "server-error": ({ res }) => res.writeHead(500, { "Content-Type": "text/plain" }).end("panic: secret detail"),
  "not-json": (call) => call.json("Segmentation fault (core dumped)"),
  "duplicate-keys": (call) => call.json(`{"jsonrpc":"2.0","id":${call.id},"result":{"content":[],"isError":true,"isError":false}}`),
  "invalid-utf8": (call) => call.json(Buffer.concat([
    Buffer.from(`{"jsonrpc":"2.0","id":${call.id},"result":{"content":[{"type":"text","text":"`), Buffer.from([0xc3, 0x28]), Buffer.from('"}]}}'),
  ])),
  "too-deep": (call) => call.json(`{"jsonrpc":"2.0","id":${call.id},"result":${"[".repeat(100_000)}${"]".repeat(100_000)}}`),
  gzip: (call) => call.json(gzipSync(JSON.stringify(call.result(text("x")))), { "Content-Encoding": "gzip" }),
  "two-lengths": (call) => raw(call, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nContent-Length: 4\r\n\r\n{}{}"),
  "length-and-chunks": (call) => raw(call, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
  "not-http": (call) => raw(call, "220 smtp.example ESMTP\r\n"),
  "not-sse": (call) => call.stream().res.end("data: not json\n\n"),
};

// What goes wrong, the reason, and whether the client may try again.
const failures = {
  "dies-before-head": "upstream_died", "dies-in-head": "upstream_died", "dies-in-body": "upstream_died", "dies-in-chunk": "upstream_died",
  "dies-mid-stream": "upstream_died", "dies-mid-event": "upstream_died", "ends-without-answer": "upstream_died",
  "huge-json": "upstream_answer_too_large", "huge-json-that-says-so": "upstream_answer_too_large", "huge-event": "upstream_answer_too_large",
  "huge-comment": "upstream_answer_too_large", "huge-head": "upstream_invalid_message", "endless-informational": "upstream_invalid_message",
  "slow-head": "upstream_timeout", "slow-body": "upstream_timeout", "slow-stream": "upstream_timeout", never: "upstream_timeout",
  "never-after-head": "upstream_timeout", "unknown-id": "upstream_invalid_message", "id-as-text": "upstream_invalid_message",
  "unknown-id-in-stream": "upstream_died", "a-request-as-json": "upstream_invalid_message", "a-batch": "upstream_invalid_message",
  redirect: "upstream_invalid_message", "redirect-home": "upstream_invalid_message", html: "upstream_invalid_message",
  "no-type": "upstream_invalid_message", "accepted-only": "upstream_invalid_message", "empty-json": "upstream_invalid_message",
  unauthorized: "upstream_unavailable", "server-error": "upstream_invalid_message", "not-json": "upstream_invalid_message",
  "duplicate-keys": "upstream_invalid_message", "invalid-utf8": "upstream_invalid_message", "too-deep": "upstream_invalid_message",
  gzip: "upstream_invalid_message", "two-lengths": "upstream_invalid_message", "length-and-chunks": "upstream_invalid_message",
  "not-http": "upstream_invalid_message", "not-sse": "upstream_died",
};

const bad = await startHttpServer({ tools });
const good = await startHttpServer({ tools: { ok: tools.ok, "ok-stream": tools["ok-stream"] } });

// Accepts connections and reads nothing, or does with what comes as it is told.
async function plain(take = (socket) => socket.pause()) {
  const sockets = new Set();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    take(socket);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}/mcp`, close: () => (sockets.forEach((socket) => socket.destroy()), server.close()) };
}
const deaf = await plain();
// Ways to fail at initialize.
const beginnings = {
  "init-redirect": [({ res }) => res.writeHead(308, { Location: `http://127.0.0.1:${elsewhere.address().port}/` }).end(), "upstream_invalid_message"],
  "init-html": [({ res }) => res.writeHead(200, { "Content-Type": "text/html" }).end("<html>"), "upstream_invalid_message"],
  "init-500": [({ res }) => res.writeHead(500).end(), "upstream_invalid_message"],
  "init-503": [({ res }) => res.writeHead(503).end(), "upstream_unavailable"],
  "init-old": [(call) => call.json(call.result({ protocolVersion: "1999-01-01", capabilities: {}, serverInfo: { name: "x", version: "1" } })), "upstream_invalid_message"],
  "init-no-capabilities": [(call) => call.json(call.result({ protocolVersion: "2025-11-25" })), "upstream_invalid_message"],
  "init-bad-session": [(call) => call.json(call.result({ protocolVersion: "2025-11-25", capabilities: {}, serverInfo: { name: "x", version: "1" } }), { "Mcp-Session-Id": "caf\u00e9" }), "upstream_invalid_message"],
  "init-long-session": [(call) => call.json(call.result({ protocolVersion: "2025-11-25", capabilities: {}, serverInfo: { name: "x", version: "1" } }), { "Mcp-Session-Id": "x".repeat(5000) }), "upstream_invalid_message"],
  "init-never": [() => {}, "upstream_timeout"],
  "init-dies": [({ res }) => res.socket.destroy(), "upstream_died"],
};
const beginners = {};
for (const [id, [begin]] of Object.entries(beginnings)) {
  beginners[id] = await startHttpServer({ take: (call) => call.message.method === "initialize" && (begin(call), true) });
}

const upstreams = {
  bad: { url: bad.url, timeoutSeconds: 3, headers: { "X-Key": "of the upstream" } }, good: { url: good.url },
  deaf: { url: deaf.url, timeoutSeconds: 3, startTimeoutSeconds: 2 }, nobody: { url: "http://127.0.0.1:9/mcp", startTimeoutSeconds: 2 },
  ...Object.fromEntries(Object.entries(beginners).map(([id, { url }]) => [id, { url, startTimeoutSeconds: 2 }])),
};
const policy = policyDirectory({ upstreams });
const gateway = await start(policy);
const token = mint(policy);
const session = await Session.open(gateway.url("bad"), token);
const healthy = await Session.open(gateway.url("good"), token);
after(() => {
  [bad, good, deaf, elsewhere, ...Object.values(beginners)].forEach((server) => server.close());
});

// --- one call at a time ------------------------------------------------------------------------------------

for (const [tool, reason] of Object.entries(failures)) {
  test(`an upstream that does "${tool}" costs that call only`, { concurrency: false }, async () => {
    const calling = session.call(tool, {}, { progressToken: "p" });
    assert.equal(textOf(await healthy.call("ok-stream")), "fine", "another upstream is not disturbed");
    const answer = await calling;
    assert.equal(answer.http.status, 200);
    assert.equal(answer.error?.code, -32001, JSON.stringify(answer).slice(0, 500));
    assert.deepEqual([answer.error.data.reason, answer.error.data.retryable], [reason, reason === "upstream_unavailable"], answer.error.message);
    assert.doesNotMatch(answer.error.message, /secret detail/);
    const { decision, outcome } = leavesOf(policy, answer.error.data.callId);
    assert.deepEqual([decision.verdict, outcome.status, outcome.reason], ["allow", "failed", reason]);
    assert.equal(textOf(await session.call("ok")), "fine", "the same session goes on");
  });
}

test("a call is sent once, whatever became of it", () => {
  for (const tool of Object.keys(failures)) assert.equal(bad.callsOf(tool), 1, tool);
});

test("no redirect was followed, and every call carried the upstream's own headers, not the client's", () => {
  assert.equal(redirected, 0);
  for (const { headers } of bad.heads) {
    assert.equal(headers["x-key"], "of the upstream");
    assert.equal(headers.authorization, undefined);
  }
});

test("a second answer is dropped and noted", async () => {
  assert.equal(textOf(await session.call("answers-twice")), "first");
  assert.equal(textOf(await session.call("ok")), "fine");
});

test("an answer for nobody is dropped and noted", async () => {
  assert.equal(textOf(await session.call("unknown-id-first")), "fine");
  await eventually("a notice", () => ledger(policy).some(({ event, upstream }) => event === "answer_without_request" && upstream === "bad"));
});

test("100 MB answers leave the gateway below 200 MB, all at once, too", async () => {
  const many = ["huge-json", "huge-event", "huge-json-that-says-so", "huge-json", "huge-event"].map((tool) => session.call(tool));
  for (const answer of await Promise.all(many)) assert.equal(answer.error.data.reason, "upstream_answer_too_large");
  assertMemory(gateway, 200 * MiB);
});

// --- sessions ------------------------------------------------------------------------------------------------

test("an upstream that never reads fails alone, and at the start", async () => {
  const unread = new Session(gateway.url("deaf"), token);
  const answer = await unread.begin();
  assert.equal(answer.message.error.data.reason, "upstream_timeout", answer.body);
  assert.equal(textOf(await healthy.call("ok")), "fine");
});

test("an upstream that stops reading mid-body times out", async () => {
  // Reads whole what is small, and answers it; of a large request it reads the head only.
  const mute = await plain((socket) => {
    let said = "";
    socket.setEncoding("latin1").on("data", (piece) => {
      said += piece;
      const [, length] = /\r\ncontent-length: (\d+)\r\n/i.exec(said) ?? [];
      if (Number(length) > 1 << 20) return socket.pause();
      const at = said.indexOf("\r\n\r\n") + 4;
      if (length === undefined || at < 4 || said.length < at + Number(length)) return undefined;
      const { id } = JSON.parse(said.slice(at));
      const body = JSON.stringify({ jsonrpc: "2.0", id, result: { protocolVersion: "2025-11-25", capabilities: { tools: {} }, serverInfo: { name: "mute", version: "1" } } });
      return socket.end(id === undefined ? "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        : `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    });
  });
  after(() => mute.close());
  const directory = policyDirectory({ upstreams: { mute: { url: mute.url, timeoutSeconds: 2 } } });
  const other = await start(directory);
  const client = await Session.open(other.url("mute"), mint(directory));
  const answer = await client.call("x", { text: "x".repeat(3 << 20) });
  assert.equal(answer.error.data.reason, "upstream_timeout", answer.error.message);
  assert.equal((await outcomeOf(directory, answer.error.data.callId)).reason, "upstream_timeout");
  await other.stop();
});

test("an upstream that is not there is unavailable, and that may be tried again", async () => {
  const { message } = await new Session(gateway.url("nobody"), token).begin();
  assert.deepEqual([message.error.data.reason, message.error.data.retryable], ["upstream_unavailable", true]);
  const alone = await new Session(gateway.url("nobody"), token).call("ok");
  assert.equal(alone.error.data.reason, "upstream_unavailable");
});

for (const [id, [, reason]] of Object.entries(beginnings)) {
  test(`a session whose upstream does "${id}" does not begin`, async () => {
    const client = new Session(gateway.url(id), token);
    const answer = await client.begin();
    assert.equal(answer.headers["mcp-session-id"], undefined, "there is no session");
    assert.equal(answer.message.error.data.reason, reason, answer.message.error.message);
    // Requests without a session do no better.
    const alone = await new Session(gateway.url(id), token).call("ok");
    assert.ok(alone.error, "nothing is answered");
    assert.equal(textOf(await healthy.call("ok")), "fine");
  });
}

test("an upstream that forgets its session ends ours with 404, and only that one", async () => {
  const [lost, kept] = [await Session.open(gateway.url("good"), token), await Session.open(gateway.url("good"), token)];
  assert.equal(textOf(await lost.call("ok")), "fine");
  const mine = good.heads.findLast(({ headers }) => headers["mcp-session-id"]).headers["mcp-session-id"];
  good.take = ({ session: which, res }) => which === mine && (res.writeHead(404).end(), true);
  const answer = await lost.call("ok");
  assert.deepEqual([answer.http.status, answer.error.data.reason, answer.error.data.retryable], [404, "upstream_session_lost", true]);
  assert.equal((await lost.start("ping").exchange.whole()).status, 404, "our session is gone, too");
  assert.equal(textOf(await kept.call("ok")), "fine");
  good.take = () => false;
  assert.equal(textOf(await (await Session.open(gateway.url("good"), token)).call("ok")), "fine", "initialize begins a new one");
});

test("requests without a session survive the loss of the session that they share", async () => {
  const alone = new Session(gateway.url("good"), token);
  assert.equal(textOf(await alone.call("ok")), "fine");
  const old = new Set(good.live.keys());
  good.take = ({ session: which, res }) => old.has(which) && (res.writeHead(404).end(), true);
  await eventually("a new session", async () => {
    const answer = await alone.call("ok");
    if (answer.error) assert.equal(answer.error.data.retryable, true, answer.error.message);
    return textOf(answer) === "fine";
  });
  good.take = () => false;
});

test("a flood of events before the answer is bounded", async () => {
  let sent = 0;
  bad.tools.flood = async (call) => {
    call.stream();
    for (; sent < 100_000 && !call.res.destroyed; ++sent) {
      if (!call.progress(sent)) await drained(call.res);
    }
    call.end("done");
  };
  const answer = await session.call("flood", {}, { progressToken: "p" });
  console.log(`# ${sent} events sent, ${answer.seen.length} passed on, ${answer.error?.data.reason ?? "answered"}`);
  assert.ok(answer.result || answer.error.data.reason.startsWith("upstream_"));
  answer.seen.forEach(({ params }, at) => assert.deepEqual([params.progressToken, params.progress], ["p", at], "in order, none changed"));
  assertMemory(gateway, 200 * MiB);
});

test("a flood of questions to the client is refused beyond a bound", async () => {
  const asking = await Session.open(gateway.url("bad"), token, { capabilities: { sampling: {} } });
  bad.tools.asks = (call) => {
    call.stream();
    for (let i = 0; i < 2000; ++i) call.send({ id: `q${i}`, method: "sampling/createMessage", params: { messages: [], maxTokens: 1 } });
    call.end("done");
  };
  const before = bad.answers.length;
  const answer = await asking.call("asks");
  assert.equal(textOf(answer), "done");
  assert.ok(answer.seen.length <= 256, `${answer.seen.length} questions reached the client`);
  await eventually("refusals for the rest", () => bad.answers.length - before >= 2000 - answer.seen.length);
  for (const { message } of bad.answers.slice(before)) assert.equal(message.error.data.reason, "overloaded", JSON.stringify(message));
  assert.equal((await asking.end()).status, 200);
});

test("the gateway ends in order", async () => {
  assert.equal((await gateway.stop()).code, 0);
  assert.equal(ledger(policy).at(-1).kind, "stop");
});
