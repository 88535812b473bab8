// The script that the wire-diff test runs: a raw client that writes exact bytes, and a list of steps that go through
// everything MCP 2025-11-25 has over HTTP. The steps follow one another, and each waits for what it caused, so that two
// runs are the same but for ids and times.
import { eventually } from "./lib/harness.mjs";
import http from "node:http";
import { within } from "./lib/lines.mjs";
import { SseParser } from "./lib/recorder.mjs";

const kMeta = '"_meta":{"zwinger.test/client":{"deep":[null,{"π":3.14159265358979323846}],"big":123456789012345678901},' +
  '"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}';
const meta = JSON.parse(`{${kMeta}}`)._meta;

// --- the client -----------------------------------------------------------------------------------------

class Answer {
  #messages = [];
  #wake = () => {};
  #ended = false;

  constructor(request, response, patience) {
    Object.assign(this, { request, status: response.statusCode, headers: response.headers, patience, events: [] });
    const parser = new SseParser((event) => {
      this.events.push(event);
      if (event.data) this.#push(event.data);
    });
    const sse = response.headers["content-type"]?.startsWith("text/event-stream");
    const chunks = [];
    response.on("data", (chunk) => (sse ? parser.push(chunk) : chunks.push(chunk)));
    const end = () => {
      if (this.#ended) return;
      this.#ended = true;
      const body = Buffer.concat(chunks).toString("utf8");
      if (body) this.#push(body);
      this.#wake();
    };
    response.on("end", end).on("close", end).on("error", end);
  }

  #push(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      message = { garbage: text };
    }
    this.#messages.push(message);
    this.#wake();
  }

  // The next message; null at the end.
  async next() {
    const come = async () => {
      while (this.#messages.length === 0 && !this.#ended) await new Promise((resolve) => (this.#wake = resolve));
      return this.#messages.shift() ?? null;
    };
    return within(this.patience, "a message", come());
  }

  async until(fits) {
    for (;;) {
      const message = await this.next();
      if (message === null) throw new Error("the stream ended too early");
      if (fits(message)) return message;
    }
  }

  get lastId() {
    return this.events.findLast(({ id }) => id !== undefined)?.id;
  }

  close() {
    this.request.destroy();
  }
}

class WireClient {
  #nextId = 1;

  constructor(url, patience) {
    Object.assign(this, { url, patience, session: undefined, version: undefined });
  }

  // One HTTP request; the answer when its head is there. `headers` with the value undefined are left out.
  async open(method, body, headers = {}) {
    const all = {
      Accept: "application/json, text/event-stream", "Content-Type": body === undefined ? undefined : "application/json",
      "Mcp-Session-Id": this.session, "MCP-Protocol-Version": this.version, ...headers,
    };
    const given = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
    const request = http.request(this.url, { method, headers: given, agent: false });
    const answered = new Promise((resolve, reject) => request.on("response", resolve).on("error", reject));
    request.end(body);
    return new Answer(request, await within(this.patience, `the answer to ${method}`, answered), this.patience);
  }

  // `message` is text, so that a script can write what JSON.stringify would not.
  post(message, headers) {
    return this.open("POST", typeof message === "string" ? message : JSON.stringify({ jsonrpc: "2.0", ...message }), headers);
  }

  get(lastId, headers) {
    return this.open("GET", undefined, { Accept: "text/event-stream", "Last-Event-ID": lastId, ...headers });
  }

