// Several upstreams behind one URL: display names, routing, grants, partial lists, virtual servers; what is judged and recorded
// is always upstream/tool.
import assert from "node:assert/strict";
import { test } from "node:test";
import { atr, ledger, leavesOf, mint, policyDirectory, start, stub } from "./lib/harness.mjs";
import { Session, textOf } from "./lib/session.mjs";
import { sdkHttp } from "./lib/sdk.mjs";

const kLong = `a-tool-with-a-name-that-is-longer-than-any-client-takes-${"x".repeat(40)}`;
const server = (name, ...tools) => ({ command: stub("tools-server.mjs", name, ...tools) });
const upstreams = {
  one: server("one", "--page=2", "alpha", "same", "beta", "gamma", "delta"), two: server("two", "same", "zeta", kLong),
  dead: { command: ["/no/such/server"], startTimeoutSeconds: 2 },
};
const virtualServers = {
  desk: { upstreams: ["two", "one"], tools: ["one/alpha", "one/same", "two/*"], naming: "on-conflict" },
  flat: { upstreams: ["two", "one"], naming: "never" },
  single: { upstreams: ["one"], tools: ["*/beta"] },
};
const policy = policyDirectory({ upstreams, virtualServers });
const gateway = await start(policy);
const token = mint(policy);
const federation = new URL("/mcp", gateway.url("one")).href;

const shown = ({ result }) => result.tools.map(({ name }) => name);
const everything = ["one__alpha", "one__same", "one__beta", "one__gamma", "one__delta", "two__same", "two__zeta"];

// All pages of a list.
async function listAll(session) {
  const pages = [];
  for (let cursor; pages.length < 20; cursor = pages.at(-1).result.nextCursor) {
    pages.push(await session.rpc("tools/list", cursor === undefined ? undefined : { cursor }));
    assert.ok(pages.at(-1).result, JSON.stringify(pages.at(-1).error));
    if (pages.at(-1).result.nextCursor === undefined) break;
  }
  return { names: pages.flatMap(shown), tools: pages.flatMap(({ result }) => result.tools), unavailable: pages.flatMap(({ result }) => result._meta?.["zwinger/unavailable"] ?? []), pages };
}

const ways = { "in a session": () => Session.open(federation, token), "without a session": async () => new Session(federation, token) };

for (const [way, open] of Object.entries(ways)) {
  test(`/mcp lists what all upstreams have, by upstream__tool, and names the dead one, ${way}`, async () => {
    const session = await open();
    const { names, tools, unavailable } = await listAll(session);
    const long = names.find((name) => name.includes("longer"));
    // Page by page: a page holds one page of each upstream, in the order of the upstreams.
    const of = (upstream) => names.filter((name) => name.startsWith(`${upstream}__`) && name !== long);
    assert.deepEqual([...of("one"), ...of("two")], everything, "each tool once, in its server's order");
    assert.equal(names.length, everything.length + 1);
    assert.deepEqual(names.slice(0, 3), ["one__alpha", "one__same", "two__same"]);
    assert.equal(tools[0].description, "alpha of one", "each as its server describes it");
    assert.deepEqual([...new Set(unavailable)], ["dead"]);
    assert.match(long, /^two__a-tool-with.*_[0-9a-f]{8}$/);
    assert.equal(long.length, 64);
    for (const [name, said] of [["one__same", "one same"], ["two__same", "two same"], ["two__zeta", "two zeta"], ["one__delta", "one delta"], [long, `two ${kLong}`]]) {
      const answer = await session.call(name, { a: 1 });
      assert.equal(textOf(answer), `${said} {"a":1}`);
    }
    const again = await listAll(session);
    assert.deepEqual(again.names, names, "the order is stable");
  });

  test(`names that lead nowhere are refused, ${way}`, async () => {
    const session = await open();
    for (const name of ["alpha", "nobody__alpha", "one_alpha", "one__", "__alpha", "one/alpha", "two__alpha__same", "ONE__alpha"]) {
      const answer = await session.call(name);
      assert.ok(answer.error, name);
      assert.doesNotMatch(JSON.stringify(answer), /one alpha/);
    }
    const dead = await session.call("dead__anything");
    assert.equal(dead.error.data.reason, "upstream_unavailable");
    assert.equal(textOf(await session.call("one__alpha")), "one alpha {}");
  });
}

test("what is recorded is upstream and raw tool, one decision and one outcome", async () => {
  const session = await Session.open(federation, token);
  const before = ledger(policy).length;
  await session.call("two__same", {});
  const leaves = ledger(policy).slice(before).filter(({ tool }) => tool !== undefined);
  assert.deepEqual(leaves.map(({ kind, upstream, tool }) => [kind, upstream, tool]), [["decision", "two", "same"], ["outcome", "two", "same"]]);
});

