import { randomBytes } from "node:crypto";
import type { ClientHttp2Session } from "node:http2";
import { ServerAppIo } from "../../gen/flwr/proto/serverappio_pb.ts";
import { superLinkNodeId } from "../../src/appio/objects/super-link-node-id.ts";
import { frame, storedBytes } from "../servers/answers.ts";
import { pushObjectPath } from "../servers/paths.ts";
import { quantile } from "../statistics.ts";
import type { Subject } from "../subjects.ts";
import { assertOutcome } from "./check-answers.ts";
import { type Chunks, makeChunks } from "./chunks.ts";
import { unknownToken } from "./requests.ts";
import { callRpc } from "./rpc.ts";
import { inRun, type Run } from "./run.ts";
import { callFramed } from "./unary-call.ts";

const rpcs = ServerAppIo.method;

/** What an upload into a store has shown. */
export interface StoredUpload {
  /** Bytes of all objects. */
  readonly bytes: number;
  readonly calls: number;
  /** From the start of each call to the end of its answer, added up. */
  readonly seconds: number;
  /** Time on the processor that a call has cost the server, in microseconds. */
  readonly cpuUs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/**
 * Pushes objects into a SuperLink's store, one after the other, in a run of
 * their own that is finished at the end, so that the store keeps its size.
 *
 * @param seconds ends earlier when `maxCalls` objects are there.
 * @throws Error unless each is answered with `stored`, which a wrong hash or an
 * object that was not announced would not be.
 */
export function uploadToStore(
  subject: Subject,
  bodyBytes: number,
  { seconds, maxCalls }: { readonly seconds: number; readonly maxCalls: number },
): Promise<StoredUpload> {
  const { label, server } = subject;
  return inRun(subject, async (session, run) => {
    const chunks = makeChunks(run.runId, maxCalls, bodyBytes);
    await announce(session, run, chunks);
    const timesMs: number[] = [];
    let totalMs = 0;
    const cpuBefore = server.cpuNanoseconds();
    while (timesMs.length < maxCalls && totalMs < seconds * 1000) {
      const request = chunks.requestOf(timesMs.length);
      const startedAt = performance.now();
      const outcome = await callFramed(session, pushObjectPath, request, run.token);
      const timeMs = performance.now() - startedAt;
      assertOutcome(`${label}: an upload`, outcome, stored);
      timesMs.push(timeMs);
      totalMs += timeMs;
    }
    const calls = timesMs.length;
    const cpuUs = (server.cpuNanoseconds() - cpuBefore) / 1000 / calls;
    timesMs.sort((a, b) => a - b);
    return {
      ...{ bytes: calls * chunks.bytes, calls, seconds: totalMs / 1000, cpuUs },
      ...{ p50Ms: quantile(timesMs, 0.5), p99Ms: quantile(timesMs, 0.99) },
    };
  });
}

/**
 * Checks that a store is one: what was pushed can be pulled, and what has
 * another hash or no valid token is not taken.
 *
 * @throws Error that names the server and the call.
 */
export function checkStore(subject: Subject): Promise<void> {
  const { label } = subject;
  return inRun(subject, async (session, run) => {
    const chunks = makeChunks(run.runId, 2, 1024 * 1024);
    await announce(session, run, chunks);
    const push = async (kind: string, request: Buffer, token: string, expected: Expected) =>
      assertOutcome(
        `${label}: ${kind}`,
        await callFramed(session, pushObjectPath, request, token),
        expected,
      );
    await push("an unknown token", chunks.requestOf(0), unknownToken, refused);
    const [objectId = "", otherId = ""] = chunks.ids;
    const pull = (id: string) =>
      callRpc(
        session,
        rpcs.pullObject,
        { node: { nodeId: superLinkNodeId }, runId: run.runId, objectId: id },
        run.token,
      );
    const spoilt = Buffer.from(chunks.requestOf(1));
    spoilt.writeUInt8(0xff, spoilt.length - 1);
    await push("another hash", spoilt, run.token, notStored);
    await push("an upload", chunks.requestOf(0), run.token, stored);
    const { objectContent } = await pull(objectId);
    const whole = chunks.requestOf(0).subarray(-chunks.bytes);
    if (!whole.equals(objectContent))
      throw new Error(`${label} keeps other bytes than it was sent`);
    if ((await pull(otherId)).objectAvailable) throw new Error(`${label} keeps a wrong object`);
  });
}

type Expected = Parameters<typeof assertOutcome>[2];
const stored: Expected = { grpcStatus: "0", body: frame(storedBytes) };
const notStored: Expected = { grpcStatus: "0", body: frame(new Uint8Array()) };
const refused: Expected = { grpcStatus: "16", body: Buffer.alloc(0) };

/** Announces objects as children of a message, which is not pushed itself. */
async function announce(session: ClientHttp2Session, run: Run, { ids }: Chunks): Promise<void> {
  const { runId, token } = run;
  const { nodes } = await callRpc(session, rpcs.getNodes, { runId }, token);
  const messageId = randomBytes(32).toString("hex");
  const { objectsToPush } = await callRpc(
    session,
    rpcs.pushMessages,
    {
      runId,
      messagesList: [
        {
          metadata: {
            ...{ runId, messageId, srcNodeId: superLinkNodeId, messageType: "train" },
            ...{ dstNodeId: nodes[0]?.nodeId ?? 0n, ttl: 3_600, createdAt: Date.now() / 1000 },
          },
          content: {},
        },
      ],
      messageObjectTrees: [
        { objectId: messageId, children: ids.map((objectId) => ({ objectId })) },
      ],
    },
    token,
  );
  const wanted = new Set(objectsToPush);
  if (!ids.every((id) => wanted.has(id))) throw new Error("the store has the objects already");
}
