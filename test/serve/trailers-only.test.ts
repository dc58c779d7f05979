import { setImmediate as nextTurn } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { refusal, service, unimplemented } from "countersign";
import { type BrowserOptions, type ServeLimits, serve } from "countersign/serve";
import { describe, expect, it } from "vitest";
import { Mailbox, WatchLettersRequestSchema } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { framed, openSession } from "./both-paths.ts";
import { FrameReader } from "./frame-reader.ts";
import {
  ack,
  endHeaders,
  endStream,
  frame,
  frameType,
  hello,
  requestHeaders,
} from "./http2-frames.ts";
import { mailboxPolicy, token } from "./mailbox-server.ts";
import { openSocket } from "./raw-http.ts";

const path = (rpc: string) => `/countersign.example.v1.Mailbox/${rpc}`;
const protectedRpcs = ["CountLetters", "SendLetter", "WatchLetters", "ImportLetters", "Converse"];
const refusedRpcs = [...protectedRpcs, "NoSuchMethod"];

interface Options {
  readonly leanPath: boolean;
  readonly limits?: ServeLimits;
  readonly browsers?: BrowserOptions;
  /** Whether the verifier takes more than a turn. */
  readonly isSlow?: boolean;
}

/** A Mailbox whose handlers fail as they are told to, or hold their calls. */
async function serveFailing({ isSlow = false, ...options }: Options) {
  let begin = () => {};
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const server = await serve({
    ...options,
    port: 0,
    services: [
      service(mailboxPolicy, {
        getBulletin: () => {
          begin();
          return new Promise<never>(() => {});
        },
        openSession: ({ key }, { responseHeader }) => {
          if (key === "with headers") {
            responseHeader.set("x-leading", "1");
          }
          throw new ConnectError("none here", Code.NotFound, { "x-trailing": "2" });
        },
        countLetters: unimplemented,
        sendLetter: unimplemented,
        watchLetters: async function* ({ limit }) {
          if (limit > 0) {
            yield { letter: { text: "one" } };
            throw new ConnectError("no more", Code.Aborted);
          }
        },
        importLetters: unimplemented,
        converse: unimplemented,
      }),
    ],
    verifiers: {
      session: (presented) => {
        const answer = presented === token ? { mailboxId: 7n } : refusal("unknown");
        return isSlow ? nextTurn().then(() => nextTurn(answer)) : answer;
      },
    },
  });
  return {
    url: server.url,
    port: server.port,
    begun,
    [Symbol.asyncDispose]: () => server.close({ graceMs: 1 }),
  };
}

interface Request {
  readonly rpc: string;
  readonly fields?: readonly (readonly [string, string])[];
  /** How much of a small body is sent: the headers end the request, all with the headers, or some of it. */
  readonly body: "none" | "whole" | "open";
  readonly message?: Uint8Array;
}

/** The frames that answer a call: their types and flags, and the codes of resets. */
async function framesOf(port: number, request: Request): Promise<string[]> {
  const { rpc, fields = [], body, message = Buffer.alloc(5) } = request;
  const socket = await openSocket(port);
  const reader = new FrameReader(socket);
  const headFlags = body === "none" ? endHeaders | endStream : endHeaders;
  socket.write(hello);
  // A request that comes with the first bytes of a connection is read in a turn of its own.
  await reader.next(({ type, flags }) => type === frameType.settings && (flags & ack) !== 0);
  const parts = [requestHeaders(1, path(rpc), "application/grpc", headFlags, fields)];
  if (body !== "none") {
    parts.push(frame(frameType.data, body === "whole" ? endStream : 0, 1, message));
  }
  socket.write(Buffer.concat(parts));
  const seen: string[] = [];
  const note = (one: { type: number; flags: number; streamId: number; payload: Buffer }) => {
    if (one.streamId === 1 && one.type !== frameType.windowUpdate) {
      const isReset = one.type === frameType.resetStream;
      const name = isReset ? `reset ${one.payload.readUInt32BE(0)}` : `frame ${one.type}`;
      seen.push((one.flags & endStream) === 0 || isReset ? name : `${name}, the last`);
    }
    return one;
  };
  await reader.next((one) => note(one).streamId === 1 && (one.flags & endStream) !== 0);
  // Its answer comes after all that the turn of the call's answer had to send.
  socket.write(frame(frameType.ping, 0, 0, Buffer.alloc(8)));
  await reader.next((one) => note(one).type === frameType.ping && (one.flags & ack) !== 0);
  socket.destroy();
  return seen;
}

/** Takes the one call that the server may have. */
async function hold(server: { readonly port: number; readonly begun: Promise<void> }) {
  const socket = await openSocket(server.port);
  const head = requestHeaders(1, path("GetBulletin"), "application/grpc");
  socket.write(Buffer.concat([hello, head, frame(frameType.data, endStream, 1, Buffer.alloc(5))]));
  await server.begun;
  return socket;
}

