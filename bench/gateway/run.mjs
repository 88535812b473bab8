// The gateway beside what stands in its place without it: nothing, nginx, and the disk alone. See ../README.md.
//
//   node bench/gateway/run.mjs [--quick] [--json] [--without-gateway]
//     [--rounds N] [--seconds S] [--sessions N]  how often, how long, how many idle sessions
//     [--zwinger PATH] [--bench-gateway PATH]    what `make bench` built, unless given
//     [--bin FOLDER]                             where canned_upstream, load and commit are
//     [--dir FOLDER]                             where policies, state and record go: the file system that is measured
//
// Exit 0: measured, whatever the numbers are. 1: an answer was missing or wrong. 2: it could not run.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import {
  Stop, descriptorLimit, findNginx, holdSessions, loadNow, machine, memory, mustExist, root, runLoad, runToEnd, sleep,
  startGateway, startNginx, startUpstream, workers,
} from "./programs.mjs";

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    "without-gateway": { type: "boolean", default: false },
    rounds: { type: "string" },
    seconds: { type: "string" },
    sessions: { type: "string" },
    zwinger: { type: "string", default: path.join(root, "build/release/src/zwinger") },
    "bench-gateway": { type: "string", default: path.join(root, "build/release/bench/zwinger_bench_gateway") },
    bin: { type: "string", default: path.join(root, "build/release/bench") },
    dir: { type: "string", default: path.join(root, "build/bench") },
  },
});
const quick = options.quick;
const rounds = Number(options.rounds ?? (quick ? 1 : 5));
const seconds = Number(options.seconds ?? (quick ? 0.25 : 1.5));
const warmup = quick ? 0.1 : 0.3;
const idleSessions = Number(options.sessions ?? (quick ? 1000 : 10_000));
const sseEvents = 3;
const upstreams = 100;
const say = (text = "") => options.json || console.log(text);

// --- what is measured --------------------------------------------------------------------------------

const cells = [];
for (const count of [1, 10, 100]) {
  for (const clients of [1, 16, 64]) cells.push({ answer: "JSON", upstreams: count, clients });
}
for (const clients of [1, 16, 64]) cells.push({ answer: "SSE", upstreams: 1, clients });

const median = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};
const medians = (runs) =>
  Object.fromEntries(Object.entries(runs[0]).filter(([, value]) => typeof value === "number")
    .map(([key]) => [key, median(runs.map((run) => run[key]))]));

let seed = 1;
const problems = [];

// One run of one path in one cell. The upstream must have seen each answered call once, and no more than one for each
// client that was waiting when the time was over; a stream must have stayed one.
async function measure(where, cell) {
  const upstream = cell.answer === "SSE" ? servers.sse : servers.json;
  const before = (await upstream.stats()).calls;
  const result = await runLoad(options.bin, {
    port: where.port(cell), path: where.path(cell), upstreams: cell.upstreams, clients: cell.clients, seconds, warmup,
    seed: seed++, session: true, "token-file": where.tokenFile,
  }, where.pid);
  const calls = (await upstream.stats()).calls - before;
  const run = `${where.name}, ${cell.answer}, ${cell.upstreams} upstreams, ${cell.clients} clients`;
  if (result.errors > 0) problems.push(`${run}: ${result.errors} wrong answers, first: ${result.first_error}`);
  const streamed = cell.answer === "SSE" ? result.total : 0;
  if (result.streamed !== streamed) problems.push(`${run}: ${result.streamed} answers came as event streams, not ${streamed}`);
  if (calls < result.total || calls > result.total + cell.clients) {
    problems.push(`${run}: ${result.total} calls answered, but the upstream saw ${calls}`);
  }
  return result;
}

// Everything of one cell, in an order that turns from round to round, so that drift meets all alike.
async function measureRound(round, cell, places) {
  const out = {};
  const steps = places.map((where) => async () => (out[where.name] = await measure(where, cell)));
  if (cell.answer === "JSON" && cell.upstreams === 1) {
    steps.push(async () => {
      out.commit = await runToEnd(options.bin, "commit", { dir: folder, writers: cell.clients, seconds });
    });
  }
  for (let i = 0; i < steps.length; ++i) await steps[(i + round) % steps.length]();
  return out;
}

// --- idle sessions -----------------------------------------------------------------------------------

const mib = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

