// What is refused, with which reason, in which form; and that the record shows it.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import {
  anyTool, atr, environment, everything, filesystem, folder, grantFile, ledger, leavesOf, mint, mustRun, policyDirectory, run, start,
  stub, zwinger,
} from "./lib/harness.mjs";
import { compact, developmentIssuer, es256, es256der, hs256, unsigned } from "./lib/jwt.mjs";
import { bearer, HttpClient, HttpConnection, post, reasonOf, StdioClient } from "./lib/wire.mjs";

const files = folder("files");
const letter = path.join(files, "letter.txt");
fs.writeFileSync(letter, "Dear Sirs,\n");

const policy = policyDirectory({
  upstreams: {
    everything: { command: everything(), vertical: "lending" },
    filesystem: { command: filesystem(files), vertical: "insurance" },
    echo: { command: stub("echo-server.mjs"), vertical: "shared" },
  },
  roles: {
    ...anyTool, reader: { scope: ["tools:list"], toolsInScope: ["*/*"], verticals: ["lending"] },
    librarian: {
      scope: ["resources:list", "resources:read", "resources:subscribe", "prompts:list", "prompts:get", "completion"],
      resourcesInScope: ["*/demo://resource/**"], promptsInScope: ["*/*"], verticals: ["lending"],
    },
  },
});
let gateway = await start(policy);

const open = (upstream, grant) => HttpClient.open(gateway.url(upstream), mint(policy, grant));

// A denial is exactly the contract of design section 5, and both its leaves are in the record.
function assertDenied(answer, reason, at, rpcCode = -32001) {
  assert.equal(answer.http.status, 200, answer.raw);
  assert.deepEqual(Object.keys(answer.error).sort(), ["code", "data", "message"]);
  assert.equal(answer.error.code, rpcCode);
  assert.equal(typeof answer.error.message, "string");
  const call = answer.http.headers.get("zwinger-call-id");
  const { at: place, ...data } = answer.error.data;
  assert.deepEqual(data, { reason, rules: [], callId: call, retryable: false });
  if (at !== undefined) assert.equal(place, at);
  const { decision, outcome } = leavesOf(policy, call);
  assert.deepEqual([decision.verdict, decision.reason, outcome.status], ["deny", reason, "denied"]);
  assert.equal(decision.forward_sha256, undefined, "nothing was forwarded");
  return decision;
}

// Methods, and the scope that each needs.
const scoped = [
  ["resources/list", {}, "resources:list"], ["resources/templates/list", {}, "resources:list"],
  ["resources/read", { uri: "demo://resource/1" }, "resources:read"], ["resources/subscribe", { uri: "demo://resource/1" }, "resources:subscribe"],
  ["resources/unsubscribe", { uri: "demo://resource/1" }, "resources:subscribe"], ["prompts/list", {}, "prompts:list"],
  ["prompts/get", { name: "simple-prompt" }, "prompts:get"],
  ["completion/complete", { ref: { type: "ref/prompt", name: "completable-prompt" }, argument: { name: "department", value: "E" } }, "completion"],
];

test("methods that are not passed on are refused and recorded", async () => {
  const client = await open("everything", atr());
  const methods = [
    "tools/uninstall", "Tools/call", "tools/call ", "tools", "resources/write", "resources/delete", "prompts/add", "logging/getLevel",
    "server/discover", "tasks/create", "notifications/initialized", "notifications/cancelled",
    // What only servers may ask.
    "sampling/createMessage", "roots/list", "elicitation/create",
  ];
  for (const method of methods) {
    const answer = await client.rpc(method, {});
    assert.equal(answer.error.code, -32601, method);
    assert.equal(answer.error.data.reason, "method_not_supported", method);
    const { decision, outcome } = leavesOf(policy, answer.http.headers.get("zwinger-call-id"));
    assert.deepEqual([decision.method, decision.verdict, outcome.status], [method, "deny", "denied"]);
  }
  await client.close();
});

