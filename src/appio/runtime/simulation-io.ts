import type { CallOptions } from "@connectrpc/connect";
import { ConfigRecord } from "../objects/config-record.ts";
import { RunConnection, type RunConnectionOptions } from "./run-connection.ts";

/** What a {@link SimulationIoConnection} needs. */
export type SimulationIoConnectionOptions = RunConnectionOptions;

/**
 * The connection of a simulation's process (contract 8.5): the calls of
 * SimulationIo, which is a part of ServerAppIo, to a SuperLink's ServerAppIo.
 * As in Flower, no server has to offer SimulationIo itself.
 *
 * ```ts
 * const connection = new SimulationIoConnection({ transport, token });
 * const { run, fab, context } = await connection.pullAppInputs();
 * ```
 */
export class SimulationIoConnection extends RunConnection {
  /**
   * Returns the options that the run was created with for its simulation, such
   * as `num-supernodes`; asked for again while the server is unavailable.
   */
  async getFederationOptions(runId: bigint, options: CallOptions = {}): Promise<ConfigRecord> {
    const { federationOptions } = await this.retried(
      () => this.client.getFederationOptions({ runId }, options),
      options,
    );
    return federationOptions === undefined
      ? new ConfigRecord()
      : ConfigRecord.fromProto(federationOptions);
  }
}
