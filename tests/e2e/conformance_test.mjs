// The official conformance suite, revision 2025-11-25: its server scenarios against our fixture and its client scenarios
// against our client, once directly and once through the gateway. The direct run is the oracle: scenario by scenario and
// check by check, what comes out behind the gateway has to be the same.
import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { test } from "node:test";
import { startGateway, startServer } from "./conformance_gateway.mjs";
import { startProxy } from "./fixtures/conformance-proxy.mjs";
import { endAfter, environment, fixture, folder, launch, root } from "./lib/harness.mjs";
import { startTap } from "./lib/recorder.mjs";

endAfter(4);
const kRevision = "2025-11-25";
const suite = path.join(root, "node_modules/@modelcontextprotocol/conformance");

// What the suite says a revision requires. The file is YAML of which we need the lists only.
function requirements() {
  const lists = { server: [], client: [], not_scored: [] };
  let [section, scenario] = ["", ""];
  for (const line of fs.readFileSync(path.join(suite, `requirements/${kRevision}.yaml`), "utf8").split("\n")) {
    section = /^(\w+):/.exec(line)?.[1] ?? section;
    const item = /^ {2}- (?:scenario: )?(\S+)/.exec(line)?.[1];
    if (item && section !== "not_scored") lists[section].push(item);
    scenario = item ?? scenario;
    const leg = section === "not_scored" && /^ {4}leg: (\w+)/.exec(line)?.[1];
    if (leg) lists.not_scored.push({ scenario, leg });
    const reason = /^ {4}reason: (\S+)/.exec(line)?.[1];
    if (reason) lists.not_scored.at(-1).reason = reason;
  }
  return lists;
}
const required = requirements();
// Extensions (client credentials, DPoP, ...) are not part of the revision; what came later, or is pending, is tried.
const alsoTried = (leg) => required.not_scored.filter((entry) => entry.leg === leg && entry.reason !== "extension").map(({ scenario }) => scenario);
const serverScenarios = [...required.server, ...alsoTried("server")];
const clientScenarios = [...required.client, ...alsoTried("client")];

// These test OAuth between the client and the suite's own authorization server, which guards the suite's MCP server. A
// gateway is the protected resource itself: it has its own issuer, never passes a client's token on, and answers a
// request without a token of its issuer with its own challenge. So there is no run through it to compare with; they run
// directly.
const notThroughAGateway = clientScenarios.filter((scenario) => scenario.startsWith("auth/"));
const throughTheGateway = clientScenarios.filter((scenario) => !scenario.startsWith("auth/"));

// --- running the suite ---------------------------------------------------------------------------------

async function runSuite(args, env = {}) {
  const results = folder("conformance");
  const command = [path.join(suite, "dist/index.js"), ...args, "-o", results];
  const child = launch(process.execPath, command, { env: environment(folder("home"), env) });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => (output += text));
  await child.ended;
  return { output: output + child.errors, checks: readResults(results) };
}

// Traffic that the suite logs among its checks. How much of it there is depends on who adds an empty event.
const kTraffic = new Set([
  "incoming-request", "outgoing-request", "incoming-response", "outgoing-response", "incoming-sse-event", "outgoing-sse-event",
  "stream-closed", "outgoing-stream-close",
]);

// scenario -> its checks as lines; the folders are named [server-]SCENARIO-TIME.
function readResults(results) {
  const found = fs.readdirSync(results, { recursive: true }).filter((file) => path.basename(file) === "checks.json");
  return new Map(found.map((file) => {
    const scenario = path.dirname(file).replace(/-\d{4}-\d\d-\d\dT[-\d]+Z$/, "");
    const checks = JSON.parse(fs.readFileSync(path.join(results, file), "utf8"));
    return [scenario, checks.filter(({ id }) => !kTraffic.has(id)).map(({ id, status, errorMessage }) => ({ id, status, errorMessage }))];
  }));
}

