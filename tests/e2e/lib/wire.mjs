// A raw-wire MCP client of our own: writes exact bytes and hands back what came, without a library between.
import assert from "node:assert/strict";
import net from "node:net";
import { launch } from "./harness.mjs";
import { LineReader, within } from "./lines.mjs";

const kPatience = 20_000;

export const initializeParams = {
  protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "raw-wire", version: "1" },
};

// --- HTTP ------------------------------------------------------------------------------------------

// One connection. `response()` takes answers in the order in which they come.
export class HttpConnection {
  #bytes = Buffer.alloc(0);
  #wake = () => {};
  ended = false;

  static async open(url) {
    const { hostname, port } = new URL(url);
    const socket = net.connect({ host: hostname, port: Number(port), noDelay: true });
    const connected = new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    await within(kPatience, `connection to ${url}`, connected);
    return new HttpConnection(socket);
  }

  constructor(socket) {
    this.socket = socket;
    socket.on("data", (chunk) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#wake();
    });
    const end = () => {
      this.ended = true;
      this.#wake();
    };
    socket.on("error", end).on("end", end).on("close", end);
  }

  write(bytes) {
    this.socket.write(bytes);
  }

  close() {
    this.socket.destroy();
  }

  // The next answer {status, headers, body, raw}, or null where the connection ended before one was whole.
  async response(milliseconds = kPatience) {
    return within(milliseconds, "an HTTP answer", this.#response());
  }

  // Whether the peer closes the connection, and sends nothing more.
  async closedByPeer(milliseconds = kPatience) {
    await within(milliseconds, "the peer closes the connection", this.#until(() => this.ended));
    return this.#bytes.length === 0;
  }

  async #until(condition) {
    while (!condition()) await new Promise((resolve) => (this.#wake = resolve));
  }

  async #response() {
    const kHeadEnd = "\r\n\r\n";
    await this.#until(() => this.ended || this.#bytes.includes(kHeadEnd));
    const headEnd = this.#bytes.indexOf(kHeadEnd);
    if (headEnd < 0) return null;
    const [statusLine, ...fields] = this.#bytes.subarray(0, headEnd).toString("latin1").split("\r\n");
    assert.match(statusLine, /^HTTP\/1\.1 \d{3} /);
    const headers = new Map(fields.map((field) => {
      const colon = field.indexOf(": ");
      return [field.slice(0, colon).toLowerCase(), field.slice(colon + 2)];
    }));
    const bodyStart = headEnd + kHeadEnd.length;
    const size = Number(headers.get("content-length") ?? 0);
    await this.#until(() => this.ended || this.#bytes.length >= bodyStart + size);
    if (this.#bytes.length < bodyStart + size) return null;
    const body = this.#bytes.subarray(bodyStart, bodyStart + size).toString("utf8");
    this.#bytes = this.#bytes.subarray(bodyStart + size);
    return { status: Number(statusLine.slice(9, 12)), headers, body, json: parsed(body) };
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

// The bytes of a POST with JSON. `headers` come last; a list of pairs, so that one may be sent twice.
export function post(url, body, headers = []) {
  const { pathname, search, host } = new URL(url);
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
  const lines = [
    `POST ${pathname}${search} HTTP/1.1`, `Host: ${host}`, "Content-Type: application/json",
    "Accept: application/json, text/event-stream", `Content-Length: ${bytes.length}`,
    ...headers.map(([name, value]) => `${name}: ${value}`),
  ];
  return Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"), bytes]);
}

export const bearer = (token) => ["Authorization", `Bearer ${token}`];

// The reason code of a refusal, in whichever of the two shapes the layer that refused speaks.
export const reasonOf = (answer) => answer.json?.error?.data?.reason ?? answer.json?.error?.reason;

// MCP over one keep-alive connection.
export class HttpClient {
  static async open(url, token) {
    return new HttpClient(url, token, await HttpConnection.open(url));
  }

  constructor(url, token, connection) {
    Object.assign(this, { url, token, connection, nextId: 1 });
  }

  // Sends one message and gives the HTTP answer.
  async send(message, headers = []) {
    this.connection.write(post(this.url, message, [bearer(this.token), ["MCP-Protocol-Version", "2025-11-25"], ...headers]));
    const answer = await this.connection.response();
    assert.notEqual(answer, null, "the connection ended before the answer");
    return answer;
  }

  request(method, params) {
    return { jsonrpc: "2.0", id: this.nextId++, method, ...(params === undefined ? {} : { params }) };
  }

  // A request; gives the JSON-RPC answer, with the HTTP answer as `http` and the bytes as `raw`.
  async rpc(method, params) {
    const request = this.request(method, params);
    const http = await this.send(request);
    assert.equal(http.json?.jsonrpc, "2.0", `answer to ${method}: HTTP ${http.status} ${http.body}`);
    assert.equal(http.json.id, request.id);
    return { ...http.json, http, raw: http.body };
  }

  async notify(method, params) {
    const answer = await this.send({ jsonrpc: "2.0", method, ...(params === undefined ? {} : { params }) });
    assert.equal(answer.status, 202, answer.body);
    assert.equal(answer.body, "");
  }

  async initialize() {
    const answer = await this.rpc("initialize", initializeParams);
    await this.notify("notifications/initialized");
    return answer;
  }

  call(name, args, meta) {
    return this.rpc("tools/call", { name, arguments: args, ...(meta === undefined ? {} : { _meta: meta }) });
  }

  async close() {
    this.connection.close();
  }
}

// --- stdio -----------------------------------------------------------------------------------------

export class StdioClient {
  notifications = [];
  #waiting = new Map();
  #watchers = new Set();

  // `command` is argv of an MCP server: a real one, or `zwinger wrap ...`.
  constructor(command, env) {
    this.child = launch(command[0], command.slice(1), { env });
    this.nextId = 1;
    this.#read();
  }

  async #read() {
    const lines = new LineReader(this.child.stdout);
    for (let raw = await lines.next(); raw !== null; raw = await lines.next()) {
      const message = JSON.parse(raw);
      if ("id" in message && !("method" in message)) {
        this.#waiting.get(message.id)?.({ ...message, raw });
        this.#waiting.delete(message.id);
      } else {
        this.notifications.push(message);
      }
      this.#watchers.forEach((watch) => watch());
    }
    this.#waiting.forEach((resolve) => resolve(null));
    this.#waiting.clear();
  }

  // Writes one line as it is.
  write(line) {
    this.child.stdin.write(`${typeof line === "string" ? line : JSON.stringify(line)}\n`);
  }

  // Starts a request: {id, answer}; the answer is null where the server ends before it.
  begin(method, params) {
    const id = this.nextId++;
    const answer = new Promise((resolve) => this.#waiting.set(id, resolve));
    this.write({ jsonrpc: "2.0", id, method, ...(params === undefined ? {} : { params }) });
    return { id, answer };
  }

  pending(id) {
    return this.#waiting.has(id);
  }

  async rpc(method, params) {
    const answer = await within(kPatience, `answer to ${method}`, this.begin(method, params).answer);
    assert.notEqual(answer, null, `the server ended before it answered ${method}:\n${this.child.errors}`);
    return answer;
  }

  async notify(method, params) {
    this.write({ jsonrpc: "2.0", method, ...(params === undefined ? {} : { params }) });
  }

  // Waits for a notification that fits.
  async notification(fits) {
    const found = new Promise((resolve) => {
      const watch = () => {
        const message = this.notifications.find(fits);
        if (message) {
          this.#watchers.delete(watch);
          resolve(message);
        }
      };
      this.#watchers.add(watch);
      watch();
    });
    return within(kPatience, "a notification", found);
  }

  async initialize() {
    const answer = await this.rpc("initialize", initializeParams);
    await this.notify("notifications/initialized");
    return answer;
  }

  call(name, args, meta) {
    return this.rpc("tools/call", { name, arguments: args, ...(meta === undefined ? {} : { _meta: meta }) });
  }

  // Ends our side and waits for the server to end.
  async close() {
    this.child.stdin.end();
    return within(kPatience, "the stdio server ends after its input ended", this.child.ended);
  }
}
