// Malformed HTTP, JSON and messages over raw sockets: each gets a precise error and costs only its own connection, while a
// healthy connection runs calls throughout. Then bad policy files, which are never a policy.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, test } from "node:test";
import { atr, issuer, launch, environment, folder, ledger, mint, policyDirectory, run, start, stub, within, zwinger } from "./lib/harness.mjs";
import { bearer, HttpClient, HttpConnection, post, reasonOf } from "./lib/wire.mjs";

const policy = policyDirectory({ upstreams: { echo: { command: stub("echo-server.mjs") } } });
const gateway = await start(policy);
const url = gateway.url("echo");
const token = mint(policy);

// --- the healthy connection ---------------------------------------------------------------------------

const healthy = await HttpClient.open(url, token);
let calls = 0;
let stopping = false;
let tell = () => {};
const healthyRun = (async () => {
  while (!stopping) {
    const text = `call ${calls}`;
    assert.equal((await healthy.call("echo", { text })).result.content[0].text, text);
    ++calls;
    tell();
  }
})();
// A whole call on the healthy connection, begun after now.
const healthyCall = () => within(10_000, "calls on the healthy connection go on",
  Promise.race([healthyRun, new Promise((resolve) => {
    const enough = calls + 2;
    tell = () => calls >= enough && resolve();
  })]));
after(() => {
  stopping = true;
  healthy.close();
});

// --- HTTP ---------------------------------------------------------------------------------------------

const body = '{"jsonrpc":"2.0","id":1,"method":"ping"}';
const auth = `Authorization: Bearer ${token}`;
// A request that is well-formed but for what the case changes.
const request = ({ line = "POST /mcp/echo HTTP/1.1", host = "Host: localhost", type = "Content-Type: application/json",
  accept = "Accept: application/json, text/event-stream", framing = `Content-Length: ${body.length}`, more = [], content = body,
  eol = "\r\n" } = {}) =>
  [line, host, auth, type, accept, framing, ...more].filter((field) => field !== undefined && field !== null)
    .join(eol) + eol + eol + content;

const chunked = (content) => ({ framing: "Transfer-Encoding: chunked", content });
const whole = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;

// What, bytes, status, reason; and whether the connection must end with the answer.
const http = [
  ["a lone line feed as line end", request({ eol: "\n" }), 400, "http_syntax"],
  ["a bare carriage return in a value", request({ more: ["X-A: b\rc"] }), 400, "http_syntax"],
  ["a folded header", request({ more: ["X-A: b\r\n c"] }), 400, "http_syntax"],
  ["a space before the colon", request({ more: ["X-A : b"] }), 400, "http_syntax"],
  ["a header without a colon", request({ more: ["nonsense"] }), 400, "http_syntax"],
  ["NUL in a value", request({ more: ["X-A: b\0c"] }), 400, "http_syntax"],
  ["no Host", request({ host: null }), 400, "http_syntax"],
  ["two Hosts", request({ more: ["Host: elsewhere"] }), 400, "http_syntax"],
  ["an absolute target", request({ line: "POST http://localhost/mcp/echo HTTP/1.1" }), 400, "http_syntax"],
  ["two spaces in the request line", request({ line: "POST  /mcp/echo HTTP/1.1" }), 400, "http_syntax"],
  ["not HTTP at all", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "http_syntax"],
  ["HTTP/2.0", request({ line: "POST /mcp/echo HTTP/2.0" }), 505, "http_version"],
  ["HTTP/1.1 in lower case", request({ line: "POST /mcp/echo http/1.1" }), 400, "http_syntax"],
  ["Content-Length twice", request({ more: [`Content-Length: ${body.length}`] }), 400, "http_ambiguous_framing"],
  ["Content-Length twice, different", request({ more: ["Content-Length: 3"] }), 400, "http_ambiguous_framing"],
  ["a list of lengths", request({ framing: `Content-Length: ${body.length}, ${body.length}` }), 400, "http_ambiguous_framing"],
  ["a signed length", request({ framing: `Content-Length: +${body.length}` }), 400, "http_ambiguous_framing"],
  ["a negative length", request({ framing: "Content-Length: -1" }), 400, "http_ambiguous_framing"],
  ["a length in hexadecimal", request({ framing: "Content-Length: 0x28" }), 400, "http_ambiguous_framing"],
  ["a length and chunks", request({ framing: `Content-Length: ${whole.length}`, more: ["Transfer-Encoding: chunked"], content: whole }), 400, "http_ambiguous_framing"],
  ["an unknown coding", request({ framing: "Transfer-Encoding: gzip, chunked", content: whole }), 400, "http_ambiguous_framing"],
  ["chunked twice", request({ framing: "Transfer-Encoding: chunked, chunked", content: whole }), 400, "http_ambiguous_framing"],
  ["chunked spelled oddly", request({ framing: "Transfer-Encoding: xchunked", content: whole }), 400, "http_ambiguous_framing"],
  ["a chunk extension", request(chunked(whole.replace("\r\n", ";a=b\r\n"))), 400, "http_ambiguous_framing"],
  ["a trailer", request(chunked(whole.replace("\r\n0\r\n\r\n", "\r\n0\r\nX-A: b\r\n\r\n"))), 400, "http_ambiguous_framing"],
  ["a chunk that is longer than it says", request(chunked(`5\r\n${body}\r\n0\r\n\r\n`)), 400, "http_ambiguous_framing"],
  ["a chunk size that overflows", request(chunked(`7fffffffffffffff\r\n${body}`)), 413, "http_body_too_large"],
  ["a target that is too long", request({ line: `POST /mcp/${"a".repeat(3000)} HTTP/1.1` }), 414, "http_target_too_long"],
  ["headers that are too large", request({ more: [`X-A: ${"b".repeat(40_000)}`] }), 431, "http_header_too_large"],
  ["too many headers", request({ more: Array(200).fill("X-A: b") }), 431, "http_header_too_large"],
  ["a body that is too large", request({ framing: `Content-Length: ${5 << 20}` }), 413, "http_body_too_large"],
];

