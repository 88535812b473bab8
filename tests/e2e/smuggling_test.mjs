// Requests that two parsers could read differently, sent to the gateway directly and through nginx. In the bytes hides a call of
// the tool `canary`, with a good token, where a lenient reader would see a request of its own: directly it must never run, and
// behind nginx only where nginx itself saw it as a request. (src/net/http1_beast_test.cc compares with Beast.)
import assert from "node:assert/strict";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { after, test } from "node:test";
import { startHttpServer } from "./fixtures/http-server.mjs";
import { atr, eventually, folder, launch, ledger, mint, policyDirectory, start, within } from "./lib/harness.mjs";
import { HttpConnection } from "./lib/wire.mjs";

const upstream = await startHttpServer({ tools: { canary: (call) => call.answer("sings"), ok: (call) => call.answer("fine") } });

// --- nginx in front of the gateway, with one kept connection that everybody shares ------------------------------------------

const nginxFolder = folder("nginx");
const at = (name) => path.join(nginxFolder, name);
const policy = policyDirectory({ upstreams: { remote: { url: upstream.url } } });
const gateway = await start(policy);
const token = mint(policy, atr());
const { host } = new URL(gateway.url("remote"));
const front = (name, buffering) => `
  upstream ${name} { server ${host}; keepalive 1; }
  server {
    listen unix:${at(name)}.sock;
    access_log ${at(name)}.log requests;
    location / {
      proxy_pass http://${name};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host localhost;
      proxy_request_buffering ${buffering};
      proxy_read_timeout 5s;
    }
  }`;
fs.writeFileSync(at("nginx.conf"), `
daemon off; master_process off; worker_processes 1; pid ${at("pid")}; error_log stderr crit;
events { worker_connections 256; }
http {
  log_format requests "$request_method $request_uri $status";
  client_body_temp_path ${at("body")}; proxy_temp_path ${at("proxy")}; fastcgi_temp_path ${at("fastcgi")};
  uwsgi_temp_path ${at("uwsgi")}; scgi_temp_path ${at("scgi")};
  client_body_timeout 2s; client_header_timeout 2s; keepalive_timeout 10s;
  ${front("buffered", "on")}
  ${front("streamed", "off")}
}`);
const nginx = launch("nginx", ["-p", nginxFolder, "-e", "stderr", "-c", at("nginx.conf")], { env: { PATH: "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin" } });
after(() => {
  nginx.kill("SIGKILL");
  upstream.close();
});
await eventually("nginx listens", () => fs.existsSync(`${at("streamed")}.sock`) || nginx.exitCode !== null);
assert.equal(nginx.exitCode, null, `nginx (Debian package nginx-light) does not start: ${nginx.errors}`);

async function connect(options) {
  const socket = net.connect({ noDelay: true, ...options });
  await within(10_000, "a connection", new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject)));
  return new HttpConnection(socket);
}
const [hostname, port] = host.split(":");
const neighbours = {
  directly: { open: () => connect({ host: hostname, port: Number(port) }) },
  "through nginx": { open: () => connect({ path: `${at("buffered")}.sock` }), log: `${at("buffered")}.log` },
  "through nginx that streams": { open: () => connect({ path: `${at("streamed")}.sock` }), log: `${at("streamed")}.log` },
};

// --- bytes -------------------------------------------------------------------------------------------------------------

const rpc = (id, method, params) => JSON.stringify({ jsonrpc: "2.0", id, method, ...(params ? { params } : {}) });
const ping = rpc("outer", "ping");
const kFields = ["Host: localhost", `Authorization: Bearer ${token}`, "Content-Type: application/json", "Accept: application/json, text/event-stream"];
const kLine = "POST /mcp/remote HTTP/1.1";
// `framing` is a list of header lines; nothing is added.
const request = (framing, body, { line = kLine, fields = kFields, eol = "\r\n" } = {}) => [line, ...fields, ...framing].join(eol) + eol + eol + body;
const whole = (body, line = kLine) => request([`Content-Length: ${body.length}`], body, { line });
// What must not run.
const canary = whole(rpc("canary", "tools/call", { name: "canary", arguments: {} }), "POST /mcp/remote?canary HTTP/1.1");
const tail = whole(rpc("tail", "ping"), "POST /mcp/remote?tail HTTP/1.1");