test("the same through stdio", async () => {
  const client = new StdioClient([zwinger, "wrap", "--grant", grantFile(), "--", ...stub("echo-server.mjs")], environment(folder("home")));
  await client.initialize();
  for (const method of ["tools/uninstall", "resources/write", "sampling/createMessage"]) {
    const refused = await client.rpc(method, {});
    assert.deepEqual([refused.error.code, refused.error.data.reason], [-32601, "method_not_supported"]);
  }
  // The grant has the scopes of tools only.
  for (const [method, params] of scoped) {
    const refused = await client.rpc(method, params);
    assert.deepEqual([refused.error?.code, refused.error?.data.reason], [-32001, "scope_missing"], method);
  }
  await client.close();
});

test("methods whose scope the grant lacks are 403, and reach no server", async () => {
  const client = await open("everything", atr());
  for (const [method, params, scope] of scoped) {
    const answer = await client.send(client.request(method, params));
    assert.deepEqual([answer.status, reasonOf(answer)], [403, "scope_missing"], method);
    assert.ok(answer.headers.get("www-authenticate").includes(`scope="${scope}"`), answer.headers.get("www-authenticate"));
    const { decision, outcome } = leavesOf(policy, answer.headers.get("zwinger-call-id"));
    assert.deepEqual([decision.method, decision.verdict, decision.reason, outcome.status], [method, "deny", "scope_missing", "denied"]);
    assert.equal(decision.forward_sha256, undefined, "nothing was forwarded");
  }
  await client.close();
});

test("resources and prompts outside the grant", async () => {
  const client = await open("everything", atr({
    role: "librarian",
    scope: ["resources:list", "resources:read", "resources:subscribe", "prompts:list", "prompts:get", "completion"],
    resourcesInScope: { everything: ["demo://resource/static/document/features.md"] }, promptsInScope: { everything: ["simple-*"] },
  }));
  const other = "demo://resource/static/document/startup.md";
  for (const [method, params, reason] of [
    ["resources/read", { uri: other }, "resource_not_in_scope"], ["resources/subscribe", { uri: other }, "resource_not_in_scope"],
    ["resources/read", { uri: `${other}/../features.md` }, "resource_not_in_scope"],
    ["prompts/get", { name: "args-prompt", arguments: { city: "x" } }, "prompt_not_in_scope"],
    ["completion/complete", { ref: { type: "ref/prompt", name: "completable-prompt" }, argument: { name: "department", value: "" } }, "prompt_not_in_scope"],
  ]) assertDenied(await client.rpc(method, params), reason);
  for (const method of ["tasks/get", "tasks/result", "tasks/cancel"]) {
    assertDenied(await client.rpc(method, { taskId: "1" }), "task_unknown", undefined, -32602);
  }
  const uris = (await client.rpc("resources/list")).result.resources.map(({ uri }) => uri);
  assert.deepEqual(uris, ["demo://resource/static/document/features.md"]);
  assert.deepEqual((await client.rpc("prompts/list")).result.prompts.map(({ name }) => name), ["simple-prompt"]);
  assert.ok((await client.rpc("resources/read", { uri: uris[0] })).result.contents[0].text);
  assert.ok((await client.rpc("prompts/get", { name: "simple-prompt" })).result);
  await client.close();
});

