import { once } from "node:events";
import { Readable } from "node:stream";
import { expect, it } from "vitest";
import { createBodyWatch, drainBody, dropBody, visitUnread } from "../../src/serve/body-watch.ts";

function watched() {
  const told: string[] = [];
  const body = new Readable({ read: () => {} });
  const watch = createBodyWatch({
    onUnread: (piece) => told.push(Buffer.from(piece).toString()),
    onBacklog: (readable) => told.push(`backlog of ${readable.readableLength}`),
  });
  watch(body);
  return { body, told };
}

it("tells of what is not read as it arrives, and of nothing else", async () => {
  const { body, told } = watched();
  body.push(Buffer.from("left"));
  body.on("data", () => {});
  await once(body, "data");
  body.push(Buffer.from("taken"));
  body.pause();
  body.push(Buffer.from("held"));
  body.push(Buffer.from("more"));
  expect(told).toEqual(["left", "held", "more", "backlog of 8"]);
  const unread: string[] = [];
  visitUnread(body, (piece) => unread.push(Buffer.from(piece).toString()));
  expect(unread).toEqual(["held", "more"]);
});

it("keeps nothing of a body that is dropped, asks for no more of it, and passes its end on", async () => {
  const { body, told } = watched();
  body.push(Buffer.from("left"));
  body.on("data", () => told.push("data"));
  dropBody(body, 0);
  const ended = once(body, "end");
  // False stops the reading from a socket, and the window of HTTP/2 with it.
  expect(body.push(Buffer.from("more"))).toBe(false);
  body.push(null);
  await ended;
  expect([told, body.readableLength]).toEqual([["left"], 0]);
});

it("keeps nothing, but asks for as much of a dropped body as is to be read", () => {
  const { body, told } = watched();
  dropBody(body, 10);
  expect([4, 6, 1, 1].map((length) => body.push(Buffer.alloc(length)))).toEqual([
    true,
    true,
    false,
    false,
  ]);
  expect([told, body.readableLength]).toEqual([[], 0]);
});

it("lets a body run dry of which that was said already", async () => {
  const body = new Readable({ read: () => {} });
  drainBody(body);
  await nextTurn();
  drainBody(body);
  await nextTurn();
  body.push(Buffer.from("more"));
  body.push(null);
  await once(body, "end");
});

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
