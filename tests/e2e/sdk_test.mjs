// The official SDK and a raw-wire client, through HTTP and through `wrap`, against the two real servers: what comes out
// is what a direct run against the server gives, cut down to the grant.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import {
  atr, environment, eventually, everything, filesystem, folder, grantFile, ledger, mint, policyDirectory, start, within, zwinger,
} from "./lib/harness.mjs";
import { sdkHttp, sdkStdio } from "./lib/sdk.mjs";
import { bearer, HttpClient, HttpConnection, post, reasonOf, StdioClient } from "./lib/wire.mjs";

const files = folder("files");
const letter = path.join(files, "letter.txt");
fs.writeFileSync(letter, "Dear Sirs,\n");

// What is called on each server, and which of its tools the grant names.
const servers = {
  everything: { command: everything(), allowed: ["echo", "get-sum"], tool: "get-sum", args: { a: 2, b: 40 } },
  filesystem: {
    command: filesystem(files), allowed: ["list_directory", "read_text_file"], tool: "read_text_file", args: { path: letter },
  },
};
const home = folder("home");
const policy = policyDirectory({
  upstreams: Object.fromEntries(Object.entries(servers).map(([id, { command }]) => [id, { command, vertical: "shared" }])),
});
const gateway = await start(policy);

const grantFor = (id, more) => atr({ toolsInScope: servers[id].allowed.map((tool) => `${id}/${tool}`), ...more });
const wrapped = (id, grant = grantFor(id)) =>
  [zwinger, "wrap", "--id", id, "--grant", grantFile(grant), "--", ...servers[id].command];

// Both clients and both ways, with one face: initialize() gives the result, rpc(method, params) the result.
async function wireFace(client) {
  const { result } = await client.initialize();
  return {
    initialized: result, capabilities: result.capabilities, server: result.serverInfo, instructions: result.instructions,
    ping: async () => (await client.rpc("ping")).result,
    list: async () => {
      const answer = await client.rpc("tools/list");
      return { tools: answer.result.tools, raw: answer.raw };
    },
    call: async (name, args) => {
      const answer = await client.call(name, args);
      return { result: answer.result, raw: answer.raw };
    },
    close: () => client.close(),
  };
}

function sdkFace(client) {
  return {
    capabilities: client.getServerCapabilities(), server: client.getServerVersion(), instructions: client.getInstructions(),
    ping: () => client.ping(),
    list: async () => ({ tools: (await client.listTools()).tools }),
    call: async (name, args) => ({ result: await client.callTool({ name, arguments: args }) }),
    close: () => client.close(),
  };
}

const ways = {
  "SDK through HTTP": async (id) => sdkFace(await sdkHttp(gateway.url(id), mint(policy, grantFor(id)))),
  "SDK through wrap": async (id) => sdkFace(await sdkStdio(wrapped(id), environment(home))),
  "raw wire through HTTP": async (id) => wireFace(await HttpClient.open(gateway.url(id), mint(policy, grantFor(id)))),
  "raw wire through wrap": async (id) => wireFace(new StdioClient(wrapped(id), environment(home))),
};

// What a direct run gives. All of it before the first test: node:test calls the end when no test is left to run.
const direct = {};
for (const [id, { command, allowed, tool, args }] of Object.entries(servers)) {
  const client = await wireFace(new StdioClient(command, environment(home)));
  const { initialized, capabilities, server, instructions } = client;
  direct[id] = {
    initialized, capabilities, server, instructions, tools: (await client.list()).tools, call: (await client.call(tool, args)).result,
  };
  await client.close();
  assert.ok(direct[id].tools.length > allowed.length, "the server has tools that the grant hides");
}

