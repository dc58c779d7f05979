import type { Authority } from "../../authority/authority.ts";
import { migrate } from "../../authority/migrate.ts";
import type { AnySqlDatabase } from "../../authority/sql-database.ts";
import { type OnDatabaseError, withConnectErrors } from "./connect-errors.ts";
import type { StateCore } from "./core.ts";
import { createInputState, type Inputs } from "./inputs.ts";
import { createInstructionState, type Instructions } from "./instructions.ts";
import { createLogState, type Logs } from "./logs.ts";
import { createNodeState, type Nodes } from "./nodes.ts";
import { createObjectState, type Objects } from "./objects.ts";
import { createReplyState, type Replies } from "./replies.ts";
import { createRunState, type Runs } from "./runs.ts";
import { stateSchema } from "./schema.ts";
import type { StateTables } from "./tables.ts";

/**
 * What a SuperLink remembers. Whether a run lives is decided on every access,
 * by its status and by the instant at which its token expires; a run whose
 * token has expired has failed at that instant, even if no process was there to
 * notice. Errors are ConnectErrors, with the codes that Flower's clients act on.
 */
export interface LinkState {
  readonly runs: Runs;
  /** What ServerApps start from and leave behind: contexts and FABs. */
  readonly inputs: Inputs;
  readonly logs: Logs;
  readonly nodes: Nodes;
  /** Messages from ServerApps to nodes. */
  readonly instructions: Instructions;
  /** The answers to them. */
  readonly replies: Replies;
  readonly objects: Objects;
}

/** How to create the state. */
export interface LinkStateOptions {
  /** The database that holds it; its tables are created or brought up to date. */
  readonly database: AnySqlDatabase;
  /** What issues the tokens of runs, in the same database and by the same clock. */
  readonly authority: Authority;
  /** Told of every error of the database, of which callers learn the code only. Default: nobody. */
  readonly onDatabaseError?: OnDatabaseError | undefined;
  /** The clock, in milliseconds since the epoch. Default: the database's. */
  readonly now?: () => number;
}

/**
 * Creates the tables of the state if the database lacks them, and the state.
 *
 * @throws Error if the database was written by a later version.
 */
export async function createLinkState(options: LinkStateOptions): Promise<LinkState> {
  const { authority, onDatabaseError, now = options.database.now } = options;
  const database = options.database.withTables<StateTables>();
  await migrate(database, stateSchema(database.engine));
  const core: StateCore = { database, authority, now };
  const translated = <Part extends object>(part: Part) => withConnectErrors(part, onDatabaseError);
  return {
    runs: translated(createRunState(core)),
    inputs: translated(createInputState(core)),
    logs: translated(createLogState(core)),
    nodes: translated(createNodeState(core)),
    instructions: translated(createInstructionState(core)),
    replies: translated(createReplyState(core)),
    objects: translated(createObjectState(core)),
  };
}
