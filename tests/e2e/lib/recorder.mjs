// Taps and the comparison of what they saw.
//
// A tap is a reverse proxy that changes no byte of a body, holds nothing back, and writes down every exchange: headers,
// bodies, and each server-sent event with the time at which it came. One tap stands before the system under test, one
// behind it. `differences` compares a run through the system with a direct run, on the client's side and on the
// server's, and gives one line for each difference that `kAllowed` does not name.
import http from "node:http";
import { performance } from "node:perf_hooks";
import { isDeepStrictEqual } from "node:util";

// What the gateway changes by design. Everything else has to be equal.
export const kAllowed = {
  // Belong to one hop, or say which of our calls it was. The address in Host is the hop's, too.
  requestHeaders: new Set(["host", "connection", "keep-alive", "content-length", "transfer-encoding", "user-agent"]),
  responseHeaders: new Set(["date", "connection", "keep-alive", "content-length", "transfer-encoding", "zwinger-call-id"]),
  // The session has another id on either side; that there is one, and where, is compared.
  opaqueHeaders: new Set(["mcp-session-id"]),
  // - JSON-RPC ids towards the server are the gateway's, and so are the ids of the server's questions towards the client:
  //   both are numbered by first appearance before they are compared. The client's own ids are compared as they are.
  // - Ids of server-sent events are the gateway's; that an event has one is compared. Events without data (they only
  //   carry an id to begin with) may be added.
  // - A ping is answered by who gets it: the server never sees the client's, the client never sees the server's.
  // - Which GET streams the gateway holds open to the server, and how it resumes them, is its own business: what came
  //   on them is compared once for each event id.
  // - A request without a session is judged by itself, where a server may demand one. After the answer, or a cancellation,
  //   the gateway ends the stream; a server may leave it open.
  // - A request that the gateway refuses itself never reaches the server; steps named in `own` compare the status only.
};

// How much of an event's lead on the end of its stream may get lost, and from which lead on that is looked at.
const kLead = { fromMs: 250, share: 0.4 };

// --- JSON and server-sent events --------------------------------------------------------------------

// A number as it was written, so that 1e2 and 100, or digits beyond a double, are not mistaken for each other.
class NumberText {
  constructor(text) {
    this.text = text;
  }
  toJSON() {
    return this.text;
  }
}

export function parseJson(text) {
  try {
    return JSON.parse(text, (key, value, { source }) => (typeof value === "number" ? new NumberText(source) : value));
  } catch {
    return undefined;
  }
}

// An id as text that tells 1 and "1" apart.
const idText = (id) => (id instanceof NumberText ? id.text : JSON.stringify(id));

export class SseParser {
  #rest = "";
  #event = {};
  #decoder = new TextDecoder();

  // Calls `onEvent({event, id, retry, data})` for each event that the bytes complete; `data` is undefined without a data line.
  constructor(onEvent) {
    this.onEvent = onEvent;
  }

  push(bytes) {
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split(/\r\n|\n/);
    this.#rest = lines.pop();
    lines.forEach((line) => this.#line(line));
  }

  #line(line) {
    if (line === "") {
      const event = this.#event;
      this.#event = {};
      if (Object.keys(event).length > 0) this.onEvent(event);
      return;
    }
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (field === "data") this.#event.data = this.#event.data === undefined ? value : `${this.#event.data}\n${value}`;
    else if (["event", "id", "retry"].includes(field)) this.#event[field] = value;
  }
}

// --- the tap -------------------------------------------------------------------------------------------

export const pairs = (raw) => raw.flatMap((name, index) => (index % 2 === 0 ? [[name.toLowerCase(), raw[index + 1]]] : []));
export const isSse = (headers) => /^text\/event-stream\b/i.test(new Map(headers).get("content-type") ?? "");

// Forwards one request to `url` with the raw headers given, as bytes come; gives the outgoing request and, as it comes,
// the answer. Whichever side goes away takes the other one with it.
export function forward(request, response, url, headers, { body, onAnswer = () => {}, onGone = () => {} } = {}) {
  const { hostname, port, pathname, search } = new URL(url);
  const onward = http.request({ hostname, port, path: pathname + search, method: request.method, headers, agent: false, setHost: false });
  onward.on("response", (answer) => {
    onAnswer(answer);
    answer.on("aborted", () => response.destroy());
  });
  onward.on("error", () => (onGone(), response.destroy()));
  response.on("close", () => (onGone(), onward.destroy()));
  if (body === undefined) request.pipe(onward);
  else onward.end(body);
  onward.setNoDelay(true);
}

