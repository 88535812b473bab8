// Starting and watching the programs of the bench: the canned upstream, nginx, the gateway, the load. Everything that is
// started here is ended with this process, however it ends.
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { LineReader, within } from "../../tests/e2e/lib/lines.mjs";

export const root = fileURLToPath(new URL("../..", import.meta.url));

// What keeps the bench from running; printed without a stack.
export class Stop extends Error {}

const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill(child.lastSignal)));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

function launch(command, args, { lastSignal = "SIGKILL", ...options } = {}) {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], ...options });
  child.lastSignal = lastSignal;
  running.add(child);
  child.ended = new Promise((resolve) => {
    child.on("error", (error) => resolve(String(error)));
    child.on("close", (code, signal) => resolve(code ?? signal));
  });
  child.ended.then(() => running.delete(child));
  child.stdin.on("error", () => {});
  child.errors = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (child.errors = (child.errors + text).slice(-4000)));
  child.lines = new LineReader(child.stdout);
  child.stop = async () => {
    child.kill("SIGTERM");
    await within(40_000, `end of ${command}`, child.ended);
  };
  return child;
}

async function firstLine(child, what) {
  const line = await within(60_000, `first line of ${what}`, child.lines.next());
  if (line === null) throw new Stop(`${what} ended before it was ready (${await child.ended}):\n${child.errors}`);
  return JSON.parse(line);
}

export function mustExist(program, how) {
  if (!fs.existsSync(program)) throw new Stop(`${program} does not exist: ${how}`);
  return program;
}

// --- the canned upstream ---------------------------------------------------------------------------

export async function startUpstream(bin, args = []) {
  const child = launch(path.join(bin, "canned_upstream"), args);
  const { port } = await firstLine(child, "canned_upstream");
  const stats = async () => (await fetch(`http://127.0.0.1:${port}/stats`)).json();
  return { child, port, stats };
}

// --- nginx -----------------------------------------------------------------------------------------

const nginxPlaces = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx", "/usr/local/nginx/sbin/nginx"];

export function findNginx() {
  const found = nginxPlaces.find((place) => fs.existsSync(place));
  if (!found) throw new Stop("nginx is missing: as root, apt-get install -y --no-install-recommends nginx-light");
  const version = execFileSync("sh", ["-c", `${found} -v 2>&1`], { encoding: "utf8" });
  return { program: found, version: version.trim().replace(/^.*: /, "") };
}

async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

// As many workers as the gateway has loops.
export const workers = Math.min(8, os.availableParallelism());

// One upstream block, so one pool of kept connections, for each upstream: the gateway has the same.
function nginxConfig({ folder, port, json, sse, upstreams, descriptors }) {
  const proxied = [];
  for (let i = 0; i < upstreams; ++i) proxied.push([`u${i}`, json]);
  proxied.push(["s0", sse]);
  const blocks = proxied.map(([id, to]) =>
    `  upstream ${id} { server 127.0.0.1:${to}; keepalive 64; keepalive_requests 1000000000; keepalive_timeout 600s; }`);
  const places = proxied.map(([id]) => `    location /${id}/ { proxy_pass http://${id}; }`);
  return `worker_processes ${workers};
worker_rlimit_nofile ${descriptors};
daemon off;
${process.getuid() === 0 ? "user root;\n" : ""}pid ${folder}/nginx.pid;
error_log stderr crit;
events { worker_connections ${descriptors}; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  tcp_nodelay on;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_read_timeout 600s;
${blocks.join("\n")}
  server {
    listen 127.0.0.1:${port} backlog=4096;
${places.join("\n")}
    location / { return 404; }
  }
}
`;
}

async function accepts(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.on("connect", () => (socket.destroy(), resolve(true))).on("error", () => resolve(false));
  });
}

// nginx cannot be told to take any free port, so a free one is looked for and tried.
export async function startNginx(program, options) {
  for (let attempt = 1; ; ++attempt) {
    const folder = fs.mkdtempSync(path.join(options.folder, "nginx-"));
    const port = await freePort();
    const config = path.join(folder, "nginx.conf");
    fs.writeFileSync(config, nginxConfig({ ...options, folder, port }));
    // Killed outright, the master would leave its workers behind.
    const child = launch(program, ["-p", folder, "-e", "stderr", "-c", config], { lastSignal: "SIGTERM" });
    let over = false;
    child.ended.then(() => (over = true));
    while (!over && !(await accepts(port))) await sleep(20);
    if (!over) return { child, port };
    if (attempt === 3) throw new Stop(`nginx did not start:\n${child.errors}`);
  }
}

// --- the gateway -----------------------------------------------------------------------------------

function policyText({ json, sse, upstreams }) {
  const blocks = [];
  for (let i = 0; i < upstreams; ++i) {
    blocks.push(`  u${i}:\n    url: "http://127.0.0.1:${json}/u${i}/mcp"\n    vertical: "lending"\n`);
  }
  blocks.push(`  s0:\n    url: "http://127.0.0.1:${sse}/s0/mcp"\n    vertical: "lending"\n`);
  return `mode: "development"
stateDir: "state"
listeners:
  - address: "127.0.0.1:0"
issuers:
  - issuer: "https://dev.zwinger.invalid"
    audience: "zwinger"
    algorithms: ["ES256"]
    jwksFile: "jwks.json"
upstreams:
${blocks.join("")}roles:
  operator:
    scope: ["tools:list", "tools:call"]
    toolsInScope: ["*/*"]
    verticals: ["lending"]
`;
}

