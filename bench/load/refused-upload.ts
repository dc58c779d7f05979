import { once } from "node:events";
import { connect } from "node:http2";
import { connect as connectSocket } from "node:net";
import { frame } from "../servers/answers.ts";
import { pushObjectPath } from "../servers/paths.ts";
import type { Subject } from "../subjects.ts";
import { assertOutcome } from "./check-answers.ts";
import { unknownToken } from "./requests.ts";
import { beginCall, outcomeOf } from "./unary-call.ts";

/** Small enough for the client to notice the server's answer between two of them, in bytes. */
const sliceBytes = 16 * 1024;

/**
 * Uploads with an unknown token, one after the other, on a connection that goes
 * on sending until the server stops it or nothing is left.
 *
 * @returns how many bytes left, per upload: at least what the server has read.
 */
export async function uploadInVain(
  { url, label }: Subject,
  message: Uint8Array,
  uploads: number,
): Promise<number> {
  const { hostname, port } = new URL(url);
  const socket = connectSocket(Number(port), hostname);
  const session = connect(url, { createConnection: () => socket });
  session.on("error", () => {});
  await once(session, "remoteSettings");
  const before = socket.bytesWritten;
  const body = frame(message);
  for (let i = 0; i < uploads; i++) {
    const stream = beginCall(session, pushObjectPath, unknownToken);
    const closed = once(stream, "close");
    const outcome = outcomeOf(stream);
    for (let start = 0; start < body.length && stream.writable; start += sliceBytes) {
      if (!stream.write(body.subarray(start, start + sliceBytes))) {
        await Promise.race([once(stream, "drain"), closed]);
      }
    }
    stream.end();
    assertOutcome(`${label}: a refused upload`, await outcome, {
      grpcStatus: "16",
      body: Buffer.alloc(0),
    });
    await closed;
  }
  const sent = socket.bytesWritten - before;
  session.destroy();
  return sent / uploads;
}