test("tools and arguments outside the grant", async () => {
  const client = await open("everything", atr({
    toolsInScope: ["everything/echo", "everything/get-*"], toolsOutOfScope: ["everything/get-env"],
    toolConstraints: {
      "everything/echo": { args: { "/message": { prefix: "invoice " } }, closed: true },
      "everything/get-sum": { args: { "/a": { min: 0, max: 500 }, "/b": { enum: [1, 2] } } },
    },
  }));
  const cases = [
    ["get-env", {}, "tool_out_of_scope"],
    ["trigger-long-running-operation", {}, "tool_not_in_scope"],
    ["no-such-tool", {}, "tool_not_in_scope"],
    ["echo", { message: "wire all the money" }, "constraint_prefix", "/message"],
    ["echo", {}, "constraint_missing", "/message"],
    ["echo", undefined, "constraint_missing", "/message"],
    ["echo", { message: { text: "invoice 1" } }, "constraint_prefix", "/message"],
    ["echo", { message: ["invoice 1", "wire all"] }, "constraint_prefix", "/message/1"],
    ["echo", { message: "invoice 1", volume: 11 }, "constraint_closed", "/volume"],
    ["get-sum", { a: 500.01, b: 1 }, "constraint_max", "/a"],
    ["get-sum", { a: -1, b: 1 }, "constraint_min", "/a"],
    ["get-sum", { a: "7", b: 1 }, "constraint_min", "/a"],
    ["get-sum", { a: 7, b: 3 }, "constraint_enum", "/b"],
  ];
  for (const [tool, args, reason, at] of cases) {
    const decision = assertDenied(await client.call(tool, args), reason, at);
    assert.deepEqual([decision.upstream, decision.tool, decision.method], ["everything", tool, "tools/call"]);
  }
  assert.ok((await client.call("echo", { message: "invoice 12" })).result);
  assert.ok((await client.call("get-sum", { a: 5e2, b: 2.0 })).result);
  await client.close();
});

test("nothing in arguments, _meta or headers widens a grant", async () => {
  const wide = atr({ toolsInScope: ["*/*"] });
  const narrow = mint(policy, atr({ toolsInScope: ["everything/echo"] }));
  const wideToken = mint(policy, wide);
  const client = await HttpClient.open(gateway.url("everything"), narrow);
  const params = { name: "get-sum", arguments: { a: 1, b: 2 } };
  const attempts = [
    [{ ...params, arguments: { a: 1, b: 2, atr: wide, authorization: `Bearer ${wideToken}` } }],
    [{ ...params, _meta: { atr: wide, authorization: `Bearer ${wideToken}` } }],
    [params, [["atr", JSON.stringify(wide)], ["X-Atr", JSON.stringify(wide)], ["X-Authorization", `Bearer ${wideToken}`]]],
    [params, [["Cookie", `token=${wideToken}; Authorization=${wideToken}`], ["Proxy-Authorization", `Bearer ${wideToken}`]]],
  ];
  for (const [attempt, headers] of attempts) {
    const http = await client.send(client.request("tools/call", attempt), headers);
    assertDenied({ ...http.json, http, raw: http.body }, "tool_not_in_scope");
  }
  // Members beside name, arguments and _meta could be read differently by the server, so they are refused.
  const beside = await client.rpc("tools/call", { ...params, name: "echo", atr: wide });
  assert.equal(beside.error.data.reason, "mcp_params");
  await client.close();
});

// --- tokens ------------------------------------------------------------------------------------------

const ping = { jsonrpc: "2.0", id: 1, method: "ping" };

// The HTTP answer to a ping with these headers, on a connection of its own.
async function pingWith(headers, url = gateway.url("echo")) {
  const connection = await HttpConnection.open(url);
  connection.write(post(url, ping, headers));
  const answer = await connection.response();
  connection.close();
  return answer;
}

function assertUnauthorized(answer, reason) {
  assert.equal(answer.status, 401, answer.body);
  assert.equal(reasonOf(answer), reason);
  const challenge = answer.headers.get("www-authenticate");
  assert.match(challenge, /^Bearer\b/);
  if (reason !== "token_missing") assert.match(challenge, /error="invalid_token"/);
}

test("a good token passes, also with a scheme in other case", async () => {
  const token = mint(policy);
  assert.equal((await pingWith([bearer(token)])).status, 200);
  assert.equal((await pingWith([["authorization", `bearer ${token}`]])).status, 200);
});

