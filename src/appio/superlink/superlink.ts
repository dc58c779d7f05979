import type { Token } from "../../policy/token.ts";

/** How to start a SuperLink. */
export interface SuperLinkOptions {
  /** Path of the SQLite file that holds all state, created if absent; `:memory:` keeps nothing. */
  readonly databasePath: string;
  /**
   * The operator's secret: callers of the Control service present it in the
   * header `countersign-operator-token`. Only its digest is kept.
   */
  readonly operatorToken: Token;
  /** Address to listen on. Default: `127.0.0.1`. */
  readonly host?: string;
  /** Port of ServerAppIo, 0 for any free one. Default: 9091. */
  readonly serverAppIoPort?: number;
  /** Port of Fleet, 0 for any free one. Default: 9092. */
  readonly fleetPort?: number;
  /** Port of Control, 0 for any free one. Default: 9093. */
  readonly controlPort?: number;
  /** How often StreamLogs looks for new lines, in milliseconds. Default: 500. */
  readonly logPollMs?: number;
  /** The clock, in milliseconds since the epoch. Default: `Date.now`. */
  readonly now?: () => number;
}

/** A running SuperLink. */
export interface SuperLink {
  /** Base URL of ServerAppIo, such as `http://127.0.0.1:9091`. */
  readonly serverAppIoUrl: string;
  /** Base URL of Fleet. */
  readonly fleetUrl: string;
  /** Base URL of the operator's Control service. */
  readonly controlUrl: string;
  /** Stops listening, lets calls in flight finish in bounded time, and closes the database. */
  close(): Promise<void>;
}

/**
 * Starts a SuperLink: the state in one SQLite file, and ServerAppIo, Fleet and
 * Control on a port each.
 *
 * @throws TypeError if an option is wrong; Error if the file or a port is taken.
 */
export async function startSuperLink(options: SuperLinkOptions): Promise<SuperLink> {
  throw new Error(`not built yet: ${options.databasePath}`);
}
