import { createAuthority } from "../../authority/authority.ts";
import type { AnySqlDatabase } from "../../authority/sql-database.ts";
import type { SqlError } from "../../authority/sql-error.ts";
import { openSqlite } from "../../authority/sqlite.ts";
import type { DecisionCount, DecisionEvent } from "../../guard/decisions.ts";
import { digestToken, type Token } from "../../policy/token.ts";
import { refusal } from "../../policy/verifier.ts";
import type { ServeTls } from "../../serve/listener.ts";
import { type Server, serve } from "../../serve/serve.ts";
import { readPublicKey } from "../credentials/public-key.ts";
import { createSuperExecVerifier, type SuperExecAuth } from "../credentials/super-exec-verifier.ts";
import { createSuperNodeVerifiers } from "../credentials/super-node-verifier.ts";
import { fleetPolicy, serverAppIoPolicy } from "../policy.ts";
import { withConnectErrors } from "../state/connect-errors.ts";
import { createLinkState, type LinkState } from "../state/link-state.ts";
import { controlService } from "./control.ts";
import { fleetService } from "./fleet.ts";
import { defaultMaxInlineBytes, oversizeCode } from "./message-sizes.ts";
import { createRefusalTally } from "./refusals.ts";
import { serverAppIoService, signedServerAppIoService } from "./server-app-io.ts";

/** How to start a SuperLink. */
export interface SuperLinkOptions {
  /** Path of the SQLite file that holds all state, created if absent; `:memory:` keeps nothing. */
  readonly databasePath?: string;
  /**
   * In the place of a path: an open database, which is closed with the SuperLink.
   * Several SuperLinks may share a PostgreSQL database.
   */
  readonly database?: AnySqlDatabase;
  /**
   * The operator's secret: callers of the Control service present it in the
   * header `countersign-operator-token`. Only its digest is kept.
   */
  readonly operatorToken: Token;
  /**
   * Public keys of the SuperNodes that may join, as PEM or OpenSSH lines. They
   * are registered here; no node registers itself then, and no other key is
   * accepted. Default: a node with any key of its own registers itself.
   */
  readonly superNodeKeys?: readonly string[];
  /**
   * Who may launch apps. Default: whoever reaches the port of ServerAppIo can
   * claim a pending run.
   */
  readonly superExecAuth?: SuperExecAuth;
  /**
   * Certificate and key for TLS on Fleet and Control. ServerAppIo stays plaintext,
   * as Flower's: its app processes speak nothing else. Default: plaintext.
   */
  readonly tls?: ServeTls;
  /** Address to listen on. Default: `127.0.0.1`. */
  readonly host?: string;
  /** Port of ServerAppIo, 0 for any free one. Default: 9091. */
  readonly serverAppIoPort?: number;
  /** Port of Fleet, 0 for any free one. Default: 9092. */
  readonly fleetPort?: number;
  /** Port of Control, 0 for any free one. Default: 9093. */
  readonly controlPort?: number;
  /** The largest object or context that a request may carry, in bytes. Default: 512 MiB. */
  readonly maxInlineBytes?: number;
  /** How often StreamLogs looks for new lines, in milliseconds. Default: 500. */
  readonly logPollMs?: number;
  /** Called for every refusal of a guard, on whichever port. */
  readonly onDecision?: (event: DecisionEvent) => void;
  /**
   * Called for every error of the database, such as a full disk, before the
   * caller is answered, who is told no more than Unavailable or Internal.
   */
  readonly onDatabaseError?: (error: SqlError) => void;
  /** The clock, in milliseconds since the epoch. Default: the database's, and `Date.now` for signatures. */
  readonly now?: () => number;
}

/** A running SuperLink. */
export interface SuperLink extends AsyncDisposable {
  /** Base URL of ServerAppIo, such as `http://127.0.0.1:9091`. */
  readonly serverAppIoUrl: string;
  /** Base URL of Fleet: `https:` with {@link SuperLinkOptions.tls}. */
  readonly fleetUrl: string;
  /** Base URL of the operator's Control service: `https:` with {@link SuperLinkOptions.tls}. */
  readonly controlUrl: string;
  /** The state behind the services. */
  readonly state: LinkState;
  /** Returns how many calls of each RPC were allowed and refused, over all ports. */
  counters(): readonly DecisionCount[];
  /** Stops listening, lets calls in flight finish in bounded time, and closes the database. */
  close(): Promise<void>;
}

/**
 * Starts a SuperLink: the state in one database, and ServerAppIo, Fleet and
 * Control on a port each. Nodes sign their calls to Fleet; SuperExecs sign theirs
 * where `superExecAuth` says so.
 *
 * @throws TypeError if an option is wrong, such as a key that cannot be read; Error if the file or a port is taken.
 */
