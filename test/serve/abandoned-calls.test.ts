import type { Socket } from "node:net";
import { setImmediate as nextTurn, setTimeout as wait } from "node:timers/promises";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import fc from "fast-check";
import { it, vi } from "vitest";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import {
  ack,
  endHeaders,
  endStream,
  frame,
  frameType,
  preface,
  requestHeaders,
} from "./http2-frames.ts";
import { header, serveMailbox, token } from "./mailbox-server.ts";
import { openSocket } from "./raw-http.ts";

// Calls that are begun in every way, left at every moment, and reset: none may go on counting as open. `npm run test:attack`.

/** How many requests the server may have open: as many as a connection here begins at most. */
const maxOpenRequests = 6;
const sequences = 400;

/** What a client does on a stream after the request's headers. */
type Step =
  | { readonly kind: "data"; readonly bytes: Buffer }
  | { readonly kind: "end" }
  | { readonly kind: "window"; readonly bytes: number };

interface AbandonedCall {
  readonly rpc: string;
  readonly contentType: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly steps: readonly Step[];
  readonly resetCode: number;
}

interface Sequence {
  /** The client's window for answers, in bytes. */
  readonly windowBytes: number;
  readonly calls: readonly AbandonedCall[];
  /** Which of the begun calls goes on, or that the next one begins; as often as there are steps. */
  readonly order: readonly number[];
  /** Turns of the event loop, or for the largest 3 ms, that pass between two frames. */
  readonly pauses: readonly number[];
  readonly end: "stays" | "goes away" | "breaks off" | "closes";
}

const steps: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant("data" as const),
    bytes: fc.constantFrom(
      Buffer.alloc(0),
      Buffer.alloc(3),
      Buffer.alloc(5),
      Buffer.alloc(16_000),
      Buffer.from([0, 0, 0, 0, 9, 1]),
      Buffer.from([0, 0, 0, 0, 2, 0x7b, 0x7d]),
      Buffer.from([0, 0xff, 0, 0, 0]),
      Buffer.from([1, 0, 0, 0, 2, 9, 9]),
      Buffer.from("{}"),
      Buffer.from("{"),
    ),
  }),
  fc.record({ kind: fc.constant("window" as const), bytes: fc.integer({ min: 1, max: 200_000 }) }),
  fc.constant({ kind: "end" as const }),
);

const calls: fc.Arbitrary<AbandonedCall> = fc.record({
  rpc: fc.constantFrom(...Mailbox.methods.map(({ name }) => name), "NoSuchMethod"),
  contentType: fc.constantFrom(
    "application/grpc",
    "application/grpc+json",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/proto",
    "application/json",
    "application/connect+proto",
    "application/connect+json",
    "text/html",
  ),
  headers: fc.subarray<readonly [string, string]>([
    ["mailbox-session", token],
    ["grpc-timeout", "20m"],
    ["grpc-encoding", "gzip"],
    ["grpc-accept-encoding", "gzip"],
    ["content-length", "20000"],
  ]),
  steps: fc.array(steps, { maxLength: 4 }),
  resetCode: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 13 })),
});

const anySequence: fc.Arbitrary<Sequence> = fc.record({
  windowBytes: fc.constantFrom(0, 10, 65_535),
  calls: fc.array(calls, { minLength: 1, maxLength: maxOpenRequests }),
  order: fc.array(fc.nat(maxOpenRequests), { minLength: 1, maxLength: 40 }),
  pauses: fc.array(fc.nat(4), { minLength: 1, maxLength: 40 }),
  end: fc.constantFrom("stays", "goes away", "breaks off", "closes"),
});

/** The frames of a call, each to be sent by itself. */
function framesOf(call: AbandonedCall, streamId: number): Buffer[] {
  const path = `/countersign.example.v1.Mailbox/${call.rpc}`;
  const frames = [requestHeaders(streamId, path, call.contentType, endHeaders, call.headers)];
  for (const step of call.steps) {
    if (step.kind === "data") {
      frames.push(frame(frameType.data, 0, streamId, step.bytes));
    } else if (step.kind === "window") {
      frames.push(frame(frameType.windowUpdate, 0, streamId, uint32(step.bytes)));
    } else {
      frames.push(frame(frameType.data, endStream, streamId));
      break;
    }
  }
  frames.push(frame(frameType.resetStream, 0, streamId, uint32(call.resetCode)));
  return frames;
}

/** The frames of all calls, mixed; streams begin in the order of their numbers. */
function mixed({ calls, order }: Sequence): Buffer[] {
  const waiting = calls.map((call, i) => framesOf(call, 2 * i + 1));
  const begun: Buffer[][] = [];
  const frames: Buffer[] = [];
  for (let turn = 0; waiting.length > 0 || begun.length > 0; turn++) {
    const chosen = order[turn % order.length] ?? 0;
    const next = begun[chosen] ?? waiting.shift() ?? begun[chosen % begun.length] ?? [];
    const first = next.shift();
    if (first !== undefined) {
      frames.push(first);
    }
    if (next.length > 0 && !begun.includes(next)) {
      begun.push(next);
    } else if (next.length === 0 && begun.includes(next)) {
      begun.splice(begun.indexOf(next), 1);
    }
  }
  return frames;
}

async function play(socket: Socket, sequence: Sequence): Promise<void> {
  const settings = Buffer.from([0, 4, ...uint32(sequence.windowBytes)]);
  socket.write(preface);
  socket.write(frame(frameType.settings, 0, 0, settings));
  socket.write(frame(frameType.settings, ack, 0));
  for (const [i, bytes] of mixed(sequence).entries()) {
    socket.write(bytes);
    const pause = sequence.pauses[i % sequence.pauses.length] ?? 0;
    if (pause === 4) {
      await wait(3);
    }
    for (let turn = 1; turn < pause; turn++) {
      await nextTurn();
    }
  }
  if (sequence.end === "goes away") {
    socket.write(frame(frameType.goaway, 0, 0, Buffer.alloc(8)));
  } else if (sequence.end === "breaks off") {
    socket.destroy();
  } else if (sequence.end === "closes") {
    socket.end();
  }
}

/** Makes as many calls at once as the server may have open. */
async function fill(client: Client<typeof Mailbox>): Promise<void> {
  const all = Array.from({ length: maxOpenRequests }, () =>
    client.countLetters({}, { headers: header }),
  );
  await Promise.all(all);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

it.each([true, false])(
  "lean path %s: a call that is reset counts as open no more",
  async (leanPath) => {
    await using mailbox = await serveMailbox({
      leanPath,
      bulletin: "x".repeat(300_000),
      limits: { maxOpenRequests },
    });
    const client = createClient(Mailbox, createGrpcTransport({ baseUrl: mailbox.server.url }));
    await fc.assert(
      fc.asyncProperty(anySequence, async (sequence) => {
        const socket = await openSocket(mailbox.server.port);
        socket.resume();
        try {
          await play(socket, sequence);
          // The connection may live on: what it has begun must not.
          await vi.waitFor(() => fill(client), { timeout: 3_000, interval: 5 });
        } finally {
          socket.destroy();
          mailbox.log.forget();
        }
      }),
      { numRuns: sequences, seed: 6796, endOnFailure: true },
    );
  },
  120_000,
);
