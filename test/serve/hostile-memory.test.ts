import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { expect, it } from "vitest";
import { forkChild } from "../authority/child.ts";
import type { Target } from "./hostile-target.ts";
import { ack, frame, frameType, hello, requestHeaders } from "./http2-frames.ts";
import { header } from "./mailbox-server.ts";
import { http2Request, openHttp2, openSocket } from "./raw-http.ts";

// A thousand hostile connections that all send at once, to a process of its own with the default limits. Needs
// Linux's /proc. `npm run test:attack`.

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
