import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { expect, it } from "vitest";
import { forkChild } from "../authority/child.ts";
import type { Target } from "./hostile-target.ts";
import { ack, endStream, frame, frameType, hello, requestHeaders } from "./http2-frames.ts";
import { header } from "./mailbox-server.ts";
import { http2Request, openHttp2, openSocket } from "./raw-http.ts";

// A thousand hostile connections that all send at once, and callers that ask for more than they read, to a process of its own
// with the default limits. Needs Linux's /proc. `npm run test:attack`.

const mebibyte = 2 ** 20;
const connections = 1_000;

/** What the server's resident memory may grow by. */
const allowedBytes = 1_024 * mebibyte;

/** How a hostile connection behaves. */
interface Hostility {
  readonly verifier: "never" | "at once";
  /** One request in chunks, in place of calls in frames. */
  readonly isHttp1?: boolean;
  readonly method: string;
  /** What honest callers call meanwhile. */
  readonly honestMethod: string;
  /** Calls on a connection. */
  readonly calls: number;
  /** Further header fields of 100 bytes. */
  readonly fields?: number;
  /** Bytes in a DATA frame; and frames of a call. */
  readonly frameBytes: number;
  readonly frames: number;
  /** Length that each message announces. */
  readonly announcedBytes?: number;
}

/** Everything that one call sends. */
function bytesOf(call: number, hostility: Hostility): Buffer {
  if (hostility.isHttp1) {
    const head = [
      `POST ${hostility.method} HTTP/1.1`,
      "host: 127.0.0.1",
      "content-type: application/grpc-web+proto",
      "mailbox-session: undecided",
      "transfer-encoding: chunked",
    ];
    const { frameBytes, frames } = hostility;
    const chunk = `${frameBytes.toString(16)}\r\n${"x".repeat(frameBytes)}\r\n`;
    return Buffer.from(`${head.join("\r\n")}\r\n\r\n${chunk.repeat(frames)}`);
  }
  const id = 2 * call + 1;
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(hostility.announcedBytes ?? 0, 1);
  const fields = Array.from({ length: hostility.fields ?? 0 }, (_, i): [string, string] => [
    `field-${i}`,
    "x".repeat(100),
  ]);
  const piece = frame(frameType.data, 0, id, Buffer.alloc(hostility.frameBytes));
  return Buffer.concat([
    requestHeaders(id, hostility.method, "application/grpc", undefined, [
      ["mailbox-session", "undecided"],
      ...fields,
    ]),
    ...(hostility.announcedBytes === undefined ? [] : [frame(frameType.data, 0, id, prefix)]),
    ...Array.from({ length: hostility.frames }, () => piece),
  ]);
}

/** A field of a process's /proc/PID/status, in bytes. */
function memoryOf(pid: number, field: "VmRSS" | "VmHWM"): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]) * 1_024;
}

async function openHostile(port: number, isHttp1 = false): Promise<Socket> {
  const socket = await openSocket(port);
  if (isHttp1) {
    return socket.resume();
  }
  socket.write(hello);
  await once(socket, "data");
  socket.write(frame(frameType.settings, ack, 0));
  return socket.resume();
}

/** Sends all of a connection's calls. Ends when the server has taken it, or ended the connection. */
async function attack(socket: Socket, calls: readonly Buffer[]): Promise<void> {
  for (const call of calls) {
    if (socket.destroyed) {
      return;
    }
    await new Promise((resolve) => {
      socket.once("close", resolve);
      socket.write(call, () => {
        socket.off("close", resolve);
        resolve(undefined);
      });
    });
  }
}

const sendLetter = "/countersign.example.v1.Mailbox/SendLetter";
const countLetters = "/countersign.example.v1.Mailbox/CountLetters";
const check = "/grpc.health.v1.Health/Check";
const importLetters = "/countersign.example.v1.Mailbox/ImportLetters";