const hex = (number) => number.toString(16);
const chunk = (body) => `${hex(body.length)}\r\n${body}\r\n`;
const kEnd = "0\r\n\r\n";
const chunked = ["Transfer-Encoding: chunked"];

// Who believes the length sees one request, who believes the chunks sees the canary behind it; and the other way round.
function bothWays(...te) {
  const body = chunk(ping) + kEnd + canary;
  const first = hex(canary.length);
  return {
    "CL.TE": request([`Content-Length: ${body.length}`, ...te], body),
    "TE before CL": request([...te, `Content-Length: ${body.length}`], body),
    "CL.TE, nothing before": request([`Content-Length: ${(kEnd + canary).length}`, ...te], kEnd + canary),
    "TE.CL": request([...te, `Content-Length: ${first.length + 2}`], `${first}\r\n${canary}\r\n${kEnd}`),
    "TE without CL": request(te, ping + canary),
  };
}
const te = {
  plain: ["Transfer-Encoding: chunked"], "lower case": ["transfer-encoding: chunked"], "odd case": ["TrAnSfEr-EnCoDiNg: ChUnKeD"],
  xchunked: ["Transfer-Encoding: xchunked"], "tab before the value": ["Transfer-Encoding:\tchunked"], "vertical tab": ["Transfer-Encoding: \x0bchunked"],
  "form feed behind": ["Transfer-Encoding: chunked\x0c"], "space before the colon": ["Transfer-Encoding : chunked"],
  "tab before the colon": ["Transfer-Encoding\t: chunked"], "space before the name": [" Transfer-Encoding: chunked"], folded: ["Transfer-Encoding:\r\n chunked"],
  "folded behind": ["Transfer-Encoding: chunked\r\n , identity"], "behind a bare LF": ["X-A: b\nTransfer-Encoding: chunked"],
  "behind a bare CR": ["X-A: b\rTransfer-Encoding: chunked"], "with NUL": ["Transfer-Encoding: chunked\0"], "NUL in the name": ["Transfer-Encoding\0: chunked"],
  quoted: ['Transfer-Encoding: "chunked"'], "identity behind": ["Transfer-Encoding: chunked, identity"], "identity before": ["Transfer-Encoding: identity, chunked"],
  twice: ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], "twice, other last": ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
  "twice, other first": ["Transfer-Encoding: identity", "Transfer-Encoding: chunked"], "comma before": ["Transfer-Encoding: ,chunked"],
  parameter: ["Transfer-Encoding: chunked;q=1"], underscore: ["Transfer_Encoding: chunked"], "high bit": ["Transfer-Encoding: chunked\xff"],
  "no value": ["Transfer-Encoding:"], identity: ["Transfer-Encoding: identity"], gzip: ["Transfer-Encoding: gzip, chunked"],
};
const n = ping.length;
const lengths = {
  "a plus": [`Content-Length: +${n}`], "a list": [`Content-Length: ${n}, ${n}`], "a list of two": [`Content-Length: ${n}, 0`],
  twice: [`Content-Length: ${n}`, `Content-Length: ${n}`], "twice, different": [`Content-Length: ${n + canary.length}`, `Content-Length: ${n}`],
  "twice, zero first": ["Content-Length: 0", `Content-Length: ${n + canary.length}`], hexadecimal: [`Content-Length: 0x${hex(n)}`], "a sign": ["Content-Length: -1"],
  "a space inside": [`Content-Length: ${String(n).slice(0, 1)} ${String(n).slice(1)}`], "an exponent": ["Content-Length: 4e1"], "a point": [`Content-Length: ${n}.0`],
  "too large for 64 bits": [`Content-Length: 18446744073709551${616 + n}`], "too large": ["Content-Length: 99999999999999999999999"], empty: ["Content-Length:"],
  "a semicolon": [`Content-Length: ${n};`], "a letter": [`Content-Length: ${n}a`], "a space before the colon": [`Content-Length : ${n}`, "X-A: b"],
  "a space before the name": [`X-A: b`, ` Content-Length: ${n}`], "a NUL behind": [`Content-Length: ${n}\0`], "a NUL inside": ["Content-Length: 4\x000"],
  "a vertical tab": [`Content-Length:\x0b${n}`], "behind a bare LF": [`X-A: b\nContent-Length: ${n}`], "behind a bare CR": [`X-A: b\rContent-Length: ${n}`],
  folded: [`Content-Length:\r\n ${n}`], "folded behind another": [`X-A: b\r\n\tContent-Length: ${n}`], underscore: [`Content_Length: ${n}`], none: [],
};
const size = hex(n);
const chunks = {
  "an extension": `${size};a=b\r\n${ping}\r\n${kEnd}`, "an extension with a bare LF": `${size};a\n${ping}\r\n${kEnd}`, "an empty extension": `${size};\r\n${ping}\r\n${kEnd}`,
  "a quoted line end in an extension": `${size};a="\r\n"\r\n${ping}\r\n${kEnd}`, "0x before the size": `0x${size}\r\n${ping}\r\n${kEnd}`, "a plus": `+${size}\r\n${ping}\r\n${kEnd}`,
  "a sign": `-${size}\r\n${ping}\r\n${kEnd}`, "a space before": ` ${size}\r\n${ping}\r\n${kEnd}`, "a space behind": `${size} \r\n${ping}\r\n${kEnd}`,
  "a tab behind": `${size}\t\r\n${ping}\r\n${kEnd}`, "a size that overflows": `1${"0".repeat(14)}${size.padStart(2, "0")}\r\n${ping}\r\n${kEnd}`,
  "a bare LF behind the size": `${size}\n${ping}\r\n${kEnd}`, "a bare LF behind the data": `${size}\r\n${ping}\n${kEnd}`, "no line end behind the data": `${size}\r\n${ping}${kEnd}`,
  "two bytes of something behind the data": `${size}\r\n${ping}xx${kEnd}`, "a bare CR behind the size": `${size}\r${ping}\r\n${kEnd}`,
  "bare LFs at the end": `${size}\r\n${ping}\r\n0\n\n`, "a bare LF at the very end": `${size}\r\n${ping}\r\n0\r\n\n`, "an extension at the end": `${size}\r\n${ping}\r\n0;a\r\n\r\n`,
  "a trailer": `${size}\r\n${ping}\r\n0\r\nX-A: b\r\n\r\n`, "a length as trailer": `${size}\r\n${ping}\r\n0\r\nContent-Length: ${canary.length}\r\n\r\n`,
  "the canary as trailer": `${size}\r\n${ping}\r\n0\r\n`, "no size": `\r\n${ping}\r\n${kEnd}`, "a NUL in the size": `${size}\0\r\n${ping}\r\n${kEnd}`, "many zeros": `${"0".repeat(100)}${size}\r\n${ping}\r\n${kEnd}`,
};
// The requests whose refusal comes early, with the canary as their body: it must not be read as the next request.
const early = {
  "no token": request([`Content-Length: ${canary.length}`], canary, { fields: kFields.filter((field) => !field.startsWith("Auth")) }),
  "a bad token": request([`Content-Length: ${canary.length}`], canary, { fields: ["Host: localhost", "Authorization: Bearer a.b.c"] }),
  "another path": whole(canary, "POST /elsewhere HTTP/1.1"), "an unknown upstream": whole(canary, "POST /mcp/nobody HTTP/1.1"),
  "GET with a body": whole(canary, "GET /mcp/remote HTTP/1.1"), "DELETE with a body": whole(canary, "DELETE /mcp/remote HTTP/1.1"), "PUT": whole(canary, "PUT /mcp/remote HTTP/1.1"),
  "HEAD with a body": whole(canary, "HEAD /mcp/remote HTTP/1.1"), "OPTIONS with a body": whole(canary, "OPTIONS /mcp/remote HTTP/1.1"),
  "TRACE with a body": whole(canary, "TRACE /mcp/remote HTTP/1.1"), "a web page": request(["Origin: https://evil.example", `Content-Length: ${canary.length}`], canary),
  "another media type": request([`Content-Length: ${canary.length}`], canary, { fields: [...kFields.slice(0, 2), "Content-Type: text/plain"] }),
  "an unknown session": request(["Mcp-Session-Id: x", `Content-Length: ${canary.length}`], canary), "a wait for 100": request(["Expect: 100-continue", `Content-Length: ${canary.length}`], canary),
  "another expectation": request(["Expect: 200-ok", `Content-Length: ${canary.length}`], canary),
  "a body that is too large": request([`Content-Length: ${6 << 20}`], canary.repeat(20)), "headers that are too large": request([`X-A: ${"b".repeat(70_000)}`, `Content-Length: ${n}`], canary),
  "metadata with a body": whole(canary, "GET /.well-known/oauth-protected-resource/mcp/remote HTTP/1.1"), "GET with chunks": request(chunked, chunk(canary) + kEnd, { line: "GET /mcp/remote HTTP/1.1" }),
  "a session that listens, with a body": request(["Mcp-Session-Id: x", `Content-Length: ${canary.length}`], canary, { line: "GET /mcp/remote HTTP/1.1" }),
};
const lines = {
  "absolute-form": "POST http://localhost/mcp/remote HTTP/1.1", "absolute-form of another host": "POST http://elsewhere.example/mcp/remote HTTP/1.1",
  "authority-form": "CONNECT localhost:80 HTTP/1.1", "two spaces": "POST  /mcp/remote HTTP/1.1", "a tab": "POST\t/mcp/remote\tHTTP/1.1", "no version": "POST /mcp/remote",
  "HTTP/0.9": "POST /mcp/remote HTTP/0.9", "HTTP/1.2": "POST /mcp/remote HTTP/1.2", "HTTP/2.0": "POST /mcp/remote HTTP/2.0", "two versions": "POST /mcp/remote HTTP/1.1 HTTP/1.1",
  "a space in the target": "POST /mcp/remote /x HTTP/1.1", "NUL in the target": "POST /mcp/remote\0 HTTP/1.1", "a fragment": "POST /mcp/remote#x HTTP/1.1", "a lower-case version": "POST /mcp/remote http/1.1",
  "a space before": " POST /mcp/remote HTTP/1.1", "line ends before": "\r\n\r\n\r\nPOST /mcp/remote HTTP/1.1", "a line end in the target": "POST /mcp/\nremote HTTP/1.1", "HTTP/1.0 with chunks": "POST /mcp/remote HTTP/1.0",
};

