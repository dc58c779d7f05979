import { expect, test } from "vitest";
import { createRefusalTally } from "../../../src/appio/superlink/refusals.ts";

const event = {
  service: "a.v1.Mailbox",
  method: "SendLetter",
  credential: "session",
  reason: "expired",
  cause: undefined,
  suppressed: 0,
};

test("counts refusals that are alike, the latest first; made-up paths are one", () => {
  let now = 1;
  const tally = createRefusalTally(() => now);
  tally.add(event);
  tally.add({ ...event, service: "", method: "/x", credential: undefined, reason: "unknown RPC" });
  tally.add({ ...event, service: "", method: "/y", credential: undefined, reason: "unknown RPC" });
  now = 2;
  tally.add(event);
  const { service, method, credential, reason } = event;
  expect(tally.list()).toEqual([
    { service, method, credential, reason, count: 2, lastAt: 2 },
    { service: "", method: "", credential: "", reason: "unknown RPC", count: 2, lastAt: 1 },
  ]);
});

test("keeps the latest 1000 kinds", () => {
  const tally = createRefusalTally(() => 0);
  for (let kind = 0; kind <= 1_000; kind += 1) {
    tally.add({ ...event, reason: `${kind}` });
  }
  expect(tally.list()).toHaveLength(1_000);
  expect(tally.list().at(-1)?.reason).toBe("1");
});
