// Hot reload: a policy that is renamed into place, or SIGHUP, is in force within two seconds; a bad one never is, loudly; and
// what did not change is not disturbed.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, test } from "node:test";
import { startHttpServer } from "./fixtures/http-server.mjs";
import { admin, metric } from "./lib/gateway.mjs";
import { alive, atr, eventually, ledger, mint, policyDirectory, processesWith, start, stub } from "./lib/harness.mjs";
import { Session, textOf } from "./lib/session.mjs";

const kSoon = 2000;
const remote = await startHttpServer({ tools: { ok: (call) => call.answer("fine") } });
after(() => remote.close());

const roles = {
  operator: { scope: ["tools:list", "tools:call"], toolsInScope: ["*/*"], verticals: ["lending"] },
};
const policy = policyDirectory({
  upstreams: { bad: { command: stub("bad-server.mjs") }, going: { command: stub("bad-server.mjs") }, remote: { url: remote.url } }, roles,
});
const gateway = await start(policy);
const token = mint(policy);
const file = path.join(policy, "zwinger.yaml");
const original = fs.readFileSync(file, "utf8");

// Puts a text in place as an editor should: written beside it, then renamed.
function rename(text, name = "zwinger.yaml") {
  const temporary = path.join(policy, `.${name}.new`);
  fs.writeFileSync(temporary, text);
  fs.renameSync(temporary, path.join(policy, name));
}
const loads = () => metric(policy, 'zwinger_policy_reloads_total{result="ok"}');
const refusals = () => metric(policy, 'zwinger_policy_reloads_total{result="refused"}');
const edit = (text, from, to) => {
  assert.ok(text.includes(from), from);
  return text.replace(from, to);
};
// Until a probe holds, and how long that took.
async function soon(what, probe) {
  const begun = Date.now();
  await eventually(what, probe, kSoon);
  return Date.now() - begun;
}

const session = await Session.open(gateway.url("bad"), token);
const second = await Session.open(gateway.url("remote"), token);
const pid = textOf(await session.call("pid"));
const reasonFor = async (tool) => (await session.call(tool)).error?.data.reason;

test("a role narrowed by a rename is in force within two seconds, without a restart, and sessions stay", async () => {
  assert.ok(textOf(await session.call("environment")));
  const narrow = edit(original, 'toolsInScope: ["*/*"]', 'toolsInScope: ["bad/pid", "bad/ok", "remote/*"]');
  const before = await loads();
  rename(narrow);
  const took = await soon("the narrowed role denies", async () => (await reasonFor("environment")) === "tool_not_in_scope");
  console.log(`# in force after ${took} ms`);
  assert.equal(textOf(await session.call("pid")), pid, "the same session, the same process");
  const { tools } = (await session.rpc("tools/list")).result;
  assert.deepEqual(tools.map(({ name }) => name).sort(), ["ok", "pid"]);
  assert.equal(textOf(await second.call("ok")), "fine");
  assert.equal(await loads(), before + 1);
  rename(original);
  await soon("the role is wide again", async () => (await reasonFor("environment")) === undefined);
  assert.equal(textOf(await session.call("pid")), pid);
  // The record says which policy judged.
  const generations = new Set(ledger(policy).filter(({ kind }) => kind === "decision").map(({ generation }) => generation));
  assert.equal(generations.size, 2);
  await eventually("a notice", () => ledger(policy).some(({ event }) => event === "policy_loaded"));
});

test("a role file that is renamed into roles/ is read, and taken away again", async () => {
  const fresh = mint(policy, atr({ role: "guest" }));
  const guest = new Session(gateway.url("bad"), fresh);
  assert.equal((await guest.call("ok")).error.data.reason, "role_unknown");
  fs.mkdirSync(path.join(policy, "roles"), { recursive: true });
  fs.writeFileSync(path.join(policy, "roles/.new"), 'guest:\n  scope: ["tools:call"]\n  toolsInScope: ["bad/ok"]\n  verticals: ["lending"]\n');
  fs.renameSync(path.join(policy, "roles/.new"), path.join(policy, "roles/guest.yaml"));
  gateway.child.kill("SIGHUP");  // the folder is new: nobody watched it
  await soon("the new role holds", async () => textOf(await guest.call("ok")) === "fine");
  assert.equal((await guest.call("pid")).error.data.reason, "tool_not_in_scope");
  fs.rmSync(path.join(policy, "roles"), { recursive: true });
  gateway.child.kill("SIGHUP");
  await soon("the role is gone", async () => (await guest.call("ok")).error?.data.reason === "role_unknown");
});

