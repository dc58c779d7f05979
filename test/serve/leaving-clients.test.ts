import { once } from "node:events";
import { readdirSync, readlinkSync } from "node:fs";
import { type ClientHttp2Session, connect } from "node:http2";
import { setTimeout as wait } from "node:timers/promises";
import { expect, it, onTestFinished, vi } from "vitest";
import { forkChild } from "../authority/child.ts";
import type { Target } from "./hostile-target.ts";

// Needs Linux's /proc, and a server that has an event loop of its own. `npm run test:attack`.

const sendLetter = "/countersign.example.v1.Mailbox/SendLetter";
const upload = Buffer.alloc(10 * 2 ** 20);

/** How many sockets a process has. */
function socketsOf(pid: number): number {
  const directory = `/proc/${pid}/fd`;
  return readdirSync(directory).filter((file) => isSocket(`${directory}/${file}`)).length;
}

function isSocket(file: string): boolean {
  try {
    return readlinkSync(file).startsWith("socket:");
  } catch {
    return false; // It was closed meanwhile.
  }
}

/** Begins uploads that are refused, in gRPC and in Connect. */
async function uploadInVain(port: number): Promise<ClientHttp2Session> {
  const session = connect(`http://127.0.0.1:${port}`);
  session.on("error", () => {});
  await once(session, "connect");
  const call = (contentType: string, body: Buffer) => {
    const stream = session.request({
      ...{ ":method": "POST", ":path": sendLetter, "content-type": contentType },
    });
    stream.on("error", () => {});
    stream.resume();
    stream.write(body);
  };
  for (let i = 0; i < 8; i++) {
    call("application/grpc", upload);
  }
  call("application/json", Buffer.from("{"));
  call("application/json", upload.subarray(0, 3_000_000));
  return session;
}

it("closes the connections of clients that leave amid uploads that are refused", async () => {
  const target = forkChild<never, Target>(new URL("hostile-target.ts", import.meta.url), "at once");
  onTestFinished(target.kill);
  const { port, pid } = await target.hear();
  const before = socketsOf(pid);
  for (let leaveAfterMs = 0; leaveAfterMs <= 60; leaveAfterMs += 4) {
    const sessions = await Promise.all(Array.from({ length: 12 }, () => uploadInVain(port)));
    await wait(leaveAfterMs);
    for (const session of sessions) {
      session.destroy();
    }
  }
  await vi.waitFor(() => expect(socketsOf(pid)).toBe(before), { timeout: 10_000 });
}, 60_000);