test("missing, doubled and misplaced tokens", async () => {
  const token = mint(policy);
  assertUnauthorized(await pingWith([]), "token_missing");
  assertUnauthorized(await pingWith([bearer(token), bearer(token)]), "token_ambiguous");
  assertUnauthorized(await pingWith([bearer(token), ["AUTHORIZATION", "Bearer other"]]), "token_ambiguous");
  for (const name of ["access_token", "token", "authorization"]) {
    assertUnauthorized(await pingWith([], `${gateway.url("echo")}?${name}=${token}`), "token_missing");
  }
  assertUnauthorized(await pingWith([["Authorization", `Basic ${Buffer.from("a:b").toString("base64")}`]]), "token_missing");
  for (const value of ["Bearer", "Bearer  two-spaces", `Bearer ${token} x`, `Bearer ${token},${token}`, "Bearer a.b", "Bearer a.b.c.d", "Bearer ..."]) {
    assertUnauthorized(await pingWith([["Authorization", value]]), "token_malformed");
  }
});

test("tokens that are expired, forged, or signed with a trick", async () => {
  const { key, jwk, jwks, now, stranger, header, claims } = developmentIssuer(policy);
  const good = claims(atr());
  const strangerJwk = stranger.publicKey.export({ format: "jwk" });
  const [h, p, s] = compact(header, good, es256(key)).split(".");
  const other = compact(header, { ...good, sub: "admin" }, es256(key)).split(".");
  const without = (name) => Object.fromEntries(Object.entries(good).filter(([member]) => member !== name));
  const signed = (payload, more = {}) => compact({ ...header, ...more }, payload, es256(key));
  assert.equal((await pingWith([bearer(`${h}.${p}.${s}`)])).status, 200, "the forger can make a good token");

  const flipped = Buffer.from(s, "base64url");
  flipped[40] ^= 1;
  const cases = [
    ["minted with a past expiry", mint(policy, atr(), ["--expires-at", String(now - 1)]), "token_expired"],
    ["expired this second", signed({ ...good, exp: now - 1 }), "token_expired"],
    ["not yet valid", signed({ ...good, nbf: now + 3600 }), "token_not_yet_valid"],
    ["alg none", compact({ alg: "none", typ: "JWT" }, good, unsigned), "token_algorithm"],
    ["alg none with our kid", compact({ ...header, alg: "none" }, good, unsigned), "token_algorithm"],
    ["alg None, old signature", `${compact({ ...header, alg: "None" }, good, es256(key))}`, "token_algorithm"],
    ["HMAC with the key set as secret", compact({ ...header, alg: "HS256" }, good, hs256(jwks)), "token_algorithm"],
    ["HMAC with the key as secret", compact({ ...header, alg: "HS256" }, good, hs256(JSON.stringify(jwk))), "token_algorithm"],
    ["an algorithm that is not pinned", signed(good, { alg: "RS256" }), "token_algorithm"],
    ["an algorithm in lower case", signed(good, { alg: "es256" }), "token_algorithm"],
    ["a stranger's key under our kid", compact(header, good, es256(stranger.privateKey)), "token_signature"],
    ["an unknown kid", compact({ ...header, kid: "stranger" }, good, es256(stranger.privateKey)), "token_unknown_key"],
    ["an embedded key", compact({ ...header, jwk: strangerJwk }, good, es256(stranger.privateKey)), "token_header"],
    ["a key link", signed(good, { jku: "http://127.0.0.1/jwks.json" }), "token_header"],
    ["crit", signed(good, { crit: ["exp"] }), "token_header"],
    ["another type of token", signed(good, { typ: "dpop+jwt" }), "token_header"],
    ["another payload under an old signature", `${h}.${other[1]}.${s}`, "token_signature"],
    ["one bit of the signature", `${h}.${p}.${flipped.toString("base64url")}`, "token_signature"],
    ["no signature", `${h}.${p}.`, "token_signature"],
    ["a signature in DER", compact(header, good, es256der(key)), "token_signature"],
    ["another issuer", signed({ ...good, iss: "https://elsewhere.example" }), "token_issuer"],
    ["another audience", signed({ ...good, aud: "billing" }), "token_audience"],
    ["no exp", signed(without("exp")), "token_claims"],
    ["no sub", signed(without("sub")), "token_claims"],
    ["no jti", signed(without("jti")), "token_claims"],
    ["exp as text", signed({ ...good, exp: "9999999999" }), "token_claims"],
  ];
  for (const [what, token, reason] of cases) {
    const answer = await pingWith([bearer(token)]);
    assert.equal(answer.status, 401, `${what}: ${answer.body}`);
    assert.equal(reasonOf(answer), reason, what);
    assertUnauthorized(answer, reason);
  }
});

