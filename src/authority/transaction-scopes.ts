import { AsyncLocalStorage } from "node:async_hooks";
import type { Transaction } from "kysely";
import type {
  AnySqlDatabase,
  AnySqlTransaction,
  SqlDatabase,
  SqlTransaction,
} from "./sql-database.ts";

/** The transactions of one database, seen from the code that runs inside them. */
export interface TransactionScopes {
  /**
   * For what may not be called inside a transaction: such a caller would wait
   * for itself, for ever.
   *
   * @throws Error if the caller runs inside a transaction of this database.
   */
  refuseInside(): void;
  /** Runs `work` inside a transaction. Its actions come to `afterCommit`, as long as it runs. */
  run<Tables, T>(
    transaction: {
      readonly database: AnySqlDatabase;
      readonly query: Transaction<Tables>;
      readonly afterCommit: (action: () => void) => void;
    },
    work: (tx: SqlTransaction<Tables>) => Promise<T>,
  ): Promise<T>;
}

/** Creates the scopes of a database. */
export function createTransactionScopes(): TransactionScopes {
  const scopes = new AsyncLocalStorage<{ running: boolean }>();
  return {
    refuseInside() {
      if (scopes.getStore()?.running) {
        throw new Error("inside a transaction, use its own query: this would wait for it to end");
      }
    },
    async run<Tables, T>(
      {
        database,
        query,
        afterCommit,
      }: Parameters<TransactionScopes["run"]>[0] & {
        readonly query: Transaction<Tables>;
      },
      work: (tx: SqlTransaction<Tables>) => Promise<T>,
    ) {
      const scope = { running: true };
      const transaction: SqlTransaction<Tables> = {
        database,
        query,
        afterCommit(action) {
          if (!scope.running) {
            throw new Error("the transaction is over: the action came too late");
          }
          afterCommit(action);
        },
        withTables: <Other>() => transactionWithTables<Other>(transaction),
      };
      try {
        return await scopes.run(scope, () => work(transaction));
      } finally {
        scope.running = false;
      }
    },
  };
}

/**
 * Runs the actions of a transaction that was committed, all of them.
 *
 * @throws AggregateError with the errors of those that threw.
 */
export function runAfterCommit(actions: readonly (() => void)[]): void {
  const errors: unknown[] = [];
  for (const action of actions) {
    try {
      action();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) {
    throw new AggregateError(
      errors,
      "the transaction was committed, but an action after it failed",
    );
  }
}

/** The one place where a database gets other table types: they exist at compile time only. */
export function databaseWithTables<Other>(database: AnySqlDatabase): SqlDatabase<Other> {
  return database as SqlDatabase<Other>;
}

/** The same for a transaction. */
function transactionWithTables<Other>(transaction: AnySqlTransaction): SqlTransaction<Other> {
  return transaction as SqlTransaction<Other>;
}
