/**
 * What is needed of the npm package `pg` (8.16 or later): hand over its default
 * export. A structural type, so that the package stays the user's own.
 */
export interface PostgresDriver {
  readonly Pool: new (settings: PostgresPoolSettings) => PostgresPool;
}

/** Settings of a pool, as `pg` names them; what is not named here is passed through. */
export interface PostgresPoolSettings {
  readonly connectionString?: string;
  readonly max: number;
  readonly connectionTimeoutMillis: number;
  readonly idle_in_transaction_session_timeout: number;
  readonly keepAlive: boolean;
  readonly types: {
    getTypeParser(oid: number, format?: string): (value: string | Uint8Array) => unknown;
  };
}

/** A pool of connections. */
export interface PostgresPool {
  connect(): Promise<PostgresClient>;
  end(): Promise<void>;
  /** Told of connections that broke while nobody used them. */
  on(event: "error", listener: (error: Error) => void): unknown;
}

/** A connection that its taker has for itself until it is released. */
export interface PostgresClient {
  query(statement: PostgresStatement): Promise<PostgresResult | readonly PostgresResult[]>;
  /** Gives the connection back to the pool, or away for good. */
  release(isBroken?: boolean): void;
  /** Told when the connection breaks. */
  on(event: "error", listener: (error: Error) => void): unknown;
}

/** A statement; with a name it is prepared at its first use on a connection. */
export interface PostgresStatement {
  text: string;
  values?: (string | Uint8Array | null)[];
  name?: string;
}

/** What came back; of several statements in one text, a list of these. */
export interface PostgresResult {
  readonly command: string | null;
  readonly rowCount: number | null;
  readonly rows: readonly unknown[];
}