it.each<[name: string, hostility: Hostility]>([
  [
    "large bodies, while their credential is verified",
    {
      verifier: "never",
      method: sendLetter,
      honestMethod: countLetters,
      calls: 2,
      frameBytes: 16_384,
      frames: 63,
    },
  ],
  [
    "bodies in frames of 100 bytes",
    {
      verifier: "never",
      method: sendLetter,
      honestMethod: countLetters,
      calls: 2,
      frameBytes: 100,
      frames: 2_500,
    },
  ],
  [
    "bodies in frames of one byte",
    {
      verifier: "never",
      method: sendLetter,
      honestMethod: countLetters,
      calls: 2,
      frameBytes: 1,
      frames: 3_000,
    },
  ],
  [
    "bodies in chunks of one byte",
    {
      verifier: "never",
      isHttp1: true,
      method: sendLetter,
      honestMethod: countLetters,
      calls: 1,
      frameBytes: 1,
      frames: 2_000,
    },
  ],
  [
    "as many calls as there may be, with many headers",
    {
      verifier: "never",
      method: sendLetter,
      honestMethod: check,
      calls: 20,
      fields: 90,
      frameBytes: 1,
      frames: 1,
    },
  ],
  [
    "a stream that its handler does not read",
    {
      verifier: "at once",
      method: importLetters,
      honestMethod: countLetters,
      calls: 2,
      frameBytes: 16_384,
      frames: 63,
    },
  ],
  [
    "messages that are never complete",
    {
      verifier: "at once",
      method: sendLetter,
      honestMethod: countLetters,
      calls: 2,
      frameBytes: 16_384,
      frames: 63,
      announcedBytes: 60 * mebibyte,
    },
  ],
])(
  "a thousand connections cannot pin a GiB with %s",
  async (name, hostility) => {
    const target = forkChild<never, Target>(
      new URL("./hostile-target.ts", import.meta.url),
      hostility.verifier,
    );
    try {
      const { port, pid } = await target.hear();
      const sockets = await Promise.all(
        Array.from({ length: connections }, () => openHostile(port, hostility.isHttp1)),
      );
      const idleBytes = memoryOf(pid, "VmRSS");
      const calls = Array.from({ length: hostility.calls }, (_, i) => bytesOf(i, hostility));
      // While it stands still the sockets fill: then it reads from all of them in one turn.
      process.kill(pid, "SIGSTOP");
      let isOver = false;
      const attacks = Promise.all(sockets.map((socket) => attack(socket, calls))).then(() => {
        isOver = true;
      });
      process.kill(pid, "SIGCONT");
      const honest = openHttp2(`http://127.0.0.1:${port}`);
      const answers: string[] = [];
      while (!isOver) {
        const { trailers } = await http2Request(
          honest,
          {
            ":method": "POST",
            ":path": hostility.honestMethod,
            "content-type": "application/grpc",
            ...header,
          },
          Buffer.alloc(5),
        );
        answers.push(trailers.join());
      }
      await attacks;
      const grownBytes = memoryOf(pid, "VmHWM") - idleBytes;
      console.info(`${name}: ${Math.round(grownBytes / mebibyte)} MiB`);
      expect(grownBytes).toBeLessThan(allowedBytes);
      expect(new Set(answers)).toEqual(new Set(["grpc-status,0"]));
      honest.destroy();
      for (const socket of sockets) {
        socket.destroy();
      }
    } finally {
      await target.kill();
    }
  },
  120_000,
);

/** Connections that ask for more than they read, and calls on each. */
const askers = 8;
const asked = 20;
const bulletinBytes = 10 * mebibyte;

/** What the memory may grow by then: the bound, and what making so many large messages leaves to be collected. */
const allowedAnswerBytes = 1_400 * mebibyte;

const getBulletin = "/countersign.example.v1.Mailbox/GetBulletin";

