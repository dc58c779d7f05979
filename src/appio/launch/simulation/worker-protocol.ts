import type { MessagePort } from "node:worker_threads";
import type { MessagePacket } from "./message-packet.ts";

/** What a worker thread is started with. */
export interface WorkerSetup {
  /** Where tasks come from and answers go to: no other code in the thread listens there. */
  readonly port: MessagePort;
  /** URL of the module whose default export is the ClientApp. */
  readonly clientAppUrl: string;
}

/** One message for one virtual node. A worker gets the next task when it has answered. */
export interface WorkerTask {
  readonly packet: MessagePacket;
  /** The node's context: a serialised protobuf Context. */
  readonly context: Uint8Array;
  /** What the node is called in the log. */
  readonly nodeName: string;
}

/** What a ClientApp made of a task. */
export interface WorkerAnswer {
  readonly packet: MessagePacket;
  /** The node's context as the ClientApp left it. */
  readonly context: Uint8Array<ArrayBuffer>;
}