for (const [id, { allowed, tool, args }] of Object.entries(servers)) {
  const expected = direct[id];
  for (const [way, connect] of Object.entries(ways)) {
    test(`${way} against ${id}`, async () => {
      const client = await connect(id);
      for (const part of ["capabilities", "server", "instructions"]) assert.deepEqual(client[part], expected[part], part);
      if (client.initialized) assert.deepEqual(client.initialized, expected.initialized);
      assert.deepEqual(await client.ping(), {});

      const list = await client.list();
      const visible = expected.tools.filter(({ name }) => allowed.includes(name));
      assert.equal(visible.length, allowed.length);
      assert.deepEqual(list.tools, visible, "the list holds the granted tools, as the server describes them");
      // The server writes with JSON.stringify, so equal bytes are equal text here.
      if (list.raw) for (const entry of visible) assert.ok(list.raw.includes(JSON.stringify(entry)), entry.name);

      const call = await client.call(tool, args);
      assert.deepEqual(call.result, expected.call);
      if (call.raw) assert.ok(call.raw.includes(JSON.stringify(expected.call)), "the result is passed on byte for byte");
      await client.close();
    });
  }
}

test("a grant without tools gives an empty list", async () => {
  const client = await HttpClient.open(gateway.url("everything"), mint(policy, atr({ toolsInScope: [] })));
  await client.initialize();
  assert.deepEqual((await client.rpc("tools/list")).result.tools, []);
  await client.close();
});

// --- progress and cancellation -----------------------------------------------------------------------

const kLong = "trigger-long-running-operation";
const longGrant = () => atr({ toolsInScope: [`everything/${kLong}`] });

test("progress reaches the SDK through wrap", async () => {
  const client = await sdkStdio(wrapped("everything", longGrant()), environment(home));
  const seen = [];
  const result = await client.callTool({ name: kLong, arguments: { duration: 0.4, steps: 4 } }, undefined,
    { onprogress: (progress) => seen.push(progress) });
  assert.match(result.content[0].text, /^Long running operation completed/);
  // The SDK drops a notification that arrives together with the result, so the last one may be missing.
  assert.deepEqual(seen.slice(0, 3), [1, 2, 3].map((progress) => ({ progress, total: 4 })));
  await client.close();
});

test("progress carries the client's own token, whatever Zwinger and the server used", async () => {
  const client = new StdioClient(wrapped("everything", longGrant()), environment(home));
  await client.initialize();
  const answer = await client.call(kLong, { duration: 0.2, steps: 2 }, { progressToken: "my-token-1" });
  assert.ok(answer.result);
  const progress = client.notifications.filter(({ method }) => method === "notifications/progress");
  assert.deepEqual(progress.map(({ params }) => params),
    [1, 2].map((step) => ({ progress: step, total: 2, progressToken: "my-token-1" })));
  await client.close();
});

// The newest long call ended as cancelled; as "not_forwarded" where that came between its decision and its forwarding.
async function assertCancelled(read) {
  const outcome = await eventually("an outcome leaf", () => {
    const { call } = read().findLast((leaf) => leaf.kind === "decision" && leaf.tool === kLong);
    return read().find((leaf) => leaf.kind === "outcome" && leaf.call === call);
  });
  assert.equal(outcome.reason, "cancelled");
  assert.ok(["cancelled", "not_forwarded"].includes(outcome.status), outcome.status);
}

test("cancellation through stdio: no answer, an outcome leaf, and the connection goes on", async () => {
  const state = folder("home");
  const client = new StdioClient(wrapped("everything", longGrant()), environment(state));
  await client.initialize();
  const { id } = client.begin("tools/call",
    { name: kLong, arguments: { duration: 60, steps: 600 }, _meta: { progressToken: 7 } });
  await client.notification(({ method, params }) => method === "notifications/progress" && params.progressToken === 7);
  await client.notify("notifications/cancelled", { requestId: id, reason: "changed my mind" });
  await assertCancelled(() => ledger(path.join(state, "state/zwinger"), "--state"));
  assert.deepEqual((await client.rpc("ping")).result, {});
  assert.ok(client.pending(id), "a cancelled request is not answered");
  await client.close();
});