/** Opens a connection of HTTP/2 whose calls have windows of a size, and asks for many bulletins. */
async function askOnHttp2(
  port: number,
  windowBytes: number,
  contentType: string,
  body: Uint8Array,
): Promise<Socket> {
  const socket = await openSocket(port);
  const settings = Buffer.from([0, 4, 0, 0, 0, 0]);
  settings.writeUInt32BE(windowBytes, 2);
  const update = Buffer.alloc(4);
  update.writeUInt32BE(0x7fff0000);
  socket.write(
    Buffer.concat([
      hello,
      frame(frameType.settings, 0, 0, settings),
      ...(windowBytes === 0 ? [] : [frame(frameType.windowUpdate, 0, 0, update)]),
    ]),
  );
  await once(socket, "data");
  const calls = Array.from({ length: asked }, (_, i) => [
    requestHeaders(2 * i + 1, getBulletin, contentType),
    frame(frameType.data, endStream, 2 * i + 1, body),
  ]);
  // In one piece: Node reads no more requests while it waits for its socket to take an answer.
  socket.write(Buffer.concat([frame(frameType.settings, ack, 0), ...calls.flat()]));
  return socket;
}

/** Opens connections of HTTP/1.1, and asks for as many bulletins as may be pipelined on each. */
async function askOnHttp1(port: number): Promise<Socket[]> {
  const head = ["content-type: application/json", "host: 127.0.0.1", "content-length: 2"];
  const request = `POST ${getBulletin} HTTP/1.1\r\n${head.join("\r\n")}\r\n\r\n{}`;
  const sockets = await Promise.all([openSocket(port), openSocket(port)]);
  for (const socket of sockets) {
    socket.write(request.repeat(asked / sockets.length));
  }
  return sockets;
}

const grpc = "application/grpc";
const noWindow = (type: string, body: Uint8Array) => (port: number) =>
  askOnHttp2(port, 0, type, body).then((socket) => [socket.resume()]);
const unread = (port: number) =>
  askOnHttp2(port, 0x7fffffff, grpc, Buffer.alloc(5)).then((socket) => [socket.pause()]);

it.each<[name: string, leanPath: string, ask: (port: number) => Promise<Socket[]>]>([
  ["with no window", "lean", noWindow(grpc, Buffer.alloc(5))],
  ["with no window, through connect", "connect", noWindow(grpc, Buffer.alloc(5))],
  ["with no window, by Connect", "lean", noWindow("application/json", Buffer.from("{}"))],
  ["with windows, and read nothing from their sockets", "lean", unread],
  ["over HTTP/1.1, and read nothing from their sockets", "lean", askOnHttp1],
])(
  "callers that ask for 1.6 GB of answers %s cannot pin them",
  async (name, leanPath, ask) => {
    const target = forkChild<never, Target>(
      new URL("./hostile-target.ts", import.meta.url),
      "at once",
      String(bulletinBytes),
      leanPath,
    );
    try {
      const { port, pid } = await target.hear();
      const idleBytes = memoryOf(pid, "VmRSS");
      const honest = openHttp2(`http://127.0.0.1:${port}`);
      const grpcCall = (path: string) =>
        http2Request(
          honest,
          { ":method": "POST", ":path": path, "content-type": grpc, ...header },
          Buffer.alloc(5),
        );
      const sockets: Socket[] = [];
      const answers: string[] = [];
      for (let i = 0; i < askers; i++) {
        sockets.push(...(await ask(port)));
        // The server makes its answers in the meantime, and honest callers get theirs.
        answers.push((await grpcCall(countLetters)).trailers.join());
        const large = await grpcCall(getBulletin);
        answers.push(large.body.length > bulletinBytes ? large.trailers.join() : "cut off");
      }
      const grownBytes = memoryOf(pid, "VmHWM") - idleBytes;
      console.info(`answers ${name}: ${Math.round(grownBytes / mebibyte)} MiB`);
      expect(new Set(answers)).toEqual(new Set(["grpc-status,0"]));
      expect(grownBytes).toBeLessThan(allowedAnswerBytes);
      honest.destroy();
      for (const socket of sockets) {
        socket.destroy();
      }
    } finally {
      await target.kill();
    }
  },
  120_000,
);