const shapes = {};
for (const [what, header] of Object.entries(te)) for (const [way, bytes] of Object.entries(bothWays(...header))) shapes[`Transfer-Encoding ${what}, ${way}`] = bytes;
for (const [what, header] of Object.entries(lengths)) shapes[`Content-Length: ${what}`] = request(header, ping + canary);
// A header with an underscore is another header, so behind a good length the canary is a request like any other.
delete shapes["Transfer-Encoding underscore, TE.CL"];
for (const [what, header] of Object.entries(lengths)) if (header.some((line) => !line.includes("_"))) shapes[`Content-Length: ${what}, beside chunks`] = request([...header, ...chunked], chunk(ping) + kEnd + canary);
for (const [what, body] of Object.entries(chunks)) shapes[`chunks: ${what}`] = request(chunked, body + canary);
for (const [what, bytes] of Object.entries(early)) shapes[`refused early: ${what}`] = bytes;
for (const [what, line] of Object.entries(lines)) shapes[`request line: ${what}`] = request(line.includes("1.0") ? chunked : [`Content-Length: ${n}`], (line.includes("1.0") ? chunk(ping) + kEnd : ping) + canary, { line });
shapes["bare LF everywhere"] = request([`Content-Length: ${n}`], ping, { eol: "\n" }) + canary;
shapes["bare CR everywhere"] = request([`Content-Length: ${n}`], ping, { eol: "\r" }) + canary;
shapes["two Hosts"] = request(["Host: elsewhere.example", `Content-Length: ${n}`], ping) + canary;
shapes["no Host"] = request([`Content-Length: ${n}`], ping, { fields: kFields.slice(1) }) + canary;
shapes["a header that is no header"] = request(["nonsense", `Content-Length: ${n}`], ping) + canary;
shapes["a request that closes, and more behind it"] = request(["Connection: close", `Content-Length: ${n}`], ping) + canary;
shapes["Content-Length hidden by Connection"] = request(["Connection: close, Content-Length", `Content-Length: ${n}`], ping) + canary;
shapes["h2c"] = request(["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA", "Connection: close", `Content-Length: ${n}`], ping) + canary;
shapes["a WebSocket"] = request(["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Connection: close", `Content-Length: ${n}`], ping) + canary;
shapes["the canary inside JSON"] = whole(rpc("outer", "ping", { _meta: { x: canary } }));
shapes["the canary inside a header"] = request([`X-A: ${canary.replaceAll("\r\n", "\\r\\n")}`, `Content-Length: ${n}`], ping);

