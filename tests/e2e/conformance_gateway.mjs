// What the tests of whole MCP over HTTP share: the fixture as a process, and a gateway before one upstream with a grant
// for everything that upstream has.
import { atr, environment, folder, launch, mint, policyDirectory, start, stub } from "./lib/harness.mjs";
import { LineReader, within } from "./lib/lines.mjs";

// Starts a program that prints {"url": ...} when it listens.
export async function startServer(command = stub("conformance-server.mjs")) {
  const child = launch(command[0], command.slice(1), { env: environment(folder("home")) });
  const line = await within(15_000, `the address of ${command.join(" ")}`, new LineReader(child.stdout).next());
  if (line === null) throw new Error(`${command.join(" ")} ended:\n${child.errors}`);
  return { child, url: JSON.parse(line).url, stop: () => (child.kill("SIGKILL"), child.ended) };
}

const kScopes = [
  "tools:list", "tools:call", "resources:list", "resources:read", "resources:subscribe", "prompts:list", "prompts:get", "completion",
];

// Role and grant members that allow everything of these upstreams. `uris` are globs of the URIs of their resources.
export function everythingOf(ids, uris = ["test://**"]) {
  const each = (globs) => Object.fromEntries(ids.map((id) => [id, globs]));
  return {
    role: {
      scope: kScopes, toolsInScope: ["*/*"], verticals: ["lending", "insurance"],
      resourcesInScope: ids.flatMap((id) => uris.map((uri) => `${id}/${uri}`)), promptsInScope: ids.map((id) => `${id}/*`),
    },
    grant: { scope: kScopes, toolsInScope: ["*/*"], resourcesInScope: each(uris), promptsInScope: each(["*"]) },
  };
}

// A gateway before `upstreams` ({ID: {url} or {command}}); gives {url(id), token, policy, stop}.
export async function startGateway(upstreams, uris) {
  const { role, grant } = everythingOf(Object.keys(upstreams), uris);
  const policy = policyDirectory({
    upstreams: Object.fromEntries(Object.entries(upstreams).map(([id, upstream]) => [id, { vertical: "shared", ...upstream }])),
    roles: { operator: role },
  });
  const gateway = await start(policy);
  return { url: gateway.url, token: mint(policy, atr(grant)), policy, stop: () => gateway.stop() };
}
