// What every end-to-end test needs: scratch folders, policy directories, a running Zwinger, tokens, the record.
//
// Run a test as `node NAME_test.mjs --zwinger PATH`. Ports are 0, files live in scratch folders, waiting is for conditions.
// Everything started here is ended at exit, however the test ends: programs and upstreams carry a mark in their environment,
// so that even a process that left its session and its parents is found.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";
import { LineReader, within } from "./lines.mjs";

export { within };

export const root = fileURLToPath(new URL("../../..", import.meta.url));
export const fixture = (name) => path.join(root, "tests/e2e/fixtures", name);

export function option(name) {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? undefined : process.argv[at + 1];
}

export const zwinger = path.resolve(option("zwinger") ?? path.join(root, "build/release/src/zwinger"));
if (!fs.existsSync(zwinger)) {
  console.error(`${zwinger} does not exist; build it, or pass --zwinger PATH`);
  process.exit(2);
}

// --- scratch folders and cleaning up ---------------------------------------------------------------

const [markName, markValue] = ["ZWINGER_TEST_MARK", randomUUID()];
const mark = `${markName}=${markValue}`;
const children = new Set();
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "zwinger-e2e-"));

export function folder(name) {
  return fs.mkdtempSync(path.join(scratch, `${name}-`));
}

// Ids of the living processes that have this text in their environment.
export function processesWith(text = mark) {
  return fs.readdirSync("/proc").filter((entry) => /^\d+$/.test(entry)).map(Number).filter((pid) => {
    try {
      return fs.readFileSync(`/proc/${pid}/environ`).includes(text) && processState(pid) !== "Z";
    } catch {
      return false;  // it has just ended, or is not ours to read
    }
  });
}

export function processState(pid) {
  try {
    return /^State:\s+(\w)/m.exec(fs.readFileSync(`/proc/${pid}/status`, "utf8"))[1];
  } catch {
    return undefined;  // gone
  }
}

export const alive = (pid) => ![undefined, "Z", "X"].includes(processState(pid));

function cleanUp() {
  for (const child of children) child.kill("SIGKILL");
  for (const pid of processesWith()) {
    try {
      process.kill(pid, "SIGKILL");
    } catch { /* it has just ended */ }
  }
  fs.rmSync(scratch, { recursive: true, force: true });
}
process.on("exit", cleanUp);
after(() => children.forEach((child) => child.kill("SIGKILL")));  // so that the event loop can end
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));
// Ends the test with a word where CTest's TIMEOUT would end it without one, and leave its processes behind.
let watchdog;
export function endAfter(minutes) {
  clearTimeout(watchdog);
  watchdog = setTimeout(() => {
    console.error(`no end after ${minutes} minutes`);
    process.exit(1);
  }, minutes * 60_000).unref();
}
endAfter(4);