// Requests that everybody must see as several: nothing strange in them. They prove that the canary would be heard.
const controls = {
  "two whole requests": whole(ping) + canary, "chunks, then another request": request(chunked, chunk(ping) + kEnd) + canary,
  "an empty line before the second": `${whole(ping)}\r\n${canary}`,
};

// --- the run --------------------------------------------------------------------------------------------------------------

const sung = () => upstream.callsOf("canary");
const loggedCanaries = (log) => fs.readFileSync(log, "utf8").split("\n").filter((line) => /^POST \/mcp\/remote\?canary 200$/.test(line)).length;
const kPatience = 400;  // for a peer that waits for the rest of what it takes for a body

// Sends the bytes and an honest request behind them, and waits until the peer has closed, answered that, or waits for more; then
// says that nothing more will come. Gives the answers.
async function send({ open }, bytes) {
  const connection = await open();
  connection.write(Buffer.from(bytes + tail, "latin1"));
  const answers = [];
  const reading = (async () => {
    for (let answer = await connection.response(15_000); answer; answer = await connection.response(15_000)) {
      answers.push(answer);
      if (answer.json?.id === "tail") return;
    }
  })().catch((error) => (error.message.includes("HTTP") || error.message.includes("regular expression") ? undefined : Promise.reject(error)));
  await Promise.race([reading, new Promise((resolve) => setTimeout(resolve, kPatience))]);
  connection.socket.end();
  await within(15_000, "the end of the connection", eventually("closed", () => connection.ended));
  connection.close();
  await reading.catch(() => {});
  return answers;
}