for (const [what, bytes, status, reason] of http) {
  test(`HTTP: ${what}`, async () => {
    const connection = await HttpConnection.open(url);
    connection.write(Buffer.from(bytes, "latin1"));
    const answer = await connection.response();
    assert.equal(answer?.status, status, answer?.body);
    assert.equal(answer.json.error.reason, reason);
    assert.equal(typeof answer.json.error.message, "string");
    assert.ok(await connection.closedByPeer(), "nothing follows on a connection that is out of step");
    connection.close();
    await healthyCall();
  });
}

// --- routes and media types, after which the connection goes on ------------------------------------------

const routes = [
  ["an unknown path", request({ line: "POST /nowhere HTTP/1.1" }), 404, "http_not_found"],
  ["an unknown upstream", request({ line: "POST /mcp/nobody HTTP/1.1" }), 404, "upstream_unknown"],
  ["an encoded path", request({ line: "POST /mcp/ech%6f HTTP/1.1" }), 404, "upstream_unknown"],
  ["a path that climbs", request({ line: "POST /mcp/x/../echo HTTP/1.1" }), 404, "upstream_unknown"],
  ["PUT", request({ line: "PUT /mcp/echo HTTP/1.1" }), 405, "http_method"],
  ["text", request({ type: "Content-Type: text/plain" }), 415, "http_media_type"],
  ["no Content-Type", request({ type: null }), 415, "http_media_type"],
  ["a client that takes HTML only", request({ accept: "Accept: text/html" }), 406, "http_media_type"],
  ["a Host that is not ours (a rebound name)", request({ host: "Host: evil.example" }), 403, "http_host"],
  ["a session that is none", request({ more: ["Mcp-Session-Id: 0123456789abcdef0123456789abcdef"] }), 404, "session_unknown"],
  ["an empty session id", request({ more: ["Mcp-Session-Id:"] }), 404, "session_unknown"],
  ["two session ids", request({ more: ["Mcp-Session-Id: a", "Mcp-Session-Id: b"] }), 400, "http_syntax"],
  ["two revisions", request({ more: ["MCP-Protocol-Version: 2025-11-25", "MCP-Protocol-Version: 2025-06-18"] }), 400, "http_syntax"],
  ["a compressed body", request({ more: ["Content-Encoding: gzip"] }), 415, "http_media_type"],
  ["a web page's request", request({ more: ["Origin: https://evil.example"] }), 403, "http_origin"],
  ["a revision that is not spoken", request({ more: ["MCP-Protocol-Version: 1999-01-01"] }), 400, "mcp_version"],
];

