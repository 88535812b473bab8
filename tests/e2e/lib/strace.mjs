// Reads the output of `strace -f -ttt -y -o FILE`: system calls with the lines on which they began and ended.
//
// A call that another thread interrupts is written in two lines, "<unfinished ...>" and "<... NAME resumed>"; a call is over
// only where its second line stands. strace sees stops one after the other, so the order of lines is the order of events.

const kLine = /^(\d+)\s+(\d+\.\d+) (.*)$/;

export function parseTrace(text) {
  const calls = [];
  const open = new Map();  // thread id -> the call it is in
  text.split("\n").forEach((line, at) => {
    const match = kLine.exec(line);
    if (!match) return;
    const [, thread, , rest] = match;
    const resumed = /^<\.\.\. (\w+) resumed>(.*)$/.exec(rest);
    if (resumed) {
      const call = open.get(thread);
      if (call?.name !== resumed[1]) throw new Error(`line ${at + 1}: ${resumed[1]} resumed, but it was not begun`);
      open.delete(thread);
      finish(call, resumed[2], at);
      return;
    }
    const begun = /^(\w+)\((.*)$/.exec(rest);
    if (!begun) return;  // signals, exits
    const call = { thread, name: begun[1], begin: at, end: Infinity, text: begun[2], result: undefined };
    calls.push(call);
    if (rest.endsWith("<unfinished ...>")) open.set(thread, call);
    else finish(call, "", at);
  });
  return calls;
}

function finish(call, more, at) {
  call.text = call.text.replace(/\s*<unfinished \.\.\.>$/, "") + more;
  call.end = at;
  const result = /\)\s+= (-?\d+)[^"]*$/.exec(call.text);
  call.result = result ? Number(result[1]) : undefined;
}

const kWrites = ["write", "writev", "pwrite64", "pwritev", "sendto", "sendmsg"];

// Checks for one call that its decision was durable before it was forwarded, and its outcome before it was answered.
// `callId` names its leaves, `marker` is a text that only its request and its answer hold. Gives what it found; throws otherwise.
export function checkDurability(calls, callId, marker) {
  const first = (what, fits) => {
    const found = calls.filter(fits);
    if (found.length === 0) throw new Error(`the trace does not show ${what}`);
    return found[0];
  };
  const inRecord = (call) => /^\d+<[^>]*\/ledger\/[^>]*\.log>/.test(call.text);
  const has = (call, ...texts) => kWrites.includes(call.name) && texts.every((text) => call.text.includes(text));
  const leaf = (kind) => first(`the ${kind} leaf written`, (call) => inRecord(call) && has(call, `\\"kind\\":\\"${kind}\\"`, callId));
  // A sync counts for a leaf when it began after the write had ended, and succeeded.
  const synced = (kind, written) => first(`fdatasync after the ${kind} leaf`, (call) =>
    call.name === "fdatasync" && inRecord(call) && call.begin > written.end && call.result === 0);

  const decision = leaf("decision");
  const decisionSynced = synced("decision", decision);
  const forwarded = first("the request going to the upstream", (call) => !inRecord(call) && has(call, "tools/call", marker) && !/recv|read/.test(call.name));
  if (forwarded.begin < decisionSynced.end) throw new Error("the request went to the upstream before its decision was durable");
  const outcome = leaf("outcome");
  const outcomeSynced = synced("outcome", outcome);
  const answered = first("the answer going to the client", (call) => has(call, "HTTP/1.1 200", marker));
  if (answered.begin < outcomeSynced.end) throw new Error("the answer went to the client before its outcome was durable");
  return { decision, decisionSynced, forwarded, outcome, outcomeSynced, answered };
}