async function serverRun(url, headers = []) {
  // The suite cannot send a token, so a tap adds it; the direct run has a tap as well, so that both are alike.
  const tap = await startTap(url, { headers });
  const { output, checks } = await runSuite(["server", "--url", tap.url, "--requirements", kRevision]);
  await tap.close();
  return { output, checks: new Map([...checks].map(([scenario, list]) => [scenario.replace(/^server-/, ""), list])) };
}

const client = `"${process.execPath}" "${fixture("conformance-client.mjs")}"`;
const clientRun = (args, env) => runSuite(["client", "--command", client, ...args], env);

// --- comparing ---------------------------------------------------------------------------------------------

const passed = (checks) => checks?.length > 0 && checks.every(({ status }) => status !== "FAILURE");
const failuresOf = (checks) => (checks ?? []).filter(({ status }) => status === "FAILURE").map(({ id, errorMessage }) => `${id}: ${errorMessage}`);

// One line for each check that differs: scenario, check, directly, through the gateway.
function differing(scenarios, direct, through) {
  return scenarios.flatMap((scenario) => {
    const [a, b] = [direct.get(scenario) ?? [], through.get(scenario) ?? []];
    const ids = [...new Set([...a, ...b].map(({ id }) => id))];
    const statuses = (checks, id) => checks.filter((check) => check.id === id).map(({ status }) => status).join(" ") || "absent";
    const rows = ids.filter((id) => statuses(a, id) !== statuses(b, id)).map((id) =>
      [scenario, id, statuses(a, id), statuses(b, id), b.find((check) => check.id === id)?.errorMessage ?? ""]);
    return b.length === 0 ? [[scenario, "(the whole scenario)", `${a.length} checks`, "absent", ""]] : rows;
  });
}

function table(rows) {
  const head = ["scenario", "check", "directly", "through the gateway", "why"];
  const widths = head.map((title, column) => Math.max(...[head, ...rows].map((row) => row[column].slice(0, 60).length)));
  const shown = (cell, column) => cell.replaceAll("\n", " ").slice(0, column === 4 ? 200 : 60).padEnd(widths[column]);
  return [head, ...rows].map((row) => row.map(shown).join("  ").trimEnd()).join("\n");
}

function assertAgree(scenarios, direct, through, output) {
  const rows = differing(scenarios, direct, through);
  assert.equal(rows.length, 0, `${rows.length} checks differ\n${table(rows)}\n${output.slice(-2000)}`);
}

// A scenario may be called flaky only where a direct run shows it; then what it says behind the gateway says nothing.
async function steady(scenarios, direct, again) {
  const unsteady = new Set(differing(scenarios, direct, again).map(([scenario]) => scenario));
  for (const scenario of unsteady) console.log(`${scenario} is flaky without a gateway: two direct runs differ`);
  return scenarios.filter((scenario) => !unsteady.has(scenario));
}

// --- server scenarios -----------------------------------------------------------------------------------------

const server = await startServer();
const directServer = await serverRun(server.url);

test("directly: every server scenario runs, and all that are required pass", () => {
  assert.equal(required.server.length, 30);
  assert.deepEqual(serverScenarios.filter((scenario) => !directServer.checks.has(scenario)), [], directServer.output.slice(-2000));
  for (const scenario of serverScenarios) {
    assert.ok(passed(directServer.checks.get(scenario)), `${scenario}: ${failuresOf(directServer.checks.get(scenario))}`);
  }
});

async function throughProxy(...faults) {
  const proxy = await startProxy(server.url, { faults });
  const { checks } = await serverRun(proxy.url);
  await proxy.close();
  return differing(serverScenarios, directServer.checks, checks);
}

test("the server scenarios see no difference in a faultless gateway", async () => {
  const rows = await throughProxy();
  assert.equal(rows.length, 0, table(rows));
});

test("the server scenarios see a gateway that drops Last-Event-ID and _meta", async () => {
  const scenarios = (await throughProxy("dropLastEventId", "dropMeta")).map(([scenario]) => scenario);
  assert.ok(scenarios.includes("server-sse-polling") && scenarios.includes("tools-call-with-progress"), scenarios.join(" "));
});