// --- JSON and JSON-RPC --------------------------------------------------------------------------------------

const call = (params) => `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":${params}}`;
const kParse = -32700, kInvalid = -32600, kParams = -32602;
// What, body, code, reason, and the id that is answered to where the message was whole enough to show it.
const messages = [
  ["nothing", "", kParse, "json_syntax"],
  ["half a message", body.slice(0, 20), kParse, "json_syntax"],
  ["a comment", `/* hi */${body}`, kParse, "json_syntax"],
  ["single quotes", body.replaceAll('"', "'"), kParse, "json_syntax"],
  ["a trailing comma", body.replace("}", ",}"), kParse, "json_syntax"],
  ["two messages", body + body, kParse, "json_trailing_bytes"],
  ["the same member twice", body.replace("{", '{"method":"tools/list",'), kParse, "json_duplicate_key"],
  ["the same member twice, spelled otherwise", body.replace("{", '{"m\\u0065thod":"tools/list",'), kParse, "json_duplicate_key"],
  ["the same member twice, deep inside", call('{"name":"echo","arguments":{"a":[{"b":1,"b":2}]}}'), kParse, "json_duplicate_key"],
  ["nesting without end", call(`{"name":"echo","arguments":{"a":${"[".repeat(5000)}${"]".repeat(5000)}}}`), kParse, "json_too_deep"],
  ["bytes that are not UTF-8", Buffer.concat([Buffer.from('{"jsonrpc":"2.0","id":1,"method":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]), kParse, "json_bad_utf8"],
  ["an overlong slash", Buffer.concat([Buffer.from('{"jsonrpc":"2.0","id":1,"method":"tools'), Buffer.from([0xc0, 0xaf]), Buffer.from('call"}')]), kParse, "json_bad_utf8"],
  ["half a surrogate pair", body.replace("ping", "\\ud800"), kParse, "json_lone_surrogate"],
  ["a batch", `[${body}]`, kInvalid, "rpc_batch"],
  ["a number", "7", kInvalid, "rpc_invalid"],
  ["another version", body.replace("2.0", "1.0"), kInvalid, "rpc_invalid", 1],
  ["an id that is null", body.replace('"id":1', '"id":null'), kInvalid, "rpc_invalid"],
  ["an id that is a fraction", body.replace('"id":1', '"id":1.5'), kInvalid, "rpc_invalid"],
  ["an id that is a list", body.replace('"id":1', '"id":[1]'), kInvalid, "rpc_invalid"],
];
const badParams = [
  ["no params", '{"jsonrpc":"2.0","id":1,"method":"tools/call"}'],
  ["params as a list", call("[1]")],
  ["no name", call('{"arguments":{}}')],
  ["a name that is a number", call('{"name":7}')],
  ["arguments that are a list", call('{"name":"echo","arguments":[]}')],
  ["_meta that is text", call('{"name":"echo","_meta":"x"}')],
  ["an unknown member", call('{"name":"echo","arguments":{},"extra":1}')],
  ["a progress token that is an object", call('{"name":"echo","arguments":{"text":"x"},"_meta":{"progressToken":{}}}')],
];

// All on one connection: a refused message does not cost the next one.
test("routes, media types and messages", async (t) => {
  const connection = await HttpConnection.open(url);
  const ask = async (bytes) => {
    connection.write(bytes);
    const answer = await connection.response();
    assert.notEqual(answer, null, "the connection ended");
    return answer;
  };
  for (const [what, bytes, status, reason] of routes) {
    await t.test(what, async () => {
      const answer = await ask(Buffer.from(bytes, "latin1"));
      assert.equal(answer.status, status, answer.body);
      assert.equal(reasonOf(answer), reason);
    });
  }
  for (const [what, content, code, reason, id = null] of messages) {
    await t.test(what, async () => {
      const answer = await ask(post(url, content, [bearer(token)]));
      assert.equal(answer.status, 400, answer.body);
      assert.equal(answer.json.jsonrpc, "2.0");
      assert.deepEqual([answer.json.id, answer.json.error.code, reasonOf(answer)], [id, code, reason]);
      await healthyCall();
    });
  }
  for (const [what, content] of badParams) {
    await t.test(what, async () => {
      const answer = await ask(post(url, content, [bearer(token)]));
      assert.deepEqual([answer.json.id, answer.json.error.code, answer.json.error.data.reason], [1, kParams, "mcp_params"], answer.body);
      assert.ok(answer.headers.get("zwinger-call-id"));
    });
  }
  await t.test("and the connection still works", async () => {
    assert.deepEqual((await ask(post(url, body, [bearer(token)]))).json.result, {});
  });
  connection.close();
});

test("pipelined requests are answered in order, and a bad one ends the row", async () => {
  const connection = await HttpConnection.open(url);
  const ping = (id) => post(url, { jsonrpc: "2.0", id, method: "ping" }, [bearer(token)]);
  connection.write(Buffer.concat([ping(1), ping(2), Buffer.from("BROKEN\r\n\r\n"), ping(3)]));
  assert.equal((await connection.response()).json.id, 1);
  assert.equal((await connection.response()).json.id, 2);
  assert.equal((await connection.response()).status, 400);
  assert.ok(await connection.closedByPeer());
});

test("a connection that ends inside a request harms nobody", async () => {
  for (const part of [10, 60, request().length - 5]) {
    const connection = await HttpConnection.open(url);
    connection.socket.end(Buffer.from(request().slice(0, part), "latin1"));
    await connection.closedByPeer();
    await healthyCall();
  }
});

test("the healthy connection worked throughout", async () => {
  stopping = true;
  await healthyRun;
  console.log(`# ${calls} calls on the healthy connection`);
  assert.equal(ledger(policy).filter((leaf) => leaf.kind === "outcome" && leaf.status === "result" && leaf.tool === "echo").length, calls);
});

test("SIGTERM lets a running request finish, and takes no new one", async () => {
  assert.equal((await gateway.stop()).code, 0);
});

// --- policy files -------------------------------------------------------------------------------------------

const good = fs.readFileSync(path.join(policy, "zwinger.yaml"), "utf8");
const lineOf = (text, needle) => text.slice(0, text.indexOf(needle)).split("\n").length;
const edit = (from, to) => {
  assert.ok(good.includes(from), `the good policy has ${from}`);
  return good.replace(from, to);
};

// What, the file's text, the code, and a text that stands on the line that must be named (first column where `col` is 0).
const policies = [
  ["an unknown key", `${good}colour: red\n`, "policy_unknown_key", "colour: red"],
  ["the same key twice", `${good}mode: production\n`, "yaml_duplicate_key", "mode: production"],
  ["a list that stops in the middle", good.slice(0, good.indexOf('"tools:call"')), "yaml_syntax"],
  ["text that stops in the middle", good.slice(0, good.indexOf("zwinger.invalid")), "yaml_syntax"],
  ["a file that stops before the upstreams", good.slice(0, good.indexOf("upstreams:")), "policy_missing_key"],
  ["an empty file", "", undefined],
  ["a wrong type", edit('listeners:\n  - address: "127.0.0.1:0"', "listeners: 8080"), "policy_type", "listeners: 8080"],
  ["no vertical", edit('    vertical: "lending"\n', ""), "policy_vertical_missing"],
  ["an alias", edit('stateDir: "state"', "stateDir: &a state"), "yaml_alias", "&a"],
  ["a mode that does not exist", edit('"development"', '"careless"'), "policy_value", "careless"],
  ["an upstream's name with capitals", edit("  echo:", "  Echo:"), "policy_value", "Echo:"],
  ["no listener", edit('listeners:\n  - address: "127.0.0.1:0"', "listeners: []"), "policy_empty_set", "listeners: []"],
  ["a listener for everybody", edit("127.0.0.1:0", "0.0.0.0:0"), "policy_listener", "0.0.0.0"],
  ["a listener on another address", edit("127.0.0.1:0", "192.0.2.1:8080"), "policy_listener", "192.0.2.1"],
  ["command and url", edit("    command:", '    url: "https://mcp.example/mcp"\n    command:'), undefined],
  ["an upstream in the clear on another host", good.replace(/    command: .*\n/, '    url: "http://mcp.example/mcp"\n').replace(/    env:\n      .*\n/, ""), "policy_value", undefined],
  ["a URL with a password in it", good.replace(/    command: .*\n/, '    url: "https://u:p@mcp.example/mcp"\n').replace(/    env:\n      .*\n/, ""), "policy_value", "u:p@"],
  ["a header that is ours", good.replace(/    command: .*\n/, '    url: "https://mcp.example/mcp"\n    headers: {Host: x}\n').replace(/    env:\n      .*\n/, ""), "policy_value", "headers:"],
  ["a virtual server of what is not there", `${good}virtualServers:\n  some:\n    upstreams: [nobody]\n`, undefined, "upstreams: [nobody]"],
  ["a virtual server with an upstream's name", `${good}virtualServers:\n  echo:\n    upstreams: [echo]\n`, undefined, undefined],
  ["an admin listener on TCP in the clear", `${good}admin:\n  address: "127.0.0.1:0"\n`, undefined, undefined],
  ["no sessions", `${good}maxSessions: 0\n`, "policy_value", "maxSessions"],
  ["HMAC as an algorithm", edit('["ES256"]', '["HS256"]'), "policy_value", "HS256"],
];

for (const [what, text, code, needle] of policies) {
  test(`policy: ${what}`, async () => {
    const directory = folder("policy");
    fs.cpSync(policy, directory, { recursive: true });
    fs.writeFileSync(path.join(directory, "zwinger.yaml"), text);
    const checked = run(["check", directory]);
    assert.equal(checked.code, 1, checked.out + checked.err);
    assert.match(checked.err, /^zwinger: [a-z_]+: .*zwinger\.yaml:\d+:\d+\)$/m);
    if (code) assert.ok(checked.err.includes(`zwinger: ${code}: `), checked.err);
    if (needle) assert.ok(checked.err.includes(`zwinger.yaml:${lineOf(text, needle)}:`), checked.err);

    const child = launch(zwinger, ["gateway", "--policy", directory, "--json"], { env: environment(folder("home")) });
    let said = "";
    child.stdout.on("data", (chunk) => (said += chunk));
    const { code: exit } = await within(20_000, "the gateway refuses to start", child.ended);
    assert.notEqual(exit, 0);
    assert.equal(said, "", "it was never ready");
    if (code) assert.ok(child.errors.includes(code), child.errors);
  });
}

test("policy: two errors are both told", () => {
  const directory = folder("policy");
  fs.cpSync(policy, directory, { recursive: true });
  fs.writeFileSync(path.join(directory, "zwinger.yaml"), `${edit('"development"', '"careless"')}colour: red\n`);
  const { err } = run(["check", directory]);
  assert.match(err, /policy_value/);
  assert.match(err, /policy_unknown_key/);
});

test("policy: a key set with a private key, or without keys, or half-written", () => {
  const jwks = JSON.parse(fs.readFileSync(path.join(policy, issuer.jwksFile), "utf8"));
  for (const text of ['{"keys":[]}', JSON.stringify({ keys: [{ ...jwks.keys[0], d: "AAAA" }] }), JSON.stringify(jwks).slice(0, 60)]) {
    const directory = folder("policy");
    fs.cpSync(policy, directory, { recursive: true });
    fs.writeFileSync(path.join(directory, issuer.jwksFile), text);
    const checked = run(["check", directory]);
    assert.equal(checked.code, 1);
    assert.match(checked.err, /jwks/);
  }
});

test("policy: the good one is good, and tells what it holds", () => {
  const checked = run(["check", policy]);
  assert.equal(checked.code, 0, checked.err);
  assert.match(checked.out, /echo/);
});

test("policy: the first start makes the state folder, for its owner alone", async () => {
  const directory = folder("policy");
  for (const name of ["zwinger.yaml", issuer.jwksFile]) fs.copyFileSync(path.join(policy, name), path.join(directory, name));
  const fresh = await start(directory);
  assert.equal((await fresh.stop()).code, 0);
  assert.equal(fs.statSync(path.join(directory, "state")).mode & 0o777, 0o700);
});

test("policy: minting is for development only", () => {
  const directory = folder("policy");
  fs.cpSync(policy, directory, { recursive: true });
  fs.writeFileSync(path.join(directory, "zwinger.yaml"), edit('"development"', '"production"'));
  const refused = run(["token", "mint", "--policy", directory, "--subject", "x", "--grant", "-"], { input: JSON.stringify(atr()) });
  assert.notEqual(refused.code, 0);
  assert.match(refused.err, /policy_mode/);
});