  // A request to the end of its answer. `onQuestion` gives {result} or {error} for what the server asks in between.
  async rpc(method, params, { id = this.#nextId++, onQuestion } = {}) {
    const answer = await this.post({ id, method, params });
    for (let message = await answer.next(); message !== null; message = await answer.next()) {
      if (message.method !== undefined && message.id !== undefined) await this.reply(message, await onQuestion(message));
      else if (message.method === undefined) answer.message = message;
    }
    if (answer.message === undefined) throw new Error(`no answer to ${method}: HTTP ${answer.status}`);
    if (answer.message.id !== id) throw new Error(`the answer to ${method} has id ${answer.message.id}, not ${id}`);
    return answer;
  }

  async reply({ id }, outcome) {
    await this.accepted(await this.post({ id, ...outcome }));
  }

  async notify(method, params) {
    await this.accepted(await this.post({ method, params }));
  }

  async accepted(answer) {
    if (answer.status !== 202) throw new Error(`HTTP ${answer.status}, not 202: ${JSON.stringify(await answer.next())}`);
    if (await answer.next() !== null) throw new Error("202 with a body");
  }

  call(name, args, options = {}) {
    return this.rpc("tools/call", { name, arguments: args, _meta: options.meta }, options);
  }
}

// --- the script ---------------------------------------------------------------------------------------------

const kInitialize = `{"jsonrpc":"2.0","id":"init-π","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{` +
  `"roots":{"listChanged":true},"sampling":{"context":{},"tools":{}},"elicitation":{"form":{"applyDefaults":true},"url":{}},` +
  `"tasks":{"list":{},"cancel":{},"requests":{"sampling":{"createMessage":{}},"elicitation":{"create":{}}}},` +
  `"experimental":{"zwinger.test/x":{"levels":[1,2.50]}},"zwinger.test/unknown":{"kept":true}},` +
  `"clientInfo":{"name":"wire","version":"1","title":"Drähtchen 🏰","websiteUrl":"https://example.com/","unknown":[1]},${kMeta}}}`;

// The gateway answers DELETE by itself and tells the server meanwhile.
const toldOfItsEnd = (server, during) => eventually("the server knows that its session is over",
  () => server.record.some(({ step, method }) => step === during && method === "DELETE"));

// Steps that the gateway answers by itself: it has its own words there, only the status has to be the same.
export const stepsOfItsOwn = new Set([
  "unknown session", "an unknown task", "a second GET stream", "unknown protocol version", "GET that accepts no events", "not JSON", "after DELETE",
]);

const isAnswer = (message) => message.method === undefined;
const logged = (text) => ({ method, params }) => method === "notifications/message" && JSON.stringify(params.data).includes(text);

// Each entry: [name, action]. They share `it`: {client, get}.
const steps = [
  ["initialize", async (it) => {
    const answer = await it.client.post(kInitialize);
    await answer.until(isAnswer);
    await answer.next();
    it.client.session = answer.headers["mcp-session-id"];
    it.client.version = "2025-11-25";
    if (!it.client.session) throw new Error("no session id");
  }],
  ["initialized", ({ client }) => client.notify("notifications/initialized", { _meta: meta })],
  ["ping", ({ client }) => client.rpc("ping", { _meta: meta })],
  ["lists", async ({ client }) => {
    for (const kind of ["tools", "resources", "resources/templates", "prompts"]) {
      for (let cursor; ;) {
        const { message } = await client.rpc(`${kind}/list`, { cursor, _meta: meta });
        cursor = message.result.nextCursor;
        if (cursor === undefined) break;
      }
    }
    await client.rpc("tools/list");  // without params
    await client.rpc("tools/list", { cursor: "no such page" });
  }],
  ["numbers and text as they were written", async ({ client }) => {
    const id = '"an id, not a number"';
    const answer = await client.post(`{"jsonrpc":"2.0","method":"tools/call","id":${id},"params":{"name":"wire_echo",${kMeta},` +
      `"arguments":{"int":1E2,"big":18446744073709551616,"tiny":1.50e-300,"text":"\\u0000\\ud83c\\udff0 ünï\\/","empty":{},"list":[]}}}`);
    await answer.until(isAnswer);
    await answer.next();
    await client.call("wire_numbers", {});
    await client.call("wire_echo", {}, { id: 9007199254740991 });
    await client.call("wire_echo", {}, { id: "" });
  }],
  ["progress and logs", async ({ client }) => {
    await client.rpc("logging/setLevel", { level: "debug", _meta: meta });
    await client.call("wire_mixed", {}, { meta: { ...meta, progressToken: "token-π" } });
    await client.call("wire_mixed", {}, { meta: { progressToken: 7 } });
    await client.call("wire_mixed", {});
    await client.call("test_tool_with_logging", {});
  }],
  ["sampling", ({ client }) => client.call("wire_sampling", {}, {
    onQuestion: async ({ params }) => {
      await client.notify("notifications/progress", { progressToken: params._meta.progressToken, progress: 0.5, _meta: meta });
      return {
        result: {
          role: "assistant", content: { type: "text", text: "vier 🏰", annotations: { priority: 1 }, _meta: meta }, model: "m",
          stopReason: "endTurn", _meta: meta,
        },
      };
    },
  })],
  ["roots", async ({ client }) => {
    await client.notify("notifications/roots/list_changed", { _meta: meta });
    await client.call("wire_roots", {}, { onQuestion: () => ({ result: { roots: [{ uri: "file:///é", name: "é", _meta: meta }], _meta: meta } }) });
  }],
  ["URL elicitation", ({ client }) => client.call("wire_url", {}, { onQuestion: () => ({ result: { action: "accept", _meta: meta } }) })],
  ["form elicitation", ({ client }) => client.call("test_elicitation_sep1330_enums", {}, {
    onQuestion: () => ({ result: { action: "accept", content: { untitledSingle: "option2", titledMulti: ["value1", "value3"] } } }),
  })],
  ["a question is declined", ({ client }) =>
    client.call("test_elicitation", { message: "well?" }, { onQuestion: () => ({ result: { action: "decline" } }) })],
  ["two questions, the second answered first, one with an error", async ({ client }) => {
    const answer = await client.post({ id: "two", method: "tools/call", params: { name: "wire_questions", arguments: {} } });
    const asked = [await answer.until(({ id }) => id !== undefined), await answer.until(({ id }) => id !== undefined)];
    await client.reply(asked[1], { error: { code: -32099, message: "nö 🏰", data: { _meta: meta } } });
    await client.reply(asked[0], { result: { action: "accept", content: { value: 3 }, _meta: meta } });
    await answer.until(isAnswer);
    await answer.next();
  }],
  ["server ping", async ({ client }) => {
    const answer = await client.post({ id: "pinged", method: "tools/call", params: { name: "wire_ping", arguments: {} } });
    // A gateway may answer for us, so whether we are asked is open.
    for (let message = await answer.next(); message !== null; message = await answer.next()) {
      if (message.method === "ping") await client.reply(message, { result: {} });
    }
  }],
  ["an event early, the answer late", ({ client }) => client.call("wire_hold", { holdMs: 600 })],
  ["two calls at once", async ({ client }) => {
    const slow = await client.post({ id: "slow", method: "tools/call", params: { name: "wire_hold", arguments: { holdMs: 300 } } });
    await slow.until(logged("early"));
    await client.call("wire_echo", { beside: true });
    await slow.until(isAnswer);
    await slow.next();
  }],
  ["errors", async ({ client }) => {
    await client.call("wire_rpc_error", {});
    await client.call("test_error_handling", {});
    await client.rpc("resources/read", { uri: "test://wrong/one" });
  }],
  ["every kind of content", async ({ client }) => {
    for (const name of ["test_image_content", "test_audio_content", "test_embedded_resource", "test_multiple_content_types"]) await client.call(name, {});
    await client.rpc("tools/call", { name: "test_simple_text" });  // without arguments
  }],
  ["big", async ({ client }) => {
    await client.call("wire_big", { kib: 512 });
    await client.call("wire_echo", { text: "ä".repeat(100_000) });
  }],
  ["resources", async ({ client }) => {
    for (const uri of ["test://static-text", "test://static-binary", "test://template/4%202/data", "test://wire/unicode/ünïcode"]) {
      await client.rpc("resources/read", { uri, _meta: meta });
    }
  }],
  ["prompts", async ({ client }) => {
    await client.rpc("prompts/get", { name: "wire_prompt", arguments: { "ä": "🏰" }, _meta: meta });
    await client.rpc("prompts/get", { name: "test_prompt_with_embedded_resource", arguments: { resourceUri: "test://static-text" } });
    await client.rpc("prompts/get", { name: "test_prompt_with_image" });
  }],
  ["completion", async ({ client }) => {
    const argument = { name: "arg1", value: "par" };
    await client.rpc("completion/complete", {
      ref: { type: "ref/prompt", name: "test_prompt_with_arguments", title: "t" }, argument, context: { arguments: { arg2: "π" } }, _meta: meta,
    });
    await client.rpc("completion/complete", { ref: { type: "ref/resource", uri: "test://template/{id}/data" }, argument });
  }],
  ["tasks", async ({ client }) => {
    const params = { name: "wire_task", arguments: {}, task: { ttl: 60_000 }, _meta: meta };
    const { message } = await client.rpc("tools/call", params);
    const { taskId } = message.result.task;
    await client.rpc("tasks/get", { taskId, _meta: meta });
    await client.rpc("tasks/result", { taskId, _meta: meta });
    await client.rpc("tools/call", params);
    await client.rpc("tasks/cancel", { taskId: "task-2" });
    await client.rpc("tasks/list", { _meta: meta });
  }],
  ["an unknown task", async ({ client }) => void await client.rpc("tasks/get", { taskId: "no such task" })],
  ["GET stream", async (it) => {
    it.get = await it.client.get();
    if (it.get.status !== 200) throw new Error(`HTTP ${it.get.status}`);
    await it.client.rpc("resources/subscribe", { uri: "test://watched-resource", _meta: meta });
    await it.client.call("wire_announce", {});
    await it.get.until(logged("unasked"));
  }],
  ["a second GET stream", async ({ client }) => {
    const second = await client.get();
    if (second.status !== 409) second.close();
    else await second.next();
  }],
  ["a question aside", async ({ client, get }) => {
    await client.call("wire_ask_aside", {});
    const question = await get.until(({ method }) => method === "roots/list");
    await client.reply(question, { result: { roots: [], _meta: meta } });
    await get.until(logged("roots"));
  }],
  ["cancellation", async ({ client, get }) => {
    const waiting = await client.post({ id: "to be cancelled", method: "tools/call", params: { name: "wire_wait", arguments: {} } });
    await waiting.until(logged("waiting"));
    await client.notify("notifications/cancelled", { requestId: "to be cancelled", reason: "changed my mind 🏰", _meta: meta });
    await get.until(logged("changed my mind"));
    waiting.close();
  }],
  ["GET stream resumed", async (it) => {
    const { lastId } = it.get;
    it.get.close();
    await it.client.call("wire_announce", {});  // while nobody listens
    it.get = await it.client.get(lastId);
    await it.get.until(logged("unasked"));
    await it.client.rpc("resources/unsubscribe", { uri: "test://watched-resource" });
    await it.client.call("wire_announce", {});
    await it.get.until(logged("unasked"));
  }],
  ["POST stream resumed", async ({ client }) => {
    const cut = await client.post({ id: "cut", method: "tools/call", params: { name: "wire_cut", arguments: {} } });
    await cut.until(logged("before the cut"));
    if (await cut.next() !== null) throw new Error("the stream was not cut");
    const resumed = await client.get(cut.lastId);
    const { id } = await resumed.until(isAnswer);
    resumed.close();
    if (id !== "cut") throw new Error(`the answer that came later has id ${id}`);
  }],
  ["unknown session", async ({ client }) => void await (await client.post({ id: 1, method: "ping" }, { "Mcp-Session-Id": "no-such-session" })).next()],
  ["unknown protocol version", async ({ client }) =>
    void await (await client.post({ id: 1, method: "tools/list" }, { "MCP-Protocol-Version": "1999-01-01" })).next()],
  ["GET that accepts no events", async ({ client }) => void await (await client.get(undefined, { Accept: "application/json" })).next()],
  ["not JSON", async ({ client }) => void await (await client.post("{")).next()],
  ["an older client without capabilities", async ({ server, client }) => {
    const older = new WireClient(client.url, client.patience);
    const answer = await older.rpc("initialize", {
      protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "older", version: "0" },
    });
    older.session = answer.headers["mcp-session-id"];
    older.version = "2025-06-18";
    await older.notify("notifications/initialized");
    await older.call("test_sampling", { prompt: "nobody can answer this" });
    await older.call("wire_mixed", {}, { meta: { progressToken: 1 } });
    await older.open("DELETE").then((deleted) => deleted.next());
    await toldOfItsEnd(server, "an older client without capabilities");
  }],
  ["DELETE", async ({ client, get, server }) => {
    const deleted = await client.open("DELETE");
    await deleted.next();
    await toldOfItsEnd(server, "DELETE");
    if (await get.next() !== null) throw new Error("the GET stream goes on");
  }],
  ["after DELETE", async ({ client }) => void await (await client.post({ id: 1, method: "tools/list" })).next()],
];

// Runs the steps against `url`; `taps` learn where in the script they are. Gives how each step ended; the first that
// fails is the last.
export async function runScript(url, taps, patience) {
  const it = { client: new WireClient(url, patience), server: taps.at(-1) };
  const ended = [];
  for (const [step, action] of steps) {
    for (const tap of taps) tap.step = step;
    try {
      await action(it);
      ended.push({ step });
    } catch (error) {
      ended.push({ step, failed: error.message });
      break;
    }
  }
  return ended;
}