// Memory of a fresh server before and with idle sessions. A stream takes two descriptors of a proxy, a session one.
async function measureIdle(name, start, streams) {
  const room = descriptorLimit() - 500;
  const sessions = Math.min(idleSessions, streams ? room >> 1 : room);
  const where = await start();
  const common = { port: where.port(cells[0]), path: where.path(cells[0]), "token-file": where.tokenFile };
  await runLoad(options.bin, { ...common, clients: 16, seconds: 0.3, session: true });
  const before = memory(where.pid);
  const release = await holdSessions(options.bin, { ...common, idle: sessions, streams: streams || undefined });
  await sleep(500);
  const with_sessions = memory(where.pid);
  const end = await release();
  if (end.closed > 0) problems.push(`${name}: ${end.closed} of ${sessions} idle sessions were closed`);
  await where.stop();
  const each = (key) => (with_sessions[key] - before[key]) / sessions;
  return { name, streams, sessions, before, with_sessions, rss_each: each("rss"), pss_each: each("pss") };
}

// --- the places where load is sent -------------------------------------------------------------------

const proxyPath = (cell) => (cell.answer === "SSE" ? "/s{}/mcp" : "/u{}/mcp");
const gatewayPath = (cell) => (cell.answer === "SSE" ? "/mcp/s{}" : "/mcp/u{}");

const direct = () => ({
  name: "direct", path: proxyPath, port: (cell) => (cell.answer === "SSE" ? servers.sse : servers.json).port,
});

async function nginx() {
  const { child, port } = await startNginx(nginxProgram.program, {
    folder, upstreams, json: servers.json.port, sse: servers.sse.port, descriptors: Math.min(descriptorLimit(), 65_536),
  });
  return { name: "nginx", path: proxyPath, port: () => port, pid: child.pid, stop: child.stop };
}

const zwinger = (name, argv) => async () => {
  const { child, port, tokenFile } = await startGateway(options.zwinger, argv, {
    folder, upstreams, json: servers.json.port, sse: servers.sse.port,
  });
  return { name, path: gatewayPath, port: () => port, pid: child.pid, stop: child.stop, tokenFile };
};
const onDisk = zwinger("zwinger, record on disk", [options.zwinger, "gateway"]);
const inMemory = zwinger("zwinger, record in memory", [options["bench-gateway"]]);

// --- what is printed ---------------------------------------------------------------------------------

function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => String(row[column]).length)));
  const line = (row) => row.map((text, column) =>
    (column === 0 ? String(text).padEnd(widths[column]) : String(text).padStart(widths[column]))).join("  ");
  return rows.map((row) => line(row).trimEnd()).join("\n");
}

const whole = (number) => Math.round(number).toString();

function cellTable(results) {
  const rows = [["calls", "clients", "upstreams", "answer", "rate/s", "p50 us", "p90 us", "p99 us", "added p50", "CPU us/call"]];
  for (const { cell, median: of } of results) {
    for (const [name, run] of Object.entries(of)) {
      if (name === "commit") continue;
      rows.push([name, cell.clients, cell.upstreams, cell.answer, whole(run.rate), whole(run.p50), whole(run.p90),
        whole(run.p99), name === "direct" ? "" : whole(run.added_p50), run.cpu_us === undefined ? "" : run.cpu_us.toFixed(1)]);
    }
  }
  return table(rows);
}

function commitTable(results) {
  const rows = [["group commit", "writers", "rate/s", "p50 us", "p90 us", "p99 us", "fdatasync p50", "p99"]];
  for (const { median: of } of results.filter((each) => each.median.commit)) {
    const { writers, rate, p50, p90, p99, sync_p50, sync_p99 } = of.commit;
    rows.push(["raw, about 1 KiB", writers, ...[rate, p50, p90, p99, sync_p50, sync_p99].map(whole)]);
  }
  return table(rows);
}

function idleTable(idle) {
  const rows = [["idle sessions", "sessions", "GET stream", "before (Pss)", "with them", "Pss each", "RSS each"]];
  for (const run of idle) {
    rows.push([run.name, run.sessions, run.streams ? "yes" : "no", mib(run.before.pss), mib(run.with_sessions.pss),
      `${(run.pss_each / 1024).toFixed(2)} KiB`, `${(run.rss_each / 1024).toFixed(2)} KiB`]);
  }
  return table(rows);
}

// --- the numbers to reach ----------------------------------------------------------------------------

const cellOf = (results, clients) =>
  results.find(({ cell }) => cell.clients === clients && cell.upstreams === 1 && cell.answer === "JSON");

