import type { MessageInitShape } from "@bufbuild/protobuf";
import type { CallOptions, Client } from "@connectrpc/connect";
import type { PullAppInputsResponse } from "../../../gen/flwr/proto/appio_pb.ts";
import type { ContextSchema } from "../../../gen/flwr/proto/message_pb.ts";
import type { RunStatusSchema } from "../../../gen/flwr/proto/run_pb.ts";
import type { ServerAppIo } from "../../../gen/flwr/proto/serverappio_pb.ts";
import { createAuthenticatedClient } from "../../client/authenticated-client.ts";
import type { LocatedTransport } from "../../client/located-transport.ts";
import type { Token } from "../../policy/token.ts";
import { serverAppIoPolicy } from "../policy.ts";
import { createRetry, type Retry } from "./retry.ts";

/** What a {@link RunConnection} needs. */
export interface RunConnectionOptions {
  /** The way to the SuperLink's ServerAppIo. Nothing is sent before the first call. */
  readonly transport: LocatedTransport;
  /** The token of the run; goes with every call. */
  readonly token: Token;
  /** Repeats calls while the server is unavailable. Default: one of its own. */
  readonly retry?: Retry;
}

/**
 * What the process of a run's app says to ServerAppIo about the run as a whole.
 * The messages of its ServerApp are the grid's.
 *
 * Inputs and outputs are asked for again while the server is unavailable. The
 * other calls are made once: heartbeats, logs and the final status have
 * repetitions of their own.
 */
export class RunConnection {
  readonly #token: Token;
  readonly #retry: Retry;
  readonly #client: Client<typeof ServerAppIo>;

  /** @throws TypeError if the token is missing or empty, or the transport may not carry it. */
  constructor({ transport, token, retry }: RunConnectionOptions) {
    this.#client = createAuthenticatedClient(serverAppIoPolicy, transport, { appToken: token });
    this.#token = token;
    this.#retry = retry ?? createRetry();
  }

  /** Starts the run, and returns what its app works with. Succeeds once. */
  pullAppInputs(options: CallOptions = {}): Promise<PullAppInputsResponse> {
    const request = { token: this.#token };
    return this.retried(() => this.#client.pullAppInputs(request, options), options);
  }

  /** Stores the context that the app leaves behind. */
  async pushAppOutputs(
    runId: bigint,
    context: MessageInitShape<typeof ContextSchema>,
    options: CallOptions = {},
  ): Promise<void> {
    const request = { token: this.#token, runId, context };
    await this.retried(() => this.#client.pushAppOutputs(request, options), options);
  }

  /** Keeps the token alive; false when the server does not know it. */
  async sendAppHeartbeat(options?: CallOptions): Promise<boolean> {
    return (await this.#client.sendAppHeartbeat({ token: this.#token }, options)).success;
  }

  /** Appends text to the log of the run. @param nodeId The node it comes from; 0 for none. */
  async pushLogs(
    runId: bigint,
    nodeId: bigint,
    logs: string[],
    options?: CallOptions,
  ): Promise<void> {
    await this.#client.pushLogs({ node: { nodeId }, runId, logs }, options);
  }

  /** Asks for a change of the run's status. */
  async updateRunStatus(
    runId: bigint,
    runStatus: MessageInitShape<typeof RunStatusSchema>,
    options?: CallOptions,
  ): Promise<void> {
    await this.#client.updateRunStatus({ runId, runStatus }, options);
  }

  /** The client of all of ServerAppIo, for the calls of a subclass. */
  protected get client(): Client<typeof ServerAppIo> {
    return this.#client;
  }

  /** Makes a call, again and again while the server is unavailable. */
  protected retried<T>(attempt: () => Promise<T>, { signal }: CallOptions): Promise<T> {
    return this.#retry.call(attempt, signal);
  }
}