/** A client of grpc-js, for bytes. */
function openGrpcJs(port: number) {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const bytes = (value: Buffer) => value;
  return {
    /** Makes a call that fails; resolves with the error and the metadata that led. */
    call: (rpc: string, message: Uint8Array) =>
      new Promise<{ readonly error: ServiceError | null; readonly leading: Metadata }>(
        (resolve) => {
          let leading = new Metadata();
          const call = client.makeUnaryRequest(
            path(rpc),
            bytes,
            bytes,
            Buffer.from(message),
            (error) => resolve({ error, leading }),
          );
          call.on("metadata", (metadata: Metadata) => {
            leading = metadata;
          });
        },
      ),
    [Symbol.dispose]: () => client.close(),
  };
}

/** With these, answers have headers for browsers too. */
const pages = { origins: ["https://app.example.com"], hosts: ["127.0.0.1"] };

const oneFrame = "frame 1, the last";
const twoFrames = ["frame 1", "frame 1, the last"];

describe.each([
  ["lean", true],
  ["connect's", false],
])("on the %s path", (_, leanPath) => {
  describe.each<[name: string, fields: readonly (readonly [string, string])[]]>([
    ["no credential", []],
    ["a wrong one", [["mailbox-session", "wrong"]]],
    [
      "the right one twice",
      [
        ["mailbox-session", token],
        ["mailbox-session", token],
      ],
    ],
  ])("the refusal of a call with %s is the same frames for every RPC", (_name, fields) => {
    it.each<[name: string, Omit<Options, "leanPath">, isUnderLoad: boolean]>([
      ["at once", {}, false],
      ["by a verifier that takes its time", { isSlow: true }, false],
      ["where web pages may call", { browsers: pages }, false],
      ["under load", { limits: { maxConcurrentCalls: 1 } }, true],
    ])("%s", async (_how, options, isUnderLoad) => {
      await using server = await serveFailing({ leanPath, ...options });
      const held = isUnderLoad ? await hold(server) : undefined;
      for (const body of ["open", "whole", "none"] as const) {
        const all = await Promise.all(
          refusedRpcs.map((rpc) => framesOf(server.port, { rpc, fields, body })),
        );
        expect(new Set(all.map((frames) => frames.join())).size, JSON.stringify(all)).toBe(1);
        // Asked to stop what is still to come, and only that.
        expect(all[0]).toEqual(body === "open" ? [oneFrame, "reset 0"] : [oneFrame]);
      }
      held?.destroy();
    });
  });

  const session = [["mailbox-session", token]] as const;
  const oneLetter = toBinary(
    WatchLettersRequestSchema,
    create(WatchLettersRequestSchema, { limit: 1 }),
  );
  it.each<[name: string, Request, answer: readonly string[]]>([
    [
      "an error of a handler: one frame",
      { rpc: "OpenSession", body: "whole", message: framed(openSession("")) },
      [oneFrame],
    ],
    [
      "an error of a handler that has set headers: two frames, as they lead",
      { rpc: "OpenSession", body: "whole", message: framed(openSession("with headers")) },
      twoFrames,
    ],
    [
      "a stream without messages that ends well: two frames",
      { rpc: "WatchLetters", fields: session, body: "whole" },
      twoFrames,
    ],
    [
      "a stream that fails after a message: headers, the message, trailers",
      { rpc: "WatchLetters", fields: session, body: "whole", message: framed(oneLetter) },
      ["frame 1", "frame 0", oneFrame],
    ],
  ])("%s", async (_name, request, answer) => {
    await using server = await serveFailing({ leanPath });
    expect(await framesOf(server.port, request)).toEqual(answer);
  });

  it("connect's client reads both", async () => {
    await using server = await serveFailing({ leanPath });
    const client = createClient(Mailbox, createGrpcTransport({ baseUrl: server.url }));
    for (const key of ["with headers", ""]) {
      const reason = ConnectError.from(await client.openSession({ key }).catch((error) => error));
      expect([reason.code, reason.rawMessage]).toEqual([Code.NotFound, "none here"]);
      expect(reason.metadata.get("x-trailing")).toBe("2");
    }
  });

  it("grpc-js reads both, and whether metadata leads", async () => {
    await using server = await serveFailing({ leanPath });
    using client = openGrpcJs(server.port);
    for (const [key, leading] of [
      ["with headers", ["1"]],
      ["", []],
    ] as const) {
      const answer = await client.call("OpenSession", openSession(key));
      expect([answer.error?.code, answer.error?.details]).toEqual([status.NOT_FOUND, "none here"]);
      expect(answer.leading.get("x-leading")).toEqual(leading);
      expect(answer.error?.metadata.get("x-trailing")).toEqual(["2"]);
    }
  });

  it("grpc-js gets the refusal of every upload, large or small", async () => {
    await using server = await serveFailing({ leanPath });
    using client = openGrpcJs(server.port);
    for (const size of [0, 1, 100_000, 32 * 1024 * 1024]) {
      for (const rpc of ["SendLetter", "ImportLetters", "NoSuchMethod"]) {
        const { error } = await client.call(rpc, Buffer.alloc(size));
        expect([error?.code, error?.details]).toEqual([
          status.UNAUTHENTICATED,
          "Authentication failed.",
        ]);
      }
    }
  });
});
