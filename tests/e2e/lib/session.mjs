// An MCP session over HTTP that sees what comes as it comes: every event, every header, the end. No MCP library below it.
import assert from "node:assert/strict";
import http from "node:http";
import https from "node:https";
import { initializeParams } from "./wire.mjs";
import { within } from "./lines.mjs";

const kPatience = 20_000;

// One HTTP request and what comes back.
export class Exchange {
  #items = [];
  #waiting = [];
  #rest = "";
  #body = [];
  body = "";
  ended = false;
  failed;  // why the connection ended early

  // `options` as http.request() has them; `tls` where the URL is https.
  constructor(url, { body, tls, ...options }) {
    const made = url.startsWith("https:") ? https.request(url, { ...tls, ...options }) : http.request(url, options);
    this.request = made;
    this.head = new Promise((resolve, reject) => {
      made.on("response", (response) => {
        this.#take(response);
        resolve({ status: response.statusCode, headers: response.headers });
      });
      made.on("error", (error) => {
        this.failed ??= error;
        this.#end();
        reject(error);
      });
    });
    this.head.catch(() => {});  // who wants to know asks
    made.end(body);
  }

  #take(response) {
    this.response = response;
    const stream = /^text\/event-stream/.test(response.headers["content-type"] ?? "");
    response.setEncoding("utf8");
    response.on("data", (text) => (stream ? this.#parse(text) : this.#body.push(text)));
    response.on("aborted", () => (this.failed ??= new Error("cut off")));
    response.on("error", (error) => (this.failed ??= error));
    response.on("close", () => {
      this.body = this.#body.join("");
      if (!stream && this.body !== "") this.#put({ data: this.body });
      this.#end();
    });
  }

  #parse(text) {
    this.#rest += text;
    for (let at = this.#rest.indexOf("\n\n"); at >= 0; at = this.#rest.indexOf("\n\n")) {
      const fields = this.#rest.slice(0, at).split("\n").filter((line) => !line.startsWith(":"));
      this.#rest = this.#rest.slice(at + 2);
      if (fields.length === 0) continue;
      const event = {};
      for (const line of fields) {
        const colon = line.indexOf(":");
        const [name, value] = [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")];
        event[name] = name === "data" && event.data !== undefined ? `${event.data}\n${value}` : value;
      }
      this.#put(event);
    }
  }

  #put(item) {
    if (this.#waiting.length > 0) this.#waiting.shift()(item);
    else this.#items.push(item);
  }

  #end() {
    if (this.ended) return;
    this.ended = true;
    this.#waiting.splice(0).forEach((resolve) => resolve(null));
  }

  // The next event {id, data, message}, or the JSON body as one; null at the end. Events without data are skipped.
  async next(milliseconds = kPatience) {
    for (;;) {
      const item = this.#items.shift() ?? (this.ended ? null : await within(milliseconds, "an event", new Promise((resolve) => this.#waiting.push(resolve))));
      if (item === null) return null;
      if (item.data) return { ...item, message: JSON.parse(item.data) };
    }
  }

  // The first message that fits; what came before it is in `seen`.
  async find(fits, milliseconds = kPatience) {
    const seen = [];
    for (;;) {
      const event = await this.next(milliseconds);
      if (event === null) assert.fail(`the stream ended before it came (${this.failed ?? this.body}), after ${JSON.stringify(seen.slice(0, 3))}`);
      if (fits(event.message)) return Object.assign(event, { seen });
      seen.push(event.message);
    }
  }

  async all(milliseconds = kPatience) {
    const events = [];
    for (let event = await this.next(milliseconds); event; event = await this.next(milliseconds)) events.push(event);
    return events;
  }

  // The whole answer of one that is no stream: {status, headers, body, json}.
  async whole(milliseconds = kPatience) {
    const head = await within(milliseconds, "an answer's head", this.head);
    await this.all(milliseconds);
    let json;
    try {
      json = JSON.parse(this.body);
    } catch { /* none */ }
    return { ...head, body: this.body, json };
  }

  leave() {
    this.request.destroy();
  }
}

export class Session {
  // `options`: capabilities; headers (an object); agent; tls.
  constructor(url, token, options = {}) {
    Object.assign(this, { url, token, options, id: undefined, nextId: 1, revision: options.revision ?? "2025-11-25" });
  }

  static async open(url, token, options) {
    const session = new Session(url, token, options);
    const answer = await session.begin();
    assert.equal(answer.status, 200, answer.body);
    return session;
  }

  // initialize; gives the whole answer with its message.
  async begin() {
    const params = { ...initializeParams, protocolVersion: this.revision, capabilities: this.options.capabilities ?? {} };
    const exchange = this.post({ jsonrpc: "2.0", id: 0, method: "initialize", params });
    const head = await within(kPatience, "an answer's head", exchange.head);
    const last = (await exchange.all()).at(-1);
    if (last?.message.result) {
      this.initialized = last.message.result;
      this.id = head.headers["mcp-session-id"];
      await this.notify("notifications/initialized");
    }
    return { ...head, body: exchange.body, message: last?.message };
  }

  // Uses a session that exists, whoever began it.
  resume(id) {
    this.id = id;
    return this;
  }

  headers(more) {
    return {
      Authorization: `Bearer ${this.token}`, ...(this.id ? { "Mcp-Session-Id": this.id, "Mcp-Protocol-Version": this.revision } : {}),
      ...this.options.headers, ...more,
    };
  }

  #send(options) {
    return new Exchange(this.url, { agent: this.options.agent ?? false, tls: this.options.tls, ...options });
  }

  post(message, headers = {}) {
    const body = typeof message === "string" ? message : JSON.stringify(message);
    return this.#send({
      method: "POST", body,
      headers: this.headers({
        "Content-Type": "application/json", Accept: "application/json, text/event-stream", "Content-Length": Buffer.byteLength(body), ...headers,
      }),
    });
  }

  get(headers = {}) {
    return this.#send({ method: "GET", headers: this.headers({ Accept: "text/event-stream", ...headers }) });
  }

  end() {
    return this.#send({ method: "DELETE", headers: this.headers() }).whole();
  }

  // A request on its way: {id, exchange}.
  start(method, params, headers) {
    const id = this.nextId++;
    return { id, exchange: this.post({ jsonrpc: "2.0", id, method, ...(params ? { params } : {}) }, headers) };
  }

  // The answer, with the HTTP head as `http` and what came before it as `seen`.
  async rpc(method, params, headers) {
    const { id, exchange } = this.start(method, params, headers);
    const http = await within(kPatience, `answer to ${method}`, exchange.head);
    const { message, seen } = await exchange.find((candidate) => candidate.method === undefined && candidate.id === id);
    return { ...message, http, seen };
  }

  call(name, args = {}, meta) {
    return this.rpc("tools/call", { name, arguments: args, ...(meta ? { _meta: meta } : {}) });
  }

  startCall(name, args = {}, meta) {
    return this.start("tools/call", { name, arguments: args, ...(meta ? { _meta: meta } : {}) });
  }

  async notify(method, params) {
    const answer = await this.post({ jsonrpc: "2.0", method, ...(params ? { params } : {}) }).whole();
    assert.equal(answer.status, 202, answer.body);
  }

  answer(id, result) {
    return this.post({ jsonrpc: "2.0", id, result }).whole();
  }
}

export const textOf = (answer) => answer.result?.content[0].text;
