import type { ClientHttp2Session } from "node:http2";
import { ServerAppIo } from "../../gen/flwr/proto/serverappio_pb.ts";
import type { Subject } from "../subjects.ts";
import { callRpc } from "./rpc.ts";
import { openSession } from "./unary-call.ts";

/** A run that is running, and the token of its app. */
export interface Run {
  readonly runId: bigint;
  readonly token: string;
}

/**
 * Has a SuperLink start a run, works in it, and finishes it, which takes its
 * objects from the store. Its token lives for 30 s, as nobody sends heartbeats.
 */
export async function inRun<T>(
  { url, server }: Subject,
  work: (session: ClientHttp2Session, run: Run) => Promise<T>,
): Promise<T> {
  const answer = await server.ask("run");
  const run = { runId: BigInt(String(answer.runId)), token: String(answer.token) };
  const session = openSession(url);
  try {
    const result = await work(session, run);
    const runStatus = { status: "finished", subStatus: "completed" };
    const { updateRunStatus } = ServerAppIo.method;
    await callRpc(session, updateRunStatus, { runId: run.runId, runStatus }, run.token);
    return result;
  } finally {
    session.close();
  }
}