const broken = {
  "half a file": original.slice(0, original.length / 2), "an unknown key": `${original}colour: red\n`, "an empty file": "",
  "a role that is a list": edit(original, 'toolsInScope: ["*/*"]', "toolsInScope: 7"), "no upstreams": original.replace(/upstreams:[^]*?(?=roles:)/, ""),
};
for (const [what, text] of Object.entries(broken)) {
  test(`${what} keeps the policy in force, and is told`, async () => {
    const [errors, count, taken] = [gateway.child.errors.length, await refusals(), await loads()];
    rename(text);
    await soon("the refusal is counted", async () => (await refusals()) === count + 1);
    const said = gateway.child.errors.slice(errors);
    assert.match(said, /the new policy is not used: [a-z_]+: .*zwinger\.yaml/);
    assert.match(said, /stays in force/);
    assert.ok(textOf(await session.call("environment")), "what was allowed still is");
    assert.equal(textOf(await session.call("pid")), pid);
    assert.equal((await admin(policy, "/readyz")).status, 200);
    assert.equal(await loads(), taken);
    rename(original);
    await soon("the good one is the one in force", () => gateway.child.errors.slice(errors + said.length).includes("unchanged"));
  });
}

test("a file that is written in place, in pieces, is never half a policy", async () => {
  const [count, taken] = [await refusals(), await loads()];
  const narrow = edit(original, 'toolsInScope: ["*/*"]', 'toolsInScope: ["bad/ok"]');
  const descriptor = fs.openSync(file, "w");
  for (let at = 0; at < narrow.length; at += 100) {
    fs.writeSync(descriptor, narrow.slice(at, at + 100));
    assert.equal(textOf(await session.call("pid")), pid, "judged by the old policy");
  }
  fs.closeSync(descriptor);
  assert.equal(textOf(await session.call("pid")), pid);
  assert.deepEqual([await refusals(), await loads()], [count, taken], "nobody looked at it");
  gateway.child.kill("SIGHUP");
  await soon("SIGHUP reads it", async () => (await reasonFor("pid")) === "tool_not_in_scope");
  rename(original);
  await soon("and a rename the next", async () => (await reasonFor("pid")) === undefined);
});

test("SIGHUP with nothing changed changes nothing", async () => {
  const [count, taken, errors] = [await refusals(), await loads(), gateway.child.errors.length];
  for (let i = 0; i < 5; ++i) gateway.child.kill("SIGHUP");
  await soon("it says so", () => gateway.child.errors.slice(errors).includes("unchanged"));
  assert.equal(textOf(await session.call("pid")), pid);
  assert.deepEqual([await refusals(), await loads()], [count, taken]);
});

test("what needs a restart is refused with policy_restart, all of it", async () => {
  for (const [what, text] of Object.entries({
    listeners: edit(original, "127.0.0.1:0", "127.0.0.1:1"), mode: edit(original, '"development"', '"production"'),
    stateDir: edit(original, 'stateDir: "state"', 'stateDir: "elsewhere"'), admin: `${original}admin:\n  address: "unix:${policy}/other.sock"\n`,
    "listeners and roles": edit(edit(original, "127.0.0.1:0", "127.0.0.1:1"), 'toolsInScope: ["*/*"]', "toolsInScope: []"),
  })) {
    const [errors, count] = [gateway.child.errors.length, await refusals()];
    rename(text);
    await soon(`${what}: refused`, async () => (await refusals()) === count + 1);
    assert.match(gateway.child.errors.slice(errors), /policy_restart/, what);
    assert.equal(textOf(await session.call("pid")), pid, "no part of it is in force");
    rename(original);
    await soon("the good one again", () => /unchanged/.test(gateway.child.errors.slice(errors)));
  }
});