// Whoever comes next on a connection that the neighbour keeps gets his own answer.
async function victim({ open }, name) {
  const connection = await open();
  connection.write(whole(rpc(name, "tools/call", { name: "ok", arguments: {} }), "POST /mcp/remote?victim HTTP/1.1"));
  const answer = await connection.response();
  assert.deepEqual([answer?.json?.id, answer?.json?.result?.content[0].text], [name, "fine"], answer?.body);
  connection.close();
}

let victims = 0;
for (const [way, neighbour] of Object.entries(neighbours)) {
  for (const [what, bytes] of Object.entries(controls)) {
    test(`${way}, to compare: ${what}`, async () => {
      const before = sung();
      const answers = await send(neighbour, bytes);
      assert.deepEqual(answers.map(({ json }) => json.id), ["outer", "canary", "tail"]);
      assert.equal(sung(), before + 1);
    });
  }
  for (const [what, bytes] of Object.entries(shapes)) {
    test(`${way}: ${what}`, async () => {
      const before = sung();
      const logged = neighbour.log ? loggedCanaries(neighbour.log) : 0;
      const answers = await send(neighbour, bytes);
      await victim(neighbour, `victim-${++victims}`);
      if (neighbour.log) {
        assert.equal(sung() - before, loggedCanaries(neighbour.log) - logged, "the gateway saw exactly the requests that nginx saw");
      } else {
        assert.equal(sung(), before, "the canary ran");
        const good = answers.filter(({ status }) => status >= 200 && status < 300);
        assert.ok(good.length <= 2, "at most the request itself and the honest one behind it");
        for (const { json } of good) assert.ok([undefined, "outer", "tail"].includes(json?.id), JSON.stringify(json));
      }
    });
  }
}

test("the record holds what was run, and no canary more", async () => {
  assert.equal((await gateway.stop()).code, 0);
  const leaves = ledger(policy);
  const ran = leaves.filter(({ kind, tool, verdict }) => kind === "decision" && tool === "canary" && verdict === "allow");
  assert.equal(ran.length, sung());
  const inNginx = loggedCanaries(neighbours["through nginx"].log) + loggedCanaries(neighbours["through nginx that streams"].log);
  assert.equal(sung(), inNginx + Object.keys(controls).length);
  const calls = new Map();
  for (const leaf of leaves) if (leaf.call) calls.set(leaf.call, [...(calls.get(leaf.call) ?? []), leaf.kind]);
  for (const [call, kinds] of calls) assert.deepEqual(kinds, ["decision", "outcome"], call);
  console.log(`# ${Object.keys(shapes).length} shapes, ${Object.keys(neighbours).length} ways; nginx let ${inNginx} canaries through as requests of their own`);
});