// Starts a tap towards `target`. `headers` are pairs to add to each request. `url` is its address; `record` what it saw,
// in the order in which requests came; `step` is written to each exchange.
export async function startTap(target, { headers = [] } = {}) {
  const tap = { record: [], step: "" };
  const server = http.createServer((request, response) => {
    const exchange = begin(tap, request);
    const raw = request.rawHeaders.filter((_, index, all) => !headers.some(([name]) => name.toLowerCase() === all[index - (index % 2)].toLowerCase()));
    forward(request, response, target, [...raw, ...headers.flat()], {
      onGone: () => (exchange.endedAt ??= performance.now()),
      onAnswer: (answer) => passBack(exchange, answer, response),
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  tap.url = `http://127.0.0.1:${server.address().port}/mcp`;
  tap.close = () => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
  return tap;
}

function begin(tap, request) {
  const exchange = { step: tap.step, at: performance.now(), method: request.method, requestHeaders: pairs(request.rawHeaders), events: [] };
  tap.record.push(exchange);
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => (exchange.request = Buffer.concat(chunks).toString("utf8")));
  return exchange;
}

function passBack(exchange, answer, response) {
  exchange.status = answer.statusCode;
  exchange.responseHeaders = pairs(answer.rawHeaders);
  const chunks = [];
  const parser = isSse(exchange.responseHeaders) &&
    new SseParser((event) => exchange.events.push({ at: performance.now(), ...event }));
  response.writeHead(answer.statusCode, answer.statusMessage, answer.rawHeaders);
  response.flushHeaders();
  response.socket?.setNoDelay(true);
  answer.on("data", (chunk) => {
    if (parser) parser.push(chunk);
    else chunks.push(chunk);
    response.write(chunk);
  });
  answer.on("end", () => {
    exchange.whole = true;
    exchange.endedAt = performance.now();
    exchange.response = Buffer.concat(chunks).toString("utf8");
    response.end();
  });
}

// --- one run in a form that can be compared -------------------------------------------------------------

// Gives ids that belong to a hop a name by first appearance.
class Names {
  #names = new Map();
  constructor(prefix) {
    this.prefix = prefix;
  }
  of(scope, id) {
    const key = `${scope} ${idText(id)}`;
    if (!this.#names.has(key)) this.#names.set(key, `${this.prefix}${this.#names.size + 1}`);
    return this.#names.get(key);
  }
}

const isRequest = (message) => message?.method !== undefined && message.id !== undefined;
const isAnswer = (message) => message?.method === undefined && message?.id !== undefined && message.id !== null;

// The message with ids replaced: `ofSender` names the requests of whoever sent it, `ofOther` those of the other side.
function renamed(message, ofSender, ofOther) {
  if (isRequest(message)) return ofSender ? { ...message, id: ofSender(message.id) } : message;
  if (isAnswer(message)) return ofOther ? { ...message, id: ofOther(message.id) } : message;
  if (message?.method === "notifications/cancelled" && ofSender && message.params?.requestId !== undefined) {
    return { ...message, params: { ...message.params, requestId: ofSender(message.params.requestId) } };
  }
  return message;
}

function comparableHeaders(headers, allowed) {
  return Object.fromEntries(headers.filter(([name]) => !allowed.has(name)).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => {
    if (kAllowed.opaqueHeaders.has(name)) return [name, "(present)"];
    // A list of media types has no order of its own.
    return [name, name === "accept" ? value.split(/\s*,\s*/).sort().join(", ") : value];
  }));
}

const messagesOf = (exchange) => (isSse(exchange.responseHeaders ?? [])
  ? exchange.events.filter(({ data }) => data).map(({ data, ...event }) => ({ ...event, message: parseJson(data) ?? data }))
  : [exchange.response].filter(Boolean).map((body) => ({ message: parseJson(body) ?? body })));

// Session of an exchange, for the scope of ids: what the client sent, or what the answer to initialize gave.
const sessionOf = ({ requestHeaders, responseHeaders = [] }) =>
  new Map(requestHeaders).get("mcp-session-id") ?? new Map(responseHeaders).get("mcp-session-id") ?? "none";

// Whether nothing can come any more: then who ends the stream first is a matter of timing, and the gateway ends it.
const over = (sent, messages, { method, step }) =>
  step === "cancellation" || step.endsWith("resumed") || (method === "POST" && messages.some((message) => isAnswer(message)));

// What the client saw, exchange by exchange. `own` is the set of steps that the gateway answers itself.
function clientView(record, own) {
  const asked = new Names("server request ");
  return record.filter((exchange) => !isPing(exchange, "answered")).map((exchange) => {
    const naming = (id) => asked.of(sessionOf(exchange), id);
    const sent = renamed(parseJson(exchange.request ?? "") ?? exchange.request, undefined, naming);
    const line = { step: exchange.step, method: exchange.method, sent, status: exchange.status };
    if (own.has(exchange.step)) return line;
    const events = messagesOf(exchange);
    const visible = events.filter(({ message }) => message?.method !== "ping");
    const messages = visible.map(({ message }) => renamed(message, naming, undefined));
    if (sent?.method === "ping") return { ...line, messages };
    return {
      ...line, headers: comparableHeaders(exchange.responseHeaders ?? [], kAllowed.responseHeaders), messages,
      eventNames: visible.map(({ event }) => event ?? "message"),
      resumable: visible.map(({ id }) => id !== undefined),
      retry: [...new Set(exchange.events.map(({ retry }) => retry).filter((retry) => retry !== undefined))],
      ended: exchange.whole === true || over(sent, messages, exchange) ? "by the server" : "by the client",
    };
  });
}

// The client's answer to a ping of the server: which of them there are is the gateway's business.
function isPing({ step, request }, which) {
  const message = parseJson(request ?? "");
  return which === "answered" ? step.includes("server ping") && isAnswer(message) : message?.method === "ping";
}

// What the server saw: each message with what came back for it, whichever connection it came on.
function serverView(record, own) {
  const [ours, theirs] = [new Names("client request "), new Names("server request ")];
  const sessions = new Names("session ");
  const exchanges = record.filter((exchange) => !own.has(exchange.step) && !isPing(exchange));
  const streams = new Map();  // session and stream -> event id -> message
  const view = [];
  for (const exchange of exchanges) {
    const session = sessionOf(exchange);
    const [byClient, byServer] = [(id) => ours.of(session, id), (id) => theirs.of(session, id)];
    const events = messagesOf(exchange).map((event) => ({ ...event, message: renamed(event.message, byServer, byClient) }));
    const headers = comparableHeaders(exchange.requestHeaders, kAllowed.requestHeaders);
    // The fixture's event ids name the stream, so what was resumed elsewhere is found again here.
    for (const { id, message } of events.filter((event) => event.id !== undefined)) {
      const key = `${session} ${id.split("-")[0]}`;
      if (!streams.has(key)) streams.set(key, new Map());
      streams.get(key).set(id, message);
    }
    const line = { session: sessions.of("", session), method: exchange.method, headers };
    if (exchange.method === "GET") {
      const { "last-event-id": _, ...rest } = headers;
      view.push({ ...line, headers: rest, get: `${session} get` });
    } else {
      view.push({
        ...line, status: exchange.status, sent: renamed(parseJson(exchange.request ?? "") ?? exchange.request, byClient, byServer),
        streams: [...new Set(exchange.events.filter(({ id }) => id !== undefined).map(({ id }) => `${session} ${id.split("-")[0]}`))],
        unnumbered: events.filter(({ id }) => id === undefined).map(({ message }) => message),
      });
    }
  }
  return mergeGets(view, streams);
}

const inOrder = (events) => [...events].sort(([a], [b]) => Number(a.split("-")[1]) - Number(b.split("-")[1])).map(([, message]) => message);

function mergeGets(view, streams) {
  const merged = view.filter(({ get }) => !get).map(({ streams: keys, unnumbered, ...line }) =>
    ({ ...line, messages: [...unnumbered, ...keys.flatMap((key) => inOrder(streams.get(key)))] }));
  for (const session of new Set(view.map((line) => line.session))) {
    const gets = view.filter((line) => line.session === session && line.get);
    if (gets.length === 0) continue;
    merged.push({
      session, method: "GET", headers: [...new Set(gets.map(({ headers }) => JSON.stringify(headers)))].sort(),
      messages: inOrder(streams.get(gets[0].get) ?? []),
    });
  }
  return merged;
}

// --- comparison -------------------------------------------------------------------------------------------

// The innermost places where two values differ, as text; a few are enough.
function places(a, b, at = "", found = []) {
  if (isDeepStrictEqual(a, b) || found.length > 3) return found;
  const both = [a, b].every((value) => typeof value === "object" && value !== null && !(value instanceof NumberText));
  if (!both || Array.isArray(a) !== Array.isArray(b)) {
    const short = (value) => (value === undefined ? "nothing" : cut(JSON.stringify(value)));
    found.push(`${at || "/"}: ${short(a)} became ${short(b)}`);
    return found;
  }
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) places(a[key], b[key], `${at}/${key}`, found);
  return found;
}

const cut = (text) => (text.length > 160 ? `${text.slice(0, 120)}... (${text.length} characters)` : text);
const whatOf = ({ sent }) => [sent?.method ?? (sent ? "answer" : ""), sent?.params?.name ?? sent?.params?.uri].filter(Boolean).join(" ");
const titleOf = (line) => [line.step, line.method, whatOf(line)].filter(Boolean).join(", ");

// Pairs of equal keys in two lists: the longest common subsequence, so that one exchange more or less is just that.
function aligned(a, b) {
  const lengths = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; --i) {
    for (let j = b.length - 1; j >= 0; --j) {
      lengths[i][j] = a[i] === b[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  const rows = [];
  for (let [i, j] = [0, 0]; i < a.length || j < b.length;) {
    if (i < a.length && j < b.length && a[i] === b[j]) rows.push([i++, j++]);
    else if (j === b.length || (i < a.length && lengths[i + 1][j] >= lengths[i][j + 1])) rows.push([i++, undefined]);
    else rows.push([undefined, j++]);
  }
  return rows;
}

function compareViews(side, direct, through) {
  const found = [];
  let [run, from] = [[], ""];  // exchanges that follow one another and are missing, or added
  const flush = () => {
    if (run.length > 0) found.push(`${side}: ${run.length} ${from}: ${run[0]}${run.length > 1 ? ` ... ${run.at(-1)}` : ""}`);
    run = [];
  };
  for (const [i, j] of aligned(direct.map(titleOf), through.map(titleOf))) {
    const [a, b] = [direct[i], through[j]];
    const kind = a === undefined ? "added" : b === undefined ? "missing" : "";
    if (kind !== from) flush();
    from = kind;
    if (kind) run.push(titleOf(a ?? b));
    else found.push(...places(a, b).map((place) => `${side}: ${titleOf(a)}: ${place}`));
  }
  flush();
  return found;
}

// An event that came well before the end of its stream has to do so behind the gateway, too.
function compareTimes(direct, through) {
  const streams = (record, step) => record.filter((exchange) =>
    exchange.step === step && exchange.method === "POST" && exchange.whole && isSse(exchange.responseHeaders));
  const leads = ({ events, endedAt }) => events.filter(({ data }) => data).map(({ at }) => endedAt - at);
  const found = [];
  for (const step of new Set(direct.map((exchange) => exchange.step))) {
    const behind = streams(through, step);
    streams(direct, step).forEach((stream, index) => leads(stream).forEach((lead, event) => {
      const kept = behind[index] && leads(behind[index])[event];
      if (kept === undefined || lead < kLead.fromMs || kept >= lead * kLead.share) return;  // a missing one is told elsewhere
      found.push(`client: ${step}: event ${event + 1} came ${Math.round(lead)} ms before the end, now ${Math.round(kept)} ms`);
    }));
  }
  return found;
}

// A client's token is for us; no server may see it.
const leaks = (record) => record.filter(({ requestHeaders }) => requestHeaders.some(([name]) => name === "authorization"))
  .map(({ method }) => `server: a ${method} carries the client's authorization`);

// `direct` is {record, steps} of a run without, `through` {client, server, steps} of one with a system between two taps;
// `steps` says how each step of the script ended. `own` names the steps that the system answers itself.
export function differences(direct, through, own) {
  const failed = through.steps.filter((step) => step.failed).map((step) => `script: ${step.step}: ${step.failed}`);
  return [
    ...failed, ...compareViews("client", clientView(direct.record, own), clientView(through.client, own)),
    ...compareViews("server", serverView(direct.record, own), serverView(through.server, own)),
    ...compareTimes(direct.record, through.client), ...leaks(through.server),
  ];
}
