import { expect, test } from "vitest";
import { Message } from "../../../src/appio/objects/message.ts";
import { messageErrorCodes } from "../../../src/appio/objects/message-error.ts";
import { RecordDict } from "../../../src/appio/objects/record-dict.ts";

const content = new RecordDict();
const at = (seconds: number) => () => seconds * 1000;
const instruction = new Message({
  content,
  messageType: "train",
  dstNodeId: 7n,
  groupId: "3",
  ttlSeconds: 100,
  now: at(1000),
}).withMetadata({ runId: 5n, srcNodeId: 1n, messageId: "id" });

test("an instruction lives for twelve hours by default", () => {
  expect(
    new Message({ content, messageType: "query", dstNodeId: 2n ** 64n - 1n, now: at(1.5) })
      .metadata,
  ).toEqual({
    runId: 0n,
    messageId: "",
    srcNodeId: 0n,
    dstNodeId: 2n ** 64n - 1n,
    replyToMessageId: "",
    groupId: "",
    ttlSeconds: 43_200,
    messageType: "query",
    createdAtSeconds: 1.5,
  });
});

test("a reply goes back to where the instruction came from, and lives as long", () => {
  expect(instruction.reply(content, { now: at(1040) }).metadata).toEqual({
    runId: 5n,
    messageId: "",
    srcNodeId: 7n,
    dstNodeId: 1n,
    replyToMessageId: "id",
    groupId: "3",
    ttlSeconds: 60,
    messageType: "train",
    createdAtSeconds: 1040,
  });
});

test.each([
  ["shorter: kept", 10, 10],
  ["as long: kept", 60, 60],
  ["within the tolerance of 0.1 s: kept", 60.05, 60.05],
  ["longer: cut down", 60.2, 60],
  ["0: as long as the instruction", 0, 60],
])("the time to live of a reply, %s", (_, ttlSeconds, expected) => {
  expect(instruction.reply(content, { ttlSeconds, now: at(1040) }).metadata.ttlSeconds).toBe(
    expected,
  );
});

test("an error reply carries the error instead of content", () => {
  const error = { code: messageErrorCodes.clientAppRaisedException, reason: "boom" };
  const reply = instruction.replyWithError(error, { now: at(1040) });
  expect([reply.hasError(), reply.hasContent(), reply.error]).toEqual([true, false, error]);
  expect(() => reply.content).toThrow("the message has no content but error 2: boom");
  expect(() => instruction.error).toThrow("the message has no error but content");
  expect(reply.toProto().content).toBeUndefined();
});

test("an empty reason is none", () => {
  expect(instruction.replyWithError({ code: 1, reason: "" }).error).toEqual({ code: 1 });
});

test("in a list of messages the content is present but empty", () => {
  expect(instruction.toProto().content?.items).toEqual([]);
  expect(instruction.toProto().error).toBeUndefined();
});

test("metadata cannot be changed, only replaced in a copy", () => {
  expect(Object.isFrozen(instruction.metadata)).toBe(true);
  const copy = instruction.withMetadata({ groupId: "4" });
  expect([instruction.metadata.groupId, copy.metadata.groupId]).toEqual(["3", "4"]);
  expect(copy.content).toBe(content);
});

test.each([
  [
    "a number as a node id",
    // @ts-expect-error ids have 64 bits
    () => new Message({ content, messageType: "train", dstNodeId: 7 }),
    '"dstNodeId" must be a bigint',
  ],
  [
    "another content",
    // @ts-expect-error content is a RecordDict
    () => new Message({ content: {}, messageType: "train", dstNodeId: 7n }),
    'a message needs a RecordDict as "content"',
  ],
  [
    "an error code that is no integer",
    () => instruction.replyWithError({ code: 0.5 }),
    'an "error" whose code is an integer',
  ],
])("refuses %s", (_, make, text) => {
  expect(make).toThrow(TypeError);
  expect(make).toThrow(text);
});