// Polls until `probe` gives something true, and gives that.
export async function eventually(what, probe, milliseconds = 15_000) {
  const end = Date.now() + milliseconds;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (Date.now() > end) assert.fail(`not within ${milliseconds} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// --- programs --------------------------------------------------------------------------------------

// What Zwinger is started with: nothing of the developer's own configuration, and a secret that no upstream may see.
export function environment(home, extra = {}) {
  return {
    PATH: `${path.dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`, LANG: "C.UTF-8", HOME: home,
    XDG_CONFIG_HOME: path.join(home, "config"), XDG_STATE_HOME: path.join(home, "state"),
    GATEWAY_SECRET: "must not reach an upstream", [markName]: markValue, ...extra,
  };
}

export function launch(command, args, options = {}) {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], ...options });
  children.add(child);
  child.ended = new Promise((resolve) => {
    child.on("error", (error) => resolve({ error }));
    child.on("close", (code, signal) => resolve({ code, signal }));
  });
  child.ended.then(() => children.delete(child));
  child.stdin?.on("error", () => {});  // the other side may be gone; tests look at answers
  child.errors = "";
  child.stderr?.setEncoding("utf8").on("data", (text) => (child.errors += text));
  return child;
}

// Runs a subcommand to its end.
export function run(args, { home = scratch, input = "", env = {} } = {}) {
  const done = spawnSync(zwinger, args, {
    input, env: environment(home, env), encoding: "utf8", timeout: 30_000, maxBuffer: 256 << 20,
  });
  assert.equal(done.error, undefined, `zwinger ${args.join(" ")}`);
  return { code: done.status, signal: done.signal, out: done.stdout, err: done.stderr };
}

export function mustRun(args, options) {
  const done = run(args, options);
  assert.equal(done.code, 0, `zwinger ${args.join(" ")}: exit ${done.code}\n${done.err}`);
  return done.out;
}

// --- policy directories ----------------------------------------------------------------------------

// Block YAML for plain data: mappings, lists of mappings, lists of scalars.
export function yaml(value, indent = "") {
  return Object.entries(value).map(([key, member]) => {
    if (Array.isArray(member) && member.some((item) => typeof item === "object")) {
      const items = member.map((item) => `${indent}  - ${yaml(item, `${indent}    `).trimStart()}`);
      return `${indent}${key}:\n${items.join("")}`;
    }
    if (Array.isArray(member)) return `${indent}${key}: [${member.map((item) => JSON.stringify(item)).join(", ")}]\n`;
    if (typeof member === "object") return `${indent}${key}:\n${yaml(member, `${indent}  `)}`;
    return `${indent}${key}: ${JSON.stringify(member)}\n`;
  }).join("");
}

export const issuer = { issuer: "https://dev.zwinger.invalid", audience: "zwinger", algorithms: ["ES256"], jwksFile: "jwks.json" };

const npm = (name) => path.join(root, "node_modules/@modelcontextprotocol", name, "dist/index.js");
export const everything = () => [process.execPath, npm("server-everything"), "stdio"];
export const filesystem = (directory) => [process.execPath, npm("server-filesystem"), directory];
export const stub = (name, ...args) => [process.execPath, fixture(name), ...args];

export const anyTool = {
  operator: { scope: ["tools:list", "tools:call"], toolsInScope: ["*/*"], verticals: ["lending", "insurance"] },
};

// Writes a policy directory with a fresh development key and gives its path.
export function policyDirectory({ upstreams, roles = anyTool, ...rest }) {
  const directory = folder("policy");
  const marked = Object.fromEntries(Object.entries(upstreams).map(([id, upstream]) =>
    [id, { vertical: "lending", ...upstream, ...(upstream.url ? {} : { env: { [markName]: markValue, ...upstream.env } }) }]));
  const document = {
    mode: "development", stateDir: "state", listeners: [{ address: "127.0.0.1:0" }], issuers: [issuer],
    upstreams: marked, roles, ...rest,
  };
  fs.writeFileSync(path.join(directory, "zwinger.yaml"), yaml(document));
  mustRun(["token", "keygen", "--policy", directory]);
  return directory;
}

// --- tokens and grants -----------------------------------------------------------------------------

// A grant for one task of its own; `more` replaces members.
export function atr(more = {}) {
  return {
    actorType: "agent", role: "operator", tenantId: "acme", verticals: ["lending"],
    scope: ["tools:list", "tools:call"], toolsInScope: ["*/*"], task: { id: randomUUID() }, ...more,
  };
}

export function mint(policy, grant = atr(), extra = []) {
  return mustRun(["token", "mint", "--policy", policy, "--subject", "agent-7", "--grant", "-", ...extra],
    { input: JSON.stringify(grant) }).trim();
}

// A local grant file for `wrap`.
export function grantFile(grant = atr(), { exp = Math.floor(Date.now() / 1000) + 3600, mode = 0o600 } = {}) {
  const file = path.join(folder("grant"), "grant.json");
  fs.writeFileSync(file, JSON.stringify({ sub: "someone", exp, atr: grant }), { mode });
  fs.chmodSync(file, mode);
  return file;
}

// --- a running gateway -----------------------------------------------------------------------------

// Starts `zwinger gateway` (or `up`) and waits for its ready line. `under` is a command that runs it, strace for example.
export async function start(policy, { command = "gateway", under = [], env = {} } = {}) {
  const argv = [...under, zwinger, command, "--policy", policy, "--json"];
  const child = launch(argv[0], argv.slice(1), { env: environment(folder("home"), env) });
  const lines = new LineReader(child.stdout);
  const nextReady = async () => {
    for (;;) {
      const line = await within(30_000, `ready line of zwinger ${command}`, lines.next());
      assert.notEqual(line, null, `zwinger ${command} ended before it was ready:\n${child.errors}`);
      const event = JSON.parse(line);
      if (event.event === "ready") return event;
    }
  };
  const ready = await nextReady();
  return {
    child, ready, nextReady, url: (upstream) => ready.endpoints[upstream],
    async stop(signal = "SIGTERM") {
      child.kill(signal);
      return within(20_000, `end of zwinger ${command} after ${signal}`, child.ended);
    },
  };
}

// --- the record ------------------------------------------------------------------------------------

// Every leaf, oldest first. `of` is a policy directory, or with "--state" the state directory of `wrap`.
export function ledger(of, by = "--policy") {
  return mustRun(["ledger", "show", by, of, "--json"]).split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

// The decision and the outcome of one call: exactly one of each, in this order.
export function leavesOf(policy, call) {
  const found = ledger(policy).filter((leaf) => leaf.call === call);
  assert.deepEqual(found.map((leaf) => leaf.kind), ["decision", "outcome"], `leaves of call ${call}`);
  return { decision: found[0], outcome: found[1] };
}