const grant = {
  actorType: "agent", role: "operator", tenantId: "acme", verticals: ["lending"],
  scope: ["tools:list", "tools:call"], toolsInScope: ["*/*"], task: { id: "bench" },
};

// A policy directory of its own for each gateway, so that each has its own state and record. `gateway` is the argv that
// serves it; `zwinger` makes keys and tokens.
export async function startGateway(zwinger, gateway, options) {
  const folder = fs.mkdtempSync(path.join(options.folder, "policy-"));
  fs.writeFileSync(path.join(folder, "zwinger.yaml"), policyText(options));
  const run = (args, input = "") =>
    execFileSync(zwinger, args, { input, encoding: "utf8", stdio: ["pipe", "pipe", "pipe"] });
  try {
    run(["token", "keygen", "--policy", folder]);
    const mint = ["token", "mint", "--policy", folder, "--subject", "bench", "--grant", "-", "--ttl", "36000"];
    const tokenFile = path.join(folder, "token");
    fs.writeFileSync(tokenFile, run(mint, JSON.stringify(grant)), { mode: 0o600 });
    const child = launch(gateway[0], [...gateway.slice(1), "--policy", folder, "--json"]);
    const ready = await firstLine(child, gateway[0]);
    return { child, port: Number(new URL(ready.endpoints.u0).port), tokenFile };
  } catch (error) {
    if (error instanceof Stop || error.stderr === undefined) throw error;
    throw new Stop(`${error.message}\n${error.stderr}`);
  }
}

// --- load ------------------------------------------------------------------------------------------

const flags = (options) =>
  Object.entries(options).flatMap(([name, value]) => (value === true ? [`--${name}`] : value === undefined ? [] : [`--${name}`, String(value)]));

// Runs one of our programs to its end; gives what its last line says.
export async function runToEnd(bin, name, options) {
  const child = launch(path.join(bin, name), flags(options));
  const line = await firstLine(child, name);
  const code = await within(300_000, `end of ${name}`, child.ended);
  if (code !== 0) throw new Stop(`${name}: exit ${code}: ${line.first_error ?? ""}\n${child.errors}`);
  return line;
}

// Runs the load against the process `pid`, where there is one; gives the result with the CPU time that the process took
// between beginning and end, without the setting up.
export async function runLoad(bin, options, pid) {
  const child = launch(path.join(bin, "load"), flags(options));
  const begin = await firstLine(child, "load");
  if (begin.event !== "begin") throw new Stop(`load --port ${options.port} --path ${options.path}: ${begin.first_error}`);
  const before = pid ? cpuSeconds(pid) : 0;
  const result = await firstLine(child, "load");
  const cpu = pid ? cpuSeconds(pid) - before : 0;
  await within(60_000, "end of load", child.ended);
  return { ...result, cpu_us: pid ? (cpu * 1e6) / Math.max(1, result.total) : undefined };
}

// Opens idle sessions and gives a function that ends them and says how many had stayed open.
export async function holdSessions(bin, options) {
  const child = launch(path.join(bin, "load"), flags(options));
  const ready = await firstLine(child, "load --idle");
  if (ready.event !== "ready") throw new Stop(`load --idle: only ${ready.sessions} sessions: ${ready.first_error}`);
  return async () => {
    child.stdin.end();
    const end = await firstLine(child, "load --idle");
    await child.ended;
    return end;
  };
}

// --- what the kernel says --------------------------------------------------------------------------

export const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function stat(pid) {
  try {
    const text = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");  // from the third field, the state
    return { parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) };
  } catch {
    return undefined;  // it has just ended
  }
}

// A process and all that descend from it.
function family(pid) {
  const parents = new Map();
  for (const entry of fs.readdirSync("/proc")) {
    if (/^\d+$/.test(entry)) parents.set(Number(entry), stat(entry)?.parent);
  }
  const members = [pid];
  for (const member of members) for (const [child, parent] of parents) if (parent === member) members.push(child);
  return members;
}

const tick = 1 / Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

// CPU seconds so far, user and system.
export const cpuSeconds = (pid) => family(pid).reduce((sum, each) => sum + (stat(each)?.ticks ?? 0), 0) * tick;

// Bytes; Pss shares what several processes have mapped among them, so it can be summed.
export function memory(pid) {
  const sum = { rss: 0, pss: 0 };
  for (const each of family(pid)) {
    const text = fs.readFileSync(`/proc/${each}/smaps_rollup`, "utf8");
    for (const key of ["rss", "pss"]) sum[key] += 1024 * Number(new RegExp(`^${key}:\\s+(\\d+)`, "im").exec(text)[1]);
  }
  return sum;
}

export function descriptorLimit() {
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(fs.readFileSync("/proc/self/limits", "utf8"))[1];
  return hard === "unlimited" ? 1 << 20 : Number(hard);
}

export function machine(folder) {
  const cpu = os.cpus()[0]?.model.trim() ?? "unknown CPU";
  const disk = execFileSync("stat", ["-f", "-c", "%T", folder], { encoding: "utf8" }).trim();
  const memoryGb = Math.round(os.totalmem() / 2 ** 30);
  return `${os.cpus().length} x ${cpu}, ${memoryGb} GiB, Linux ${os.release()}, record on ${disk}, load ${loadNow()}`;
}
export const loadNow = () => os.loadavg().map((load) => load.toFixed(2)).join(" ");