test("a grant cuts the list, and a call by any name", async () => {
  const narrow = mint(policy, atr({ toolsInScope: ["one/alpha", "two/zeta"], toolsOutOfScope: ["one/beta"] }));
  const session = await Session.open(federation, narrow);
  assert.deepEqual((await listAll(session)).names, ["one__alpha", "two__zeta"]);
  assert.equal(textOf(await session.call("one__alpha")), "one alpha {}");
  for (const [name, reason] of [["one__same", "tool_not_in_scope"], ["two__same", "tool_not_in_scope"], ["one__beta", "tool_out_of_scope"]]) {
    const answer = await session.call(name);
    assert.equal(answer.error.data.reason, reason, name);
    const call = answer.error.data.callId;
    assert.equal(leavesOf(policy, call).decision.verdict, "deny");
  }
  const none = await Session.open(federation, mint(policy, atr({ toolsInScope: [] })));
  assert.deepEqual((await listAll(none)).names, []);
});

test("a virtual server shows its selection under its own URL, and nothing else can be called there", async () => {
  const session = await Session.open(gateway.url("desk"), token);
  const { names } = await listAll(session);
  assert.deepEqual(names.map((name) => (name.length === 64 ? "(long)" : name)), ["two__same", "zeta", "(long)", "alpha", "one__same"], "prefixes only where two have one name");
  assert.equal(textOf(await session.call("alpha")), "one alpha {}");
  assert.equal(textOf(await session.call("one__same")), "one same {}");
  assert.equal(textOf(await session.call("two__same")), "two same {}");
  for (const name of ["beta", "one__beta", "gamma", "same"]) {
    const answer = await session.call(name);
    assert.ok(answer.error, name);
  }
  // A selection widens no grant.
  const narrow = await Session.open(gateway.url("desk"), mint(policy, atr({ toolsInScope: ["one/alpha"] })));
  assert.deepEqual((await listAll(narrow)).names, ["alpha"]);
  assert.equal((await narrow.call("zeta")).error.data.reason, "tool_not_in_scope");
});

test("naming never: the first upstream's tool is meant, and shown once", async () => {
  const session = await Session.open(gateway.url("flat"), token);
  const { names } = await listAll(session);
  assert.deepEqual(names.map((name) => (name.length > 60 ? "(long)" : name)), ["same", "zeta", "(long)", "alpha", "beta", "gamma", "delta"]);
  assert.equal(textOf(await session.call("same")), "two same {}");
  assert.equal(textOf(await session.call("gamma")), "one gamma {}");
});

test("a virtual server of one upstream keeps its selection", async () => {
  const session = await Session.open(gateway.url("single"), token);
  assert.deepEqual((await listAll(session)).names, ["one__beta"]);
  assert.equal(textOf(await session.call("one__beta")), "one beta {}");
  assert.ok((await session.call("one__alpha")).error);
});

test("a session belongs to its URL", async () => {
  const session = await Session.open(gateway.url("desk"), token);
  for (const url of [federation, gateway.url("one"), gateway.url("flat")]) {
    const elsewhere = new Session(url, token);
    elsewhere.id = session.id;
    assert.equal((await elsewhere.start("ping").exchange.whole()).status, 404);
  }
});

test("the SDK works against /mcp", async () => {
  const client = await sdkHttp(federation, token);
  assert.match(client.getInstructions() ?? "", /one/);
  const { tools } = await client.listTools();
  assert.ok(tools.length >= 2);
  assert.equal((await client.callTool({ name: "two__zeta", arguments: { b: 2 } })).content[0].text, 'two zeta {"b":2}');
  await assert.rejects(client.callTool({ name: "nobody__zeta", arguments: {} }));
  await client.ping();
  await client.close();
});

test("an upstream that hangs costs a list its own time limit, and is named", async () => {
  const directory = policyDirectory({ upstreams: { hung: { ...server("hung", "--hang", "x"), timeoutSeconds: 1 }, one: server("one", "alpha") } });
  const other = await start(directory);
  const session = await Session.open(new URL("/mcp", other.url("one")).href, mint(directory));
  const { names, unavailable } = await listAll(session);
  assert.deepEqual([names, [...new Set(unavailable)]], [["one__alpha"], ["hung"]]);
  assert.equal((await session.call("hung__x")).error.data.reason, "upstream_timeout");
  assert.equal(textOf(await session.call("one__alpha")), "one alpha {}");
  assert.equal((await other.stop()).code, 0);
});

test("the naming of /mcp is the policy's", async () => {
  for (const [naming, expected] of [["on-conflict", ["one__same", "alpha", "two__same", "zeta"]], ["never", ["same", "alpha", "zeta"]]]) {
    const directory = policyDirectory({ upstreams: { one: server("one", "same", "alpha"), two: server("two", "same", "zeta") }, naming });
    const other = await start(directory);
    const session = await Session.open(new URL("/mcp", other.url("one")).href, mint(directory));
    assert.deepEqual((await listAll(session)).names, expected, naming);
    assert.equal(textOf(await session.call("alpha")), "one alpha {}");
    assert.equal(textOf(await session.call(naming === "never" ? "same" : "one__same")), "one same {}");
    assert.equal((await other.stop()).code, 0);
  }
});

test("the gateway ends in order, every share with both its leaves", async () => {
  assert.equal((await gateway.stop()).code, 0);
  const calls = new Map();
  for (const leaf of ledger(policy)) if (leaf.call) calls.set(leaf.call, [...(calls.get(leaf.call) ?? []), leaf.kind]);
  for (const [call, kinds] of calls) assert.deepEqual(kinds, ["decision", "outcome"], call);
});
