import { type Client, createClient, createRouterTransport } from "@connectrpc/connect";
import { createOpenClient } from "countersign";
import { expect, test } from "vitest";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { eitherPolicy, recordingMailbox, sessionPolicy } from "./mailbox.ts";

test("has the open RPCs of the policy, and no other", () => {
  const client = createOpenClient(
    sessionPolicy,
    createRouterTransport(() => {}),
  );
  expect(Object.keys(client).sort()).toEqual(["getBulletin", "openSession"]);
  const all: Partial<Client<typeof Mailbox>> = client;
  expect(all.sendLetter).toBeUndefined();
});

test("calls open RPCs over any transport", async () => {
  const { routes, seen } = recordingMailbox();
  const client = createOpenClient(sessionPolicy, createRouterTransport(routes));
  const response = await client.getBulletin({}, { headers: { "x-note": "kept" } });
  expect(response.text).toBe("welcome");
  expect(seen[0]?.header.get("x-note")).toBe("kept");
  const plain = createClient(Mailbox, createRouterTransport(routes));
  await plain.getBulletin({}, { headers: { "x-note": "kept" } });
  expect([...(seen[0]?.header ?? [])]).toEqual([...(seen[1]?.header ?? [])]);
});

test("sends no header of a credential, even if the call options set it", async () => {
  const { routes, seen } = recordingMailbox();
  const client = createOpenClient(eitherPolicy, createRouterTransport(routes));
  await client.getBulletin(
    {},
    { headers: { "Mailbox-Session": "s3cret", "mailbox-time": "noon", "mailbox-key-bin": "AQ" } },
  );
  const names = [...(seen[0]?.header.keys() ?? [])];
  expect(names.filter((name) => name.startsWith("mailbox-"))).toEqual([]);
});

test("refuses what is no policy", () => {
  const nothing: object = {};
  expect(() =>
    createOpenClient(
      nothing as typeof sessionPolicy,
      createRouterTransport(() => {}),
    ),
  ).toThrow(new TypeError('"policy" must be made by definePolicy(...)'));
});