test("cancellation through HTTP: the waiting request ends with its reason", async () => {
  const token = mint(policy, longGrant());
  const [first, second] = [await HttpClient.open(gateway.url("everything"), token), await HttpClient.open(gateway.url("everything"), token)];
  const id = "the-long-one";
  const params = { name: kLong, arguments: { duration: 60, steps: 60 } };
  first.connection.write(post(first.url, { jsonrpc: "2.0", id, method: "tools/call", params }, [bearer(token)]));
  await eventually("the call is on its way", () =>
    ledger(policy).some((leaf) => leaf.kind === "decision" && leaf.tool === kLong && leaf.verdict === "allow"));
  await second.notify("notifications/cancelled", { requestId: id });
  const answer = await first.connection.response();
  assert.equal(reasonOf(answer), "cancelled", answer.body);
  await assertCancelled(() => ledger(policy));
  assert.deepEqual((await first.rpc("ping")).result, {});
  await Promise.all([first.close(), second.close()]);
});

test("the SDK's abort signal cancels through HTTP", async () => {
  const client = await sdkHttp(gateway.url("everything"), mint(policy, longGrant()));
  const decisions = () => ledger(policy).filter((leaf) => leaf.kind === "decision" && leaf.tool === kLong);
  const before = decisions().length;
  const abort = new AbortController();
  const call = client.callTool({ name: kLong, arguments: { duration: 60, steps: 60 } }, undefined, { signal: abort.signal });
  const aborted = assert.rejects(call);
  await eventually("the call is on its way", () => decisions().length > before);
  abort.abort("enough");
  await within(10_000, "the SDK gives up", aborted);
  await assertCancelled(() => ledger(policy));
  await client.close();
});

test("GET and DELETE need a session", async () => {
  const token = mint(policy, grantFor("everything"));
  for (const [method, session, status, reason] of [
    ["GET", "", 405, "http_method"], ["DELETE", "", 400, "session_unknown"],
    ["GET", "Mcp-Session-Id: 0123456789abcdef0123456789abcdef\r\n", 404, "session_unknown"],
    ["DELETE", "Mcp-Session-Id: 0123456789abcdef0123456789abcdef\r\n", 404, "session_unknown"],
  ]) {
    const connection = await HttpConnection.open(gateway.url("everything"));
    connection.write(`${method} /mcp/everything HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n${session}Authorization: Bearer ${token}\r\n\r\n`);
    const answer = await connection.response();
    assert.deepEqual([answer.status, reasonOf(answer)], [status, reason], method);
    if (status === 405) assert.match(answer.headers.get("allow"), /POST/);
    connection.close();
  }
});

test("/mcp is all upstreams as one, cut down to the grant", async () => {
  const toolsInScope = Object.entries(servers).flatMap(([id, { allowed }]) => allowed.map((tool) => `${id}/${tool}`));
  const client = await HttpClient.open(new URL("/mcp", gateway.url("everything")).href, mint(policy, atr({ toolsInScope })));
  const { tools } = (await client.rpc("tools/list")).result;
  const expected = Object.entries(servers).flatMap(([id, { allowed }]) =>
    direct[id].tools.filter(({ name }) => allowed.includes(name)).map((tool) => ({ ...tool, name: `${id}__${tool.name}` })));
  assert.deepEqual(tools, expected);
  for (const [id, { tool, args }] of Object.entries(servers)) {
    assert.deepEqual((await client.call(`${id}__${tool}`, args)).result, direct[id].call);
  }
  const refused = await client.call("everything__get-env", {});
  assert.equal(refused.error.data.reason, "tool_not_in_scope");
  await client.close();
});

test("the gateway ends in order", async () => {
  assert.equal((await gateway.stop()).code, 0);
  assert.equal(ledger(policy).at(-1).kind, "stop");
});