test("through the gateway: the server scenarios agree one by one", async () => {
  const gateway = await startGateway({ fixture: { url: server.url } });
  const through = await serverRun(gateway.url("fixture"), [["Authorization", `Bearer ${gateway.token}`]]);
  await gateway.stop();
  const scenarios = differing(serverScenarios, directServer.checks, through.checks).length === 0 ? serverScenarios
    : await steady(serverScenarios, directServer.checks, (await serverRun(server.url)).checks);
  assertAgree(scenarios, directServer.checks, through.checks, through.output);
});

// --- client scenarios -------------------------------------------------------------------------------------------

const directClient = await clientRun(["--requirements", kRevision]);

test("directly: every client scenario runs, and all that are required pass", () => {
  assert.equal(required.client.length, 18);
  for (const scenario of clientScenarios) {
    assert.ok(passed(directClient.checks.get(scenario)), `${scenario}: ${failuresOf(directClient.checks.get(scenario))}`);
  }
});

test("which client scenarios cannot go through a gateway", () => {
  assert.deepEqual(throughTheGateway, [
    "initialize", "tools_call", "elicitation-sep1034-client-defaults", "sse-retry", "json-schema-2020-12-preservation",
  ]);
  assert.equal(notThroughAGateway.length, 14);
});

// Gives the client of a scenario another way to the server that the suite has just started for it: `begin(url)` puts a
// system before that server and gives {url, headers, stop}.
async function startBroker(begin) {
  const broker = { systems: [], problems: [] };
  const listener = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    try {
      const system = await begin(Buffer.concat(chunks).toString("utf8").replace("//localhost:", "//127.0.0.1:"));
      broker.systems.push(system);
      response.end(JSON.stringify({ url: system.url, headers: system.headers }));
    } catch (error) {
      broker.problems.push(error.message);
      response.writeHead(500).end(error.message);
    }
  });
  await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
  broker.url = `http://127.0.0.1:${listener.address().port}/`;
  broker.close = async () => {
    await Promise.all(broker.systems.map((system) => system.stop()));
    listener.closeAllConnections();
    await new Promise((resolve) => listener.close(resolve));
  };
  return broker;
}

async function clientRunThrough(begin) {
  const broker = await startBroker(begin);
  const checks = new Map();
  let output = "";
  for (const scenario of throughTheGateway) {
    const run = await clientRun(["--scenario", scenario, "--spec-version", kRevision], { CONFORMANCE_BROKER: broker.url });
    for (const [name, list] of run.checks) checks.set(name, list);
    output += run.output;
  }
  await broker.close();
  assert.deepEqual(broker.problems, []);
  assert.equal(broker.systems.length, throughTheGateway.length, "each scenario went through a system of its own");
  return { checks, output };
}

async function proxyFor(url, ...faults) {
  const proxy = await startProxy(url, { faults });
  return { url: proxy.url, headers: {}, stop: proxy.close };
}

async function gatewayFor(url) {
  const gateway = await startGateway({ suite: { url } });
  return { url: gateway.url("suite"), headers: { Authorization: `Bearer ${gateway.token}` }, stop: gateway.stop };
}

test("the client scenarios see no difference in a faultless gateway", async () => {
  const { checks, output } = await clientRunThrough((url) => proxyFor(url));
  assertAgree(throughTheGateway, directClient.checks, checks, output);
});

test("the client scenarios see a gateway that drops Last-Event-ID", async () => {
  const { checks } = await clientRunThrough((url) => proxyFor(url, "dropLastEventId"));
  assert.deepEqual(differing(throughTheGateway, directClient.checks, checks).map(([scenario, id]) => `${scenario} ${id}`),
    ["sse-retry client-sse-last-event-id"]);
});

test("through the gateway: the client scenarios agree one by one", async () => {
  const { checks, output } = await clientRunThrough(gatewayFor);
  const scenarios = differing(throughTheGateway, directClient.checks, checks).length === 0 ? throughTheGateway
    : await steady(throughTheGateway, directClient.checks, (await clientRun(["--requirements", kRevision])).checks);
  assertAgree(scenarios, directClient.checks, checks, output);
});