// Each ratio is taken within a round; the median of the rounds counts.
function verdicts(results, idle) {
  const at16 = cellOf(results, 16).runs;
  const added = median(at16.map((run) => run["zwinger, record on disk"].p50 - run.direct.p50));
  const limit = median(at16.map((run) => 2 * run.commit.p50 + 300));
  const ratio = (clients) => median(cellOf(results, clients).runs.map((run) =>
    run["zwinger, record in memory"].rate / run.nginx.rate));
  const fresh = idle.find((run) => run.name === "zwinger, record on disk").before.rss;
  return [
    {
      what: "everything on, 16 clients: added p50 <= two raw group commits + 0.3 ms",
      value: `${(added / 1000).toFixed(2)} ms of ${(limit / 1000).toFixed(2)} ms`, holds: added <= limit,
    },
    {
      what: "doorway alone, 16 clients: throughput >= 0.5 of nginx",
      value: `${ratio(16).toFixed(2)} (1 client ${ratio(1).toFixed(2)}, 64 clients ${ratio(64).toFixed(2)})`,
      holds: ratio(16) >= 0.5,
    },
    { what: "memory of an idle gateway <= 120 MB", value: mib(fresh), holds: fresh <= 120e6 },
  ];
}

// --- the run -----------------------------------------------------------------------------------------

const servers = {};
let folder;
let nginxProgram;

async function measureCells(places) {
  const results = cells.map((cell) => ({ cell, runs: [] }));
  for (let round = 0; round < rounds; ++round) {
    for (const result of results) result.runs.push(await measureRound(round, result.cell, places));
    say(`round ${round + 1} of ${rounds} done, load ${loadNow()}`);
  }
  for (const result of results) {
    result.median = Object.fromEntries(Object.keys(result.runs[0]).map((name) => {
      const of = medians(result.runs.map((run) => run[name]));
      if (name !== "commit") of.added_p50 = median(result.runs.map((run) => run[name].p50 - run.direct.p50));
      return [name, of];
    }));
  }
  return results;
}

async function measureAllIdle(starts) {
  const out = [];
  for (const streams of [false, true]) {
    for (const [name, start] of starts) out.push(await measureIdle(name, start, streams));
  }
  return out;
}

async function main() {
  for (const name of ["canned_upstream", "load", "commit"]) mustExist(path.join(options.bin, name), "make bench builds it");
  nginxProgram = findNginx();
  const starts = [["nginx", nginx]];
  if (!options["without-gateway"]) {
    mustExist(options.zwinger, "make bench builds it");
    mustExist(options["bench-gateway"], "make bench builds it");
    starts.push(["zwinger, record on disk", onDisk], ["zwinger, record in memory", inMemory]);
  }
  fs.mkdirSync(options.dir, { recursive: true });
  folder = fs.mkdtempSync(path.join(path.resolve(options.dir), "run-"));
  fs.chmodSync(folder, 0o711);  // nginx's workers may be another user
  process.on("exit", () => fs.rmSync(folder, { recursive: true, force: true }));

  const about = `${machine(folder)}; ${nginxProgram.version} with ${workers} workers; ${new Date().toISOString()}`;
  say(about);
  const busy = os.loadavg()[0] > os.cpus().length / 2;
  if (busy) say("The machine was busy before the bench began: only ratios within a round mean anything.");
  servers.json = await startUpstream(options.bin, ["--get-stream"]);
  servers.sse = await startUpstream(options.bin, ["--sse", String(sseEvents)]);
  const places = [direct()];
  for (const [, start] of starts) places.push(await start());
  const results = await measureCells(places);
  for (const place of places) await place.stop?.();
  const idle = await measureAllIdle(starts);
  const judged = options["without-gateway"] ? [] : verdicts(results, idle);

  if (options.json) {
    console.log(JSON.stringify({ machine: about, busy, rounds, seconds, results, idle, verdicts: judged, problems }, null, 1));
  }
  say(`\nMedians of ${rounds} rounds of ${seconds} s; about 1 KiB each way; SSE answers have ${sseEvents} events before the answer.\n`);
  say(`${cellTable(results)}\n\n${commitTable(results)}\n\n${idleTable(idle)}\n`);
  if (options["without-gateway"]) say("The gateway was left out (--without-gateway): nothing to judge.");
  // Numbers of wrong answers are not numbers.
  if (problems.length > 0 && judged.length > 0) say("Not judged: there were problems.");
  else for (const { what, value, holds } of judged) say(`${holds ? "reached    " : "NOT REACHED"}  ${what}: ${value}`);
  say(`load at the end ${loadNow()}`);
  for (const problem of problems) console.error(problem);
  return problems.length > 0 ? 1 : 0;
}

try {
  process.exit(await main());
} catch (error) {
  console.error(error instanceof Stop ? error.message : error);
  process.exit(2);
}