test("a grant that cannot be checked, or is malformed, allows nothing", async () => {
  const { key, header, claims } = developmentIssuer(policy);
  const cases = [
    [claims(undefined), "grant_missing"],
    [claims(atr({ budget: { maxUsd: 40 } })), "grant_unsupported"],
    [claims(atr({ budget: { maxTokens: 4000, maxCalls: 4 } })), "grant_unsupported"],
    [claims(atr({ budget: { maxCalls: 0 } })), "budget_calls"],
    [claims(atr({ budget: { maxCalls: -1 } })), "grant_invalid"],
    [claims(atr({ color: "red" })), "grant_unsupported"],
    [claims(atr({ toolsInScope: "echo/*" })), "grant_invalid"],
    [claims(atr({ scope: ["tools:everything"] })), "grant_invalid"],
    [{ ...claims(atr()), cnf: { jkt: "x" } }, "grant_unsupported"],
    [{ ...claims(atr()), act: { sub: "other", color: "red" } }, "grant_unsupported"],
    [{ ...claims(atr()), act: "other" }, "grant_invalid"],
    [{ ...claims(atr()), act: { sub: "other", atr: atr({ toolsInScope: ["everything/*"] }) } }, "tool_not_in_scope"],
    [{ ...claims(atr()), act: { sub: "other", atr: atr({ budget: { maxUsd: 1 } }) } }, "grant_unsupported"],
    [claims(atr({ role: "root" })), "role_unknown"],
    [claims(atr({ role: undefined })), "role_unknown"],
  ];
  for (const [payload, reason] of cases) {
    const client = await HttpClient.open(gateway.url("echo"), compact(header, payload, es256(key)));
    const answer = await client.call("echo", { text: "x" });
    assertDenied(answer, reason);
    await client.close();
  }
});

test("a missing scope is 403 and names the scope", async () => {
  for (const [grant, method, scope] of [
    [atr({ scope: ["tools:list"] }), "tools/call", "tools:call"],
    [atr({ scope: ["tools:call"] }), "tools/list", "tools:list"],
    [atr({ role: "reader" }), "tools/call", "tools:call"],
  ]) {
    const client = await open("echo", grant);
    const params = method === "tools/call" ? { name: "echo", arguments: { text: "x" } } : undefined;
    const answer = await client.send(client.request(method, params));
    assert.equal(answer.status, 403, answer.body);
    assert.equal(reasonOf(answer), "scope_missing");
    const challenge = answer.headers.get("www-authenticate");
    assert.match(challenge, /^Bearer\b.*error="insufficient_scope"/);
    assert.ok(challenge.includes(`scope="${scope}"`), challenge);
    const { decision, outcome } = leavesOf(policy, answer.headers.get("zwinger-call-id"));
    assert.deepEqual([decision.reason, outcome.status], ["scope_missing", "denied"]);
    await client.close();
  }
});

// --- verticals and counts ----------------------------------------------------------------------------