test("the issuer's keys are read again", async () => {
  const jwks = path.join(policy, "jwks.json");
  const keys = fs.readFileSync(jwks, "utf8");
  const strangers = policyDirectory({ upstreams: { bad: { command: stub("bad-server.mjs") } } });
  const foreign = mint(strangers);
  assert.equal((await new Session(gateway.url("bad"), foreign).start("ping").exchange.whole()).status, 401);
  rename(fs.readFileSync(path.join(strangers, "jwks.json"), "utf8"), "jwks.json");
  await soon("the new key counts", async () => (await new Session(gateway.url("bad"), foreign).start("ping").exchange.whole()).status === 200);
  assert.equal((await session.start("ping").exchange.whole()).status, 401, "the old one no longer does, not even in a session, cached or not");
  rename(keys, "jwks.json");
  await soon("the old key again", async () => (await session.start("ping").exchange.whole()).status === 200);
  assert.equal(textOf(await session.call("pid")), pid);
});

test("an upstream that is taken away ends its sessions and their processes; the others' go on", async () => {
  const leaving = await Session.open(gateway.url("going"), token);
  const process = Number(textOf(await leaving.call("pid")));
  const waiting = leaving.startCall("never");
  await eventually("the call is on its way", () => ledger(policy).some((leaf) => leaf.kind === "decision" && leaf.tool === "never"));
  const without = original.replace(/  going:\n(    .*\n)+/, "");
  assert.notEqual(without, original);
  rename(without);
  await soon("the session is gone", async () => (await leaving.start("ping").exchange.whole()).status === 404);
  const answer = await waiting.exchange.whole();
  assert.ok(answer.json.error.data.reason, answer.body);
  await eventually("its process is gone", () => !alive(process));
  assert.equal(textOf(await session.call("pid")), pid);
  assert.equal(textOf(await second.call("ok")), "fine");
  await eventually("the outcome of the call", () => ledger(policy).some((leaf) => leaf.kind === "outcome" && leaf.tool === "never"));

  rename(original);
  await soon("it is back", async () => {
    const again = new Session(gateway.url("going"), token);
    return (await again.begin()).message?.result && textOf(await again.call("ok")) === "fine";
  });
});

test("an upstream whose command changed gets new processes, and its old sessions end", async () => {
  const going = await Session.open(gateway.url("going"), token);
  const old = Number(textOf(await going.call("pid")));
  const changed = original.replace(/(  going:\n(?:    .*\n)*?      )/, "$1NEW: \"yes\"\n      ");
  assert.notEqual(changed, original);
  rename(changed);
  await soon("the old session is gone", async () => (await going.start("ping").exchange.whole()).status === 404);
  const fresh = await Session.open(gateway.url("going"), token);
  assert.equal(JSON.parse(textOf(await fresh.call("environment"))).NEW, "yes");
  await eventually("the old process is gone", () => !alive(old));
  assert.equal(textOf(await session.call("pid")), pid);
});

test("reloads in a row, under load, lose no call", async () => {
  const wide = fs.readFileSync(file, "utf8");
  let stop = false;
  const calls = (async () => {
    let count = 0;
    for (; !stop; ++count) assert.equal(textOf(await session.call("pid")), pid);
    return count;
  })();
  const taken = await loads();
  for (let i = 0; i < 8; ++i) {
    rename(`${wide}# ${i}\n`);
    await soon("it is loaded", async () => (await loads()) === taken + i + 1);
  }
  stop = true;
  const count = await calls;
  console.log(`# ${count} calls during 8 reloads`);
  assert.ok(count > 0);
});

test("the gateway ends in order", async () => {
  assert.equal((await gateway.stop()).code, 0);
  await eventually("no process is left", () => processesWith().length === 0);
});
