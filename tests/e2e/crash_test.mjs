// SIGKILLs under load: every answer a client received has its decision and its outcome in the recovered record.
// Ten of them; a hundred where ZWINGER_SOAK is set (make soak), or as many as ZWINGER_CRASH_KILLS says.
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { test } from "node:test";
import { endAfter, ledger, mint, policyDirectory, start, stub, within } from "./lib/harness.mjs";
import { HttpClient } from "./lib/wire.mjs";

endAfter(19);
const kills = Number(process.env.ZWINGER_CRASH_KILLS ?? (process.env.ZWINGER_SOAK ? 100 : 10));
const kClients = 16;

// Runs clients until the gateway is killed, which is after `enough` answers. Gives the call ids of the answers that came whole.
async function round(policy, token, enough) {
  const gateway = await start(policy);
  const answered = [];
  let killed = false;
  const load = async (n) => {
    const client = await HttpClient.open(gateway.url("echo"), token);
    for (let i = 0; !client.connection.ended; ++i) {
      let answer;
      try {
        answer = await client.call("echo", { text: `${n}/${i}` });
      } catch (error) {
        assert.ok(killed, `an answer is missing before the kill: ${error.message}`);
        break;
      }
      assert.equal(answer.result.content[0].text, `${n}/${i}`);
      answered.push(answer.http.headers.get("zwinger-call-id"));
      if (answered.length >= enough && !killed) {
        killed = true;
        process.kill(gateway.ready.pid, "SIGKILL");
      }
    }
    client.close();
  };
  await within(60_000, "the clients notice the kill", Promise.all(Array.from({ length: kClients }, (_, n) => load(n))));
  assert.equal((await gateway.child.ended).signal, "SIGKILL");
  return answered;
}

// The answered calls that lack a leaf.
function missing(answered, leaves) {
  const kinds = new Set(leaves.map((leaf) => `${leaf.kind} ${leaf.call}`));
  return answered.filter((id) => !kinds.has(`decision ${id}`) || !kinds.has(`outcome ${id}`));
}

test("the check notices a missing leaf", () => {
  const leaves = [{ kind: "decision", call: "a" }, { kind: "outcome", call: "a" }, { kind: "decision", call: "b" }];
  assert.deepEqual(missing(["a", "b", "c"], leaves), ["b", "c"]);
});

test(`${kills} SIGKILLs under load`, async () => {
  const policy = policyDirectory({ upstreams: { echo: { command: stub("echo-server.mjs") } } });
  const token = mint(policy);
  const answered = [];
  for (let i = 0; i < kills; ++i) {
    const ids = await round(policy, token, 1 + randomInt(300));
    assert.ok(ids.every((id) => id), "every answer names its call");
    answered.push(...ids);
  }
  assert.equal(new Set(answered).size, answered.length, "call ids are unique, across restarts too");
  const leaves = ledger(policy);
  assert.deepEqual(missing(answered, leaves), []);
  assert.ok(leaves.filter(({ kind }) => kind === "boot").length >= kills);
  console.log(`# ${kills} kills, ${answered.length} answers, all with both leaves on disk`);
});