test("another vertical needs to be listed, elevation, and a purpose", async () => {
  const read = async (grant) => {
    const client = await open("filesystem", grant);
    const answer = await client.call("read_text_file", { path: letter });
    const { tools } = (await client.rpc("tools/list")).result;
    await client.close();
    return { answer, tools: tools.length };
  };
  const refusals = [
    [{ verticals: ["lending"] }, "vertical_denied"],
    [{ verticals: [] }, "vertical_denied"],
    [{ verticals: ["lending"], crossVertical: true, crossVerticalPurpose: "claim 7" }, "vertical_denied"],
    [{ verticals: ["lending", "insurance"] }, "vertical_elevation"],
    [{ verticals: ["lending", "insurance"], crossVertical: true }, "vertical_elevation"],
    [{ verticals: ["lending", "insurance"], crossVertical: true, crossVerticalPurpose: " " }, "vertical_elevation"],
    [{ verticals: ["lending", "insurance"], crossVerticalPurpose: "claim 7" }, "vertical_elevation"],
  ];
  for (const [grant, reason] of refusals) {
    const { answer, tools } = await read(atr(grant));
    assertDenied(answer, reason);
    assert.equal(tools, 0, "the list shows no more than a call can reach");
  }
  for (const grant of [
    { verticals: ["lending", "insurance"], crossVertical: true, crossVerticalPurpose: "claim 7" }, { verticals: ["insurance"] },
  ]) {
    const { answer, tools } = await read(atr(grant));
    assert.equal(answer.result.content[0].text, "Dear Sirs,\n");
    assert.ok(tools > 0);
  }
});

test("maxCalls holds across fresh tokens, connections and a restart, per task", async () => {
  const limited = (task) => atr({ task: { id: task }, toolConstraints: { "echo/echo": { args: {}, maxCalls: 3 } } });
  const task = randomUUID();
  const callOnce = async (grant) => {
    const client = await open("echo", grant);
    const answer = await client.call("echo", { text: "x" });
    await client.close();
    return answer;
  };
  assert.ok((await callOnce(limited(task))).result);
  assert.ok((await callOnce(limited(task))).result);
  await gateway.stop("SIGKILL");
  gateway = await start(policy);
  assert.ok((await callOnce(limited(task))).result);
  assertDenied(await callOnce(limited(task)), "max_calls");
  await gateway.stop();
  gateway = await start(policy);
  assertDenied(await callOnce(limited(task)), "max_calls");
  assert.ok((await callOnce(limited(randomUUID()))).result, "another task has its own count");
});

// --- wrap and its grant ------------------------------------------------------------------------------

test("wrap refuses without a private grant, and says how to get one", () => {
  const home = folder("home");
  const wrap = (...more) => run(["wrap", ...more, "--", ...stub("echo-server.mjs")], { home });
  const without = wrap();
  assert.notEqual(without.code, 0);
  assert.match(without.err, /grant_file/);
  assert.match(without.err, /zwinger init --allow/);
  for (const [file, reason] of [
    [grantFile(atr(), { mode: 0o644 }), "grant_file"],
    [grantFile(atr(), { exp: Math.floor(Date.now() / 1000) - 1 }), "grant_expired"],
    [path.join(home, "no-such-file"), "grant_file"],
  ]) {
    const refused = wrap("--grant", file);
    assert.notEqual(refused.code, 0);
    assert.match(refused.err, new RegExp(`zwinger: ${reason}: `));
    assert.equal(refused.out, "", "nothing is said in MCP");
  }
});

test("init --allow makes the grant that wrap takes", async () => {
  const home = folder("home");
  mustRun(["init", "--allow", "server/echo"], { home });
  const file = path.join(home, "config/zwinger/grant.json");
  assert.equal(fs.statSync(file).mode & 0o777, 0o600);
  const client = new StdioClient([zwinger, "wrap", "--", ...stub("echo-server.mjs")], environment(home));
  await client.initialize();
  assert.equal((await client.call("echo", { text: "hello" })).result.content[0].text, "hello");
  await client.close();
});

test("the end of the record", async () => {
  await gateway.stop();
  const leaves = ledger(policy);
  const calls = new Map();
  for (const leaf of leaves.filter(({ call }) => call)) calls.set(leaf.call, [...(calls.get(leaf.call) ?? []), leaf.kind]);
  for (const [call, kinds] of calls) assert.deepEqual(kinds, ["decision", "outcome"], call);
  assert.ok(!JSON.stringify(leaves).includes("wire all the money"), "the record holds no content");
});
