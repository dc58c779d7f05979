import { expect, test } from "vitest";
import { createQuietLog } from "../../src/cli/quiet-log.ts";
import { createRefusalLog } from "../../src/cli/refusal-log.ts";
import type { DecisionEvent } from "../../src/guard/decisions.ts";

const event: DecisionEvent = {
  service: "a.v1.Mailbox",
  method: "SendLetter",
  credential: "session",
  reason: "expired",
  cause: undefined,
  suppressed: 0,
};

function refusalLog() {
  const lines: string[] = [];
  const clock = { now: 0 };
  const log = createRefusalLog(
    createQuietLog(
      (line) => lines.push(line),
      () => clock.now,
    ),
  );
  return { lines, clock, log };
}

test("a refusal is one line; like ones are counted until 10 s have passed", () => {
  const { lines, clock, log } = refusalLog();
  log(event);
  log(event);
  clock.now = 9_999;
  log({ ...event, suppressed: 5 });
  log({ ...event, reason: "missing" });
  clock.now = 10_000;
  log(event);
  expect(lines).toEqual([
    "countersign: refused a.v1.Mailbox/SendLetter: session expired\n",
    "countersign: refused a.v1.Mailbox/SendLetter: session missing\n",
    "countersign: refused a.v1.Mailbox/SendLetter: session expired; 7 more since the last line\n",
  ]);
});

test("what a caller has made up neither reaches the terminal nor makes a line of its own", () => {
  const { lines, log } = refusalLog();
  for (const method of ["/a\u001b[2J", "/b", "/c"]) {
    log({ ...event, service: "", method, credential: undefined, reason: "unknown RPC" });
  }
  expect(lines).toEqual(["countersign: refused an unknown RPC: unknown RPC\n"]);
});

test("a cause is told in its first line", () => {
  const { lines, log } = refusalLog();
  log({ ...event, reason: "store unavailable", cause: "Error: no such host\n    at a.js" });
  expect(lines).toEqual([
    "countersign: refused a.v1.Mailbox/SendLetter: session store unavailable (Error: no such host)\n",
  ]);
});

test("more kinds than are told apart share a line", () => {
  const { lines, log } = refusalLog();
  for (let kind = 0; kind < 1_000; kind += 1) {
    log({ ...event, reason: `reason ${kind}` });
  }
  expect(lines).toHaveLength(201);
});
