// What tests ask of a running gateway from outside: its admin socket, its memory, the record of one call.
import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { eventually, ledger, zwinger } from "./harness.mjs";

// GET on the default admin listener of this policy's gateway: {status, body}.
export function admin(policy, url) {
  const socketPath = path.join(policy, "state/admin.sock");
  return new Promise((resolve, reject) => {
    http.get({ socketPath, path: url, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text) => (body += text));
      response.on("end", () => resolve({ status: response.statusCode, body }));
    }).on("error", reject);
  });
}

// The value of one metric, with its labels as they are written: metric(policy, 'zwinger_sessions'); 0 where there is none yet.
export async function metric(policy, series) {
  const { body } = await admin(policy, "/metrics");
  const line = body.split("\n").find((candidate) => candidate.startsWith(`${series} `));
  return line ? Number(line.slice(series.length + 1)) : 0;
}

const status = (gateway, field) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(fs.readFileSync(`/proc/${gateway.ready.pid}/status`, "utf8"))[1]) * 1024;
// Resident memory in bytes: now, and the most that it ever was.
export const memory = (gateway) => status(gateway, "VmRSS");
export const peakMemory = (gateway) => status(gateway, "VmHWM");
// Sanitizers hold freed memory back: bounds of memory mean nothing under them, and are widened by this.
const program = fs.readFileSync(zwinger);
export const memoryFactor = program.includes("__asan_init") || program.includes("__tsan_init") ? 8 : 1;
export const MiB = 1 << 20;

export function assertMemory(gateway, bound) {
  const peak = peakMemory(gateway);
  assert.ok(peak < bound * memoryFactor, `the gateway took ${Math.round(peak / MiB)} MiB, more than ${Math.round(bound / MiB)}`);
}

// The outcome leaf of a call, once it is there; there is exactly one of each kind.
export function outcomeOf(policy, call) {
  return eventually(`the outcome of call ${call}`, () => {
    const leaves = ledger(policy).filter((leaf) => leaf.call === call);
    const outcome = leaves.find(({ kind }) => kind === "outcome");
    if (outcome) assert.deepEqual(leaves.map(({ kind }) => kind), ["decision", "outcome"]);
    return outcome;
  });
}

// The newest call of this tool that was decided after `before` leaves.
export const decisionsOf = (policy, tool) => ledger(policy).filter((leaf) => leaf.kind === "decision" && leaf.tool === tool);
