// The whole feature set of the official SDK's client against npm server-everything: over HTTP through the gateway, with the
// server behind it on stdio and on Streamable HTTP, and through `wrap`. What every feature gives must be what it gives
// in a direct run. (sdk_test.mjs has what a grant hides; here the grant allows everything.)
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { after, test } from "node:test";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { InMemoryTaskStore } from "@modelcontextprotocol/sdk/experimental/tasks";
import * as mcp from "@modelcontextprotocol/sdk/types.js";
import { everythingOf, startGateway, startServer } from "./conformance_gateway.mjs";
import { startProxy } from "./fixtures/conformance-proxy.mjs";
import { atr, environment, eventually, everything, folder, grantFile, stub, zwinger } from "./lib/harness.mjs";

const kUris = ["demo://**", "test://**"];
const kId = "everything";

// --- the client -----------------------------------------------------------------------------------------

// A client that can do everything, and keeps what the server sends by itself.
function fullClient() {
  const taskStore = new InMemoryTaskStore();
  const client = new Client({ name: "full", version: "1", title: "Everything 🏰" }, {
    capabilities: {
      roots: { listChanged: true }, sampling: {}, elicitation: { form: {}, url: {} }, experimental: { "zwinger.test/x": { kept: true } },
      tasks: { list: {}, cancel: {}, requests: { sampling: { createMessage: {} }, elicitation: { create: {} } } },
    },
    taskStore,
  });
  client.onclose = () => taskStore.cleanup();  // it has timers
  const seen = { notices: [], questions: [], roots: [{ uri: "file:///home/one", name: "one" }] };
  const sampled = { role: "assistant", content: { type: "text", text: "forty-two 🏰" }, model: "none", stopReason: "endTurn" };
  client.setRequestHandler(mcp.ListRootsRequestSchema, () => ({ roots: seen.roots }));
  client.setRequestHandler(mcp.CreateMessageRequestSchema, async ({ params }, extra) => {
    seen.questions.push(params);
    if (!params.task) return sampled;
    const task = await extra.taskStore.createTask({ ttl: params.task.ttl, pollInterval: 100 });
    await extra.taskStore.storeTaskResult(task.taskId, "completed", sampled);
    return { task };
  });
  client.setRequestHandler(mcp.ElicitRequestSchema, ({ params }) => {
    seen.questions.push(params);
    if (params.mode === "url") return { action: "accept" };
    const isResearch = "interpretation" in params.requestedSchema.properties;
    return { action: "accept", content: isResearch ? { interpretation: "technical" } : { name: "Ü. Ser", check: true } };
  });
  client.fallbackNotificationHandler = async ({ method, params }) => void seen.notices.push({ method, params });
  return { client, seen };
}