export async function startSuperLink(options: SuperLinkOptions): Promise<SuperLink> {
  const now = options.now ?? Date.now;
  const { superExecAuth, onDatabaseError } = options;
  const superExecKey = superExecAuth && createSuperExecVerifier({ ...superExecAuth, now });
  const knownKeys = options.superNodeKeys?.map(
    (key, index) => readPublicKey(key, `"superNodeKeys": key ${index + 1}`).pem,
  );
  const database = await openDatabase(options);
  const servers: Server[] = [];
  const stopping = new AbortController();
  const close = () => {
    stopping.abort();
    return closeAll(servers, database);
  };
  try {
    // Without a clock of its own the state follows that of the database, which its other users share.
    const clock = options.now === undefined ? {} : { now };
    const authority = await createAuthority({ database, ...clock });
    const state = await createLinkState({ database, authority, onDatabaseError, ...clock });
    for (const pem of knownKeys ?? []) {
      await state.nodes.registerOnce(Buffer.from(pem));
    }
    const counters = () => addUp(servers.flatMap((server) => server.counters()));
    const { maxInlineBytes = defaultMaxInlineBytes, logPollMs = 500 } = options;
    const refusals = createRefusalTally(now);
    const shared = {
      ...(options.host === undefined ? {} : { host: options.host }),
      onDecision: (event: DecisionEvent) => {
        refusals.add(event);
        return options.onDecision?.(event);
      },
    };
    const remote = { ...shared, ...(options.tls === undefined ? {} : { tls: options.tls }) };
    const serverAppIoServer = {
      ...shared,
      port: options.serverAppIoPort ?? 9091,
      limits: {
        exemptFromShedding: [serverAppIoPolicy.service.method.sendAppHeartbeat],
        oversizeCode,
      },
    };
    const appToken = authority.verifier;
    const tokens = withConnectErrors(authority, onDatabaseError);
    const serverAppIo =
      superExecKey === undefined
        ? await serve({
            ...serverAppIoServer,
            services: [serverAppIoService(state, tokens, { maxInlineBytes })],
            verifiers: { appToken },
          })
        : await serve({
            ...serverAppIoServer,
            services: [signedServerAppIoService(state, tokens, { maxInlineBytes })],
            verifiers: { appToken, superExecKey },
          });
    servers.push(serverAppIo);
    const fleet = await serve({
      ...remote,
      services: [
        fleetService(state, { maxInlineBytes, selfRegistration: knownKeys === undefined }),
      ],
      verifiers: createSuperNodeVerifiers({
        findNode: (publicKey) => state.nodes.idOf(publicKey),
        ...(knownKeys === undefined ? {} : { knownKeys }),
        now,
      }),
      port: options.fleetPort ?? 9092,
      limits: {
        exemptFromShedding: [fleetPolicy.service.method.sendNodeHeartbeat],
        oversizeCode,
      },
    });
    servers.push(fleet);
    const control = await serve({
      ...remote,
      services: [
        controlService(state, {
          counters,
          refusals: refusals.list,
          logPollMs,
          shutdownSignal: stopping.signal,
        }),
      ],
      verifiers: { operatorToken: operatorVerifier(options.operatorToken) },
      port: options.controlPort ?? 9093,
    });
    servers.push(control);
    return {
      serverAppIoUrl: serverAppIo.url,
      fleetUrl: fleet.url,
      controlUrl: control.url,
      state,
      counters,
      close,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Accepts one token, of which it keeps the digest. */
function operatorVerifier(operatorToken: Token) {
  const expected = digestToken(operatorToken);
  return (presented: Token) =>
    digestToken(presented) === expected ? {} : refusal("not the operator's");
}

async function openDatabase({ database, databasePath }: SuperLinkOptions): Promise<AnySqlDatabase> {
  if ((database === undefined) === (databasePath === undefined)) {
    throw new TypeError('either "databasePath" or "database" must say where the state is');
  }
  return database ?? openSqlite({ path: databasePath ?? "" });
}

/** Joins the counts of RPCs that several ports serve: health, and unknown ones. */
function addUp(counts: readonly DecisionCount[]): DecisionCount[] {
  const byName = new Map<string, DecisionCount>();
  for (const count of counts) {
    const name = `${count.service}/${count.method}`;
    const { allowed = 0, refused = 0, unavailable = 0 } = byName.get(name) ?? {};
    byName.set(name, {
      ...count,
      allowed: allowed + count.allowed,
      refused: refused + count.refused,
      unavailable: unavailable + count.unavailable,
    });
  }
  return [...byName.values()];
}

/** Closes the servers before the database that their handlers use. */
async function closeAll(servers: readonly Server[], database: AnySqlDatabase): Promise<void> {
  try {
    await Promise.all(servers.map((server) => server.close()));
  } finally {
    await database.close();
  }
}
