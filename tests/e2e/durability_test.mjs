// By system-call trace: fdatasync of the decision returned before a byte went to the upstream, and fdatasync of the
// outcome before a byte of the answer went to the client. Needs strace and the right to trace; without them it fails.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { folder, leavesOf, mint, policyDirectory, start, stub, within } from "./lib/harness.mjs";
import { checkDurability, parseTrace } from "./lib/strace.mjs";
import { HttpClient } from "./lib/wire.mjs";

// --- the reader of traces can say no --------------------------------------------------------------------

const record = "9</s/ledger/gateway-1.log>";
const events = {
  decision: `1 1.0 write(${record}, "aa {\\"kind\\":\\"decision\\",\\"call\\":\\"c1\\"}\\n", 40) = 40`,
  sync1: `1 2.0 fdatasync(${record}) = 0`,
  forward: `2 3.0 writev(11<pipe:[5]>, [{iov_base="{\\"method\\":\\"tools/call\\",\\"m\\":\\"MARK\\"}\\n", iov_len=33}], 1) = 33`,
  outcome: `1 4.0 write(${record}, "aa {\\"kind\\":\\"outcome\\",\\"call\\":\\"c1\\"}\\n", 40) = 40`,
  sync2: `1 5.0 fdatasync(${record}) = 0`,
  answer: `2 6.0 sendmsg(12<socket:[6]>, {msg_name=NULL, msg_iov=[{iov_base="HTTP/1.1 200 OK\\r\\n\\r\\nMARK", iov_len=23}], msg_iovlen=1}, MSG_NOSIGNAL) = 23`,
};
const check = (...names) => checkDurability(parseTrace(names.map((name) => events[name] ?? name).join("\n")), "c1", "MARK");

test("the check accepts the right order", () => {
  check("decision", "sync1", "forward", "outcome", "sync2", "answer");
});

test("the check refuses doctored traces", () => {
  const before = /before its (decision|outcome) was durable/;
  assert.throws(() => check("decision", "forward", "sync1", "outcome", "sync2", "answer"), before);
  assert.throws(() => check("forward", "decision", "sync1", "outcome", "sync2", "answer"), before);
  assert.throws(() => check("decision", "sync1", "forward", "outcome", "answer", "sync2"), before);
  assert.throws(() => check("sync1", "decision", "forward", "outcome", "sync2", "answer"), before);
  assert.throws(() => check("decision", "sync1", "forward", "outcome", "answer"), /fdatasync after the outcome/);
  assert.throws(() => check("decision", "sync1", "outcome", "sync2", "answer"), /the request going to the upstream/);
  // The sync had begun, but not returned, when the request went out.
  const [begun, ended] = [`1 2.0 fdatasync(${record} <unfinished ...>`, "1 3.5 <... fdatasync resumed>) = 0"];
  assert.throws(() => check("decision", begun, "forward", ended, "outcome", "sync2", "answer"), before);
  check("decision", begun, ended, "forward", "outcome", "sync2", "answer");
  // A failed sync makes nothing durable, and neither does one of another file.
  assert.throws(() => check("decision", `1 2.0 fdatasync(${record}) = -1 EIO (Input/output error)`, "forward", "outcome", "sync2", "answer"), before);
  assert.throws(() => check("decision", "1 2.0 fdatasync(7</s/state.db>) = 0", "forward", "outcome", "sync2", "answer"), before);
});

// --- the real thing -------------------------------------------------------------------------------------

test("a permitted call is durable before it is forwarded, and before it is answered", async () => {
  const probe = spawnSync("strace", ["-f", "-e", "trace=exit_group", "true"], { encoding: "utf8" });
  assert.equal(probe.error, undefined, "strace is not installed: make deps installs it");
  assert.equal(probe.status, 0, `strace may not trace processes here, so durability cannot be shown:\n${probe.stderr}`);

  const policy = policyDirectory({ upstreams: { echo: { command: stub("echo-server.mjs") } } });
  const file = path.join(folder("trace"), "trace");
  const trace = "trace=write,writev,pwrite64,pwritev,sendto,sendmsg,fdatasync,fsync,io_uring_enter";
  const gateway = await start(policy, {
    under: ["strace", "-f", "--seccomp-bpf", "-ttt", "-y", "-s", "8192", "-e", trace, "-e", "signal=none", "-o", file],
  });
  const client = await HttpClient.open(gateway.url("echo"), mint(policy));
  await client.initialize();
  const ids = new Map();
  for (let i = 0; i < 20; ++i) {
    const marker = `marker-${i}-of-the-durability-test`;
    const answer = await client.call("echo", { text: marker });
    assert.equal(answer.result.content[0].text, marker);
    ids.set(marker, answer.http.headers.get("zwinger-call-id"));
  }
  await client.close();
  const threads = fs.readdirSync(`/proc/${gateway.ready.pid}/task`);  // the trace holds the upstream's calls too
  process.kill(gateway.ready.pid, "SIGTERM");
  await within(20_000, "the traced gateway ends", gateway.child.ended);

  const calls = parseTrace(fs.readFileSync(file, "utf8")).filter(({ thread }) => threads.includes(thread));
  assert.ok(!calls.some(({ name }) => name === "io_uring_enter"), "writes go past this trace");
  for (const [marker, id] of ids) {
    leavesOf(policy, id);
    checkDurability(calls, id, marker);
  }
  console.log(`# ${ids.size} calls checked in ${calls.length} system calls`);
});