// What is another in each run: ids that the server draws by lot, and times.
function steady(value) {
  const text = JSON.stringify(value, (key, member) =>
    (key === "blob" && typeof member === "string" && /created at/.test(Buffer.from(member, "base64")) ? Buffer.from(member, "base64").toString() : member));
  return JSON.parse(text.replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "(uuid)").replace(/\b[0-9a-f]{32}\b/g, "(id)")
    .replace(/created at [^"]*?(?:[AP]M|\d\d:\d\d:\d\d)/g, "created at (time)").replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "(time)"));
}

const failureOf = (promise) => promise.then((value) => ({ noError: value }), ({ code, message, data }) => ({ code, message, data }));
const logOf = (part) => ({ method, params }) => method === "notifications/message" && JSON.stringify(params.data).includes(part);

// --- features: each gives what it saw ---------------------------------------------------------------------

const features = {
  "initialize and ping": async ({ client }) => ({
    capabilities: client.getServerCapabilities(), server: client.getServerVersion(), instructions: client.getInstructions(),
    ping: await client.ping(),
  }),
  "tools: list": async ({ client }) => (await client.listTools()).tools,
  "tools: results of every kind": async ({ client }) => {
    const call = (name, args = {}) => client.callTool({ name, arguments: args });
    return {
      text: await call("echo", { message: "Grüße 🏰\u0000" }), sum: await call("get-sum", { a: 0.1, b: 1e21 }), image: await call("get-tiny-image"),
      annotated: await call("get-annotated-message", { messageType: "error", includeImage: true }),
      links: await call("get-resource-links", { count: 2 }),
      embedded: await call("get-resource-reference", { resourceType: "Blob", resourceId: 3 }),
      structured: await call("get-structured-content", { location: "Chicago" }),
      wrongArguments: await failureOf(call("get-sum", { a: "one" })), unknown: await failureOf(call("no-such-tool")),
    };
  },
  progress: async ({ client }) => {
    const steps = [];
    const result = await client.callTool({ name: "trigger-long-running-operation", arguments: { duration: 0.6, steps: 3 } }, undefined,
      { onprogress: (progress) => steps.push(progress) });
    // The SDK drops a notification that arrives together with the result, so the last one may be missing.
    return { steps: steps.slice(0, 2), result };
  },
  cancellation: async ({ client }) => {
    const abort = new AbortController();
    const call = client.callTool({ name: "trigger-long-running-operation", arguments: { duration: 30, steps: 300 } }, undefined,
      { signal: abort.signal, onprogress: () => abort.abort("enough") });
    return { rejected: (await failureOf(call)).noError === undefined, after: await client.ping() };
  },
  "resources: list, templates, read": async ({ client }) => {
    const { resources } = await client.listResources();
    const read = (uri) => failureOf(client.readResource({ uri }));
    return {
      resources, templates: (await client.listResourceTemplates()).resourceTemplates,
      file: await read(resources[0].uri), text: await read("demo://resource/dynamic/text/7"),
      blob: await read("demo://resource/dynamic/blob/7"),
      wrong: await read("demo://resource/dynamic/text/none"), missing: await read("demo://resource/missing"),
    };
  },
  "resources: subscriptions": async ({ client, seen }) => {
    const uri = "demo://resource/dynamic/text/1";
    const updated = () => seen.notices.filter(({ method }) => method === "notifications/resources/updated");
    const toggle = () => client.callTool({ name: "toggle-subscriber-updates", arguments: {} });
    const subscribed = await client.subscribeResource({ uri });
    const on = await toggle();
    await eventually("an update", () => updated().length > 0);
    const off = await toggle();
    return { subscribed, on, updates: updated(), off, unsubscribed: await client.unsubscribeResource({ uri }) };
  },
  "resources: list_changed": async ({ client, seen }) => {
    const args = { name: "letter.gz", data: "data:text/plain,Dear%20Sirs" };
    const link = await client.callTool({ name: "gzip-file-as-resource", arguments: args });
    await eventually("list_changed", () => seen.notices.some(({ method }) => method === "notifications/resources/list_changed"));
    const { resources } = await client.listResources();
    return { link, names: resources.map(({ name }) => name), read: await client.readResource({ uri: link.content[0].uri }) };
  },
  prompts: async ({ client }) => {
    const get = (name, args) => failureOf(client.getPrompt({ name, arguments: args }));
    return {
      prompts: (await client.listPrompts()).prompts, simple: await get("simple-prompt"),
      args: await get("args-prompt", { city: "Köln", state: "NRW" }),
      embedded: await get("resource-prompt", { resourceType: "Text", resourceId: "5" }),
      wrong: await get("resource-prompt", { resourceType: "None", resourceId: "0" }), missing: await get("no-such-prompt"),
    };
  },
  completion: async ({ client }) => {
    const complete = (ref, name, value, context) =>
      client.complete({ ref, argument: { name, value }, ...(context ? { context: { arguments: context } } : {}) });
    const prompt = { type: "ref/prompt", name: "completable-prompt" };
    return {
      department: await complete(prompt, "department", "S"), name: await complete(prompt, "name", "", { department: "Sales" }),
      template: await complete({ type: "ref/resource", uri: "demo://resource/dynamic/text/{resourceId}" }, "resourceId", "12"),
    };
  },
  "logging: levels are respected": async ({ client, seen }) => {
    const [loud, quiet] = ["demo://resource/dynamic/text/21", "demo://resource/dynamic/text/22"];
    const result = await client.setLoggingLevel("info");
    await client.subscribeResource({ uri: loud });
    await eventually("a message of level info", () => seen.notices.some(logOf(loud)));
    await client.setLoggingLevel("error");
    await client.subscribeResource({ uri: quiet });
    await client.setLoggingLevel("debug");
    await client.unsubscribeResource({ uri: loud });
    await eventually("a message after the quiet one", () => seen.notices.some(logOf("Unsubscribe")));
    await client.unsubscribeResource({ uri: quiet });
    return {
      result, heard: seen.notices.filter(logOf(loud)).map(({ params }) => params),
      unheard: seen.notices.filter(logOf(`Subscribe Resource request for URI: ${quiet}`)),
    };
  },
  roots: async ({ client, seen }) => {
    const before = await client.callTool({ name: "get-roots-list", arguments: {} });
    seen.roots = [{ uri: "file:///home/two", name: "two" }, { uri: "file:///home/%C3%BC" }];
    await client.sendRootsListChanged();
    await eventually("the server asked for the roots again", () => seen.notices.some(logOf("Roots updated: 2")));
    return { before, after: await client.callTool({ name: "get-roots-list", arguments: {} }) };
  },
  sampling: async ({ client, seen }) => ({
    result: await client.callTool({ name: "trigger-sampling-request", arguments: { prompt: "six times seven", maxTokens: 5 } }),
    asked: seen.questions.at(-1),
  }),
  "sampling as a task of the client": async ({ client, seen }) => ({
    result: await client.callTool({ name: "trigger-sampling-request-async", arguments: { prompt: "later", maxTokens: 5 } }),
    asked: seen.questions.at(-1),
  }),
  "elicitation: form": async ({ client, seen }) => ({
    result: await client.callTool({ name: "trigger-elicitation-request", arguments: {} }), asked: seen.questions.at(-1),
  }),
  "elicitation: URL": async ({ client, seen }) => {
    const args = { url: "https://example.com/a?b=%20c", elicitationId: "e-1" };
    const call = (more) => client.callTool({ name: "trigger-url-elicitation", arguments: { ...args, ...more } });
    return { result: await call(), asked: seen.questions.at(-1), required: await failureOf(call({ errorPath: true })) };
  },
  tasks: async ({ client, seen }) => {
    const states = [];
    const query = { name: "simulate-research-query", arguments: { topic: "walls", ambiguous: true } };
    const stream = client.experimental.tasks.callToolStream(query, mcp.CallToolResultSchema, { task: { ttl: 60_000 } });
    let last;
    for await (const message of stream) {
      last = message;
      // Which states a poll happens to see depends on the clock, so only their kinds are kept.
      if (message.task && !states.includes(message.task.status)) states.push(message.task.status);
    }
    const { tasks } = await client.experimental.tasks.listTasks();
    return {
      kinds: ["working", "input_required", "completed"].filter((state) => states.includes(state)), last, listed: tasks.map(({ status }) => status),
      asked: seen.questions.at(-1), missing: (await failureOf(client.experimental.tasks.getTask("no-such-task"))).code,  // the gateway has its own words
    };
  },
};

// Connects, goes through all features, and gives what each one saw, or how it failed.
async function tour(transport) {
  const it = fullClient();
  const seen = {};
  try {
    await it.client.connect(transport);
    // The server asks for the roots a moment after it is initialized: then its own stream is open, too.
    await eventually("the first question for the roots", () => it.seen.notices.some(logOf("Roots updated: 1")));
    for (const [name, feature] of Object.entries(features)) {
      try {
        seen[name] = steady(await feature(it));
      } catch (error) {
        seen[name] = { failed: error.message };
      }
    }
  } catch (error) {
    seen.connecting = { failed: error.message };
  }
  await Promise.race([it.client.close(), delay(2_000)]);
  return seen;
}

// --- ways to the server --------------------------------------------------------------------------------------

const overHttp = (url, token) => new StreamableHTTPClientTransport(new URL(url),
  token ? { requestInit: { headers: { Authorization: `Bearer ${token}` } } } : {});
const overStdio = ([command, ...args]) => new StdioClientTransport({ command, args, env: environment(folder("home")), stderr: "ignore" });
const wrapped = (command, id = kId) =>
  overStdio([zwinger, "wrap", "--id", id, "--grant", grantFile(atr(everythingOf([id], kUris).grant)), "--", ...command]);
async function throughGateway(upstream, id = kId) {
  const gateway = await startGateway({ [id]: upstream }, kUris);
  return overHttp(gateway.url(id), gateway.token);
}

const httpServer = await startServer(stub("conformance-everything.mjs"));
after(() => httpServer.stop());
async function throughProxy() {
  const proxy = await startProxy(httpServer.url);
  after(() => proxy.close());
  return overHttp(proxy.url);
}
const routes = {
  // Shows that the comparison itself finds nothing to complain of: new ids, no other change.
  "through a faultless proxy": { oracle: "http", open: throughProxy },
  "through the gateway to a server on stdio": { oracle: "stdio", open: () => throughGateway({ command: everything() }) },
  "through the gateway to a server on HTTP": { oracle: "http", open: () => throughGateway({ url: httpServer.url }) },
  "through wrap": { oracle: "stdio", open: async () => wrapped(everything()) },
};

// All at once: they mostly wait. A route that cannot be opened at all fails its own tests.
const direct = { stdio: tour(overStdio(everything())), http: tour(overHttp(httpServer.url)) };
const tours = Object.fromEntries(Object.entries(routes).map(([route, { open }]) =>
  [route, open().then(tour, (error) => ({ connecting: { failed: error.message } }))]));
for (const [kind, promise] of Object.entries(direct)) direct[kind] = await promise;
for (const [route, promise] of Object.entries(tours)) tours[route] = await promise;

for (const [kind, seen] of Object.entries(direct)) {
  test(`directly, ${kind}: every feature works`, () => {
    assert.deepEqual(Object.keys(seen), Object.keys(features));
    for (const [name, value] of Object.entries(seen)) assert.equal(value.failed, undefined, `${name}: ${value.failed}`);
    assert.equal(seen["tools: list"].length, 19, "the client's capabilities open every tool");
    assert.deepEqual(seen["logging: levels are respected"].unheard, []);
    assert.deepEqual(seen.tasks.kinds, ["working", "input_required"]);
  });
}

for (const [route, { oracle }] of Object.entries(routes)) {
  for (const name of Object.keys(features)) {
    test(`${route}: ${name}`, () => {
      assert.equal(tours[route].connecting, undefined, tours[route].connecting?.failed);
      assert.deepEqual(tours[route][name], direct[oracle][name]);
    });
  }
}

// server-everything has no second page, so our own fixture has to do.
test("pagination", async () => {
  const command = stub("conformance-server.mjs", "stdio");
  const pages = async (transport) => {
    const { client } = fullClient();
    const found = [];
    const lists = { tools: "listTools", resources: "listResources", resourceTemplates: "listResourceTemplates", prompts: "listPrompts" };
    try {
      await client.connect(transport);
      for (const [key, list] of Object.entries(lists)) {
        for (let cursor; ;) {
          const page = await client[list](cursor === undefined ? undefined : { cursor });
          found.push([key, page[key].map(({ name }) => name)]);
          cursor = page.nextCursor;
          if (cursor === undefined) break;
        }
      }
    } finally {
      await client.close();
    }
    return found;
  };
  const expected = await pages(overStdio(command));
  assert.equal(expected.length, 8, "two pages each");
  assert.deepEqual(await pages(wrapped(command, "fixture")), expected);
  assert.deepEqual(await pages(await throughGateway({ command }, "fixture")), expected);
});
