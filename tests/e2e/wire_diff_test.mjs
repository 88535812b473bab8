// The wire itself: a script of everything MCP has over HTTP, run once directly against the fixture and once through a
// system between two taps, then compared message by message; lib/recorder.mjs says what may differ.
// First the comparison is tested: it must accept a faultless gateway and see every seeded fault.
import assert from "node:assert/strict";
import { test } from "node:test";
import { startGateway, startServer } from "./conformance_gateway.mjs";
import { startProxy } from "./fixtures/conformance-proxy.mjs";
import { endAfter, option } from "./lib/harness.mjs";
import { differences, startTap } from "./lib/recorder.mjs";
import { runScript, stepsOfItsOwn } from "./wire_diff_script.mjs";

endAfter(4);
const kPatience = 10_000;
const kPatienceWithFault = 1_500;  // a step that waits for what the fault took away is over then

const fixture = await startServer();

async function runDirectly() {
  const tap = await startTap(fixture.url);
  const steps = await runScript(tap.url, [tap], kPatience);
  await tap.close();
  return { record: tap.record, steps };
}

// `startSystem(url)` puts the system under test before `url` and gives {url, headers, close}.
async function runThrough(startSystem, patience = kPatience) {
  const open = [await startTap(fixture.url)];
  try {
    const [behind] = open;
    const system = await startSystem(behind.url);
    open.push(system);
    const before = await startTap(system.url, { headers: system.headers });
    open.push(before);
    const steps = await runScript(before.url, [before, behind], patience);
    return { client: before.record, server: behind.record, steps };
  } finally {
    for (const each of open.reverse()) await each.close();
  }
}

const proxy = (...faults) => (url) => startProxy(url, { faults });
async function zwingerBefore(url) {
  const gateway = await startGateway({ fixture: { url } });
  return { url: gateway.url("fixture"), headers: [["Authorization", `Bearer ${gateway.token}`]], close: gateway.stop };
}

const direct = await runDirectly();
const compare = (through) => differences(direct, through, stepsOfItsOwn);
const table = (found) => `${found.length} differences:\n${found.slice(0, 60).join("\n")}`;

test("the script runs to its end without a system", () => {
  assert.deepEqual(direct.steps.filter(({ failed }) => failed), []);
  assert.ok(direct.record.length > 80, `${direct.record.length} exchanges`);
});

test("two direct runs are equal", async () => {
  const again = await runDirectly();
  const found = compare({ client: again.record, server: again.record, steps: again.steps });
  assert.deepEqual(found, [], table(found));
});

test("a gateway that does only what is allowed shows no difference", async () => {
  const found = compare(await runThrough(proxy()));
  assert.deepEqual(found, [], table(found));
});

// Each fault, and what the comparison has to say about it at the least.
const faults = {
  dropLastEventId: /GET stream resumed/,
  stripCapabilities: /^server: .*initialize.*\/sent\/params\/capabilities\/(sampling|roots|elicitation)/m,
  lateEvents: /^client: an event early.* ms before the end/m,
  bufferSse: /^script: .*(not within|a message)|^client: .*ms before the end/m,
  dropMeta: /^server: .*\/_meta: .* became nothing/m,
  rewriteMeta: /^server: .*_meta\/gateway/m,
  reorderEvents: /^client: .*\/messages\//m,
  dropVersionHeader: /^server: .*\/headers\/mcp-protocol-version: .* became nothing/m,
  changeResult: /^client: .*\/result\/content\/0\/text/m,
  roundNumbers: /123456789012345678901.* became/,
  answerTwice: /^client: .*\/messages\/1: nothing became/m,
  passAuthorization: /^server: .*(authorization)/m,
};
for (const [fault, says] of Object.entries(faults)) {
  test(`seeded fault: ${fault}`, async () => {
    const withToken = async (url) => ({ ...await proxy(fault)(url), headers: [["Authorization", "Bearer a-token"]] });
    const found = compare(await runThrough(withToken, kPatienceWithFault));
    if (option("verbose")) console.log(`${fault}: ${table(found)}`);
    assert.match(found.join("\n"), says, table(found));
  });
}

test("through the gateway: no difference", async () => {
  const found = compare(await runThrough(zwingerBefore));
  assert.deepEqual(found, [], table(found));
});
