import type { Message } from "../../src/appio/objects/message.ts";
import type { Run } from "../load/run.ts";

/** A client of ServerAppIo that is measured. */
export interface MeasuredClient {
  /** Returns the ids of the run's nodes: a small call. */
  getNodeIds(): Promise<bigint[]>;
  /** Makes messages ready to be sent, as far as that is not part of what is measured. */
  prepare(messages: readonly Message[]): Round;
}

/** Makes a client for one run on a connection that several may share. */
export type CreateClient = (run: Run) => MeasuredClient;

/** Messages that go out, and their replies. */
export interface Round {
  /** Sends them, with all of their objects. */
  push(): Promise<void>;
  /** Collects the replies, with all of their objects, and returns how many there are. */
  pull(): Promise<number>;
}
