import { Code, ConnectError } from "@connectrpc/connect";
import { SqlError, type SqlErrorReason } from "../../authority/sql-error.ts";

/** Texts for callers. What the database said stays here: it is for operators. */
const answers: Record<SqlErrorReason, { readonly code: Code; readonly text: string }> = {
  // The code that clients try again, here or at another replica.
  unavailable: { code: Code.Unavailable, text: "The state is unavailable at present." },
  unstorable: { code: Code.InvalidArgument, text: "A text must not contain U+0000." },
  refused: { code: Code.Internal, text: "The state refused the change." },
};

/** Told of an error of the database before its caller is. What it throws is the caller's error. */
export type OnDatabaseError = (error: SqlError) => void;

/** The same functions, whose errors of the database are ConnectErrors. */
export function withConnectErrors<Part extends object>(
  part: Part,
  onDatabaseError?: OnDatabaseError,
): Part {
  const entries = Object.entries(part).map(([name, value]: [string, unknown]) => [
    name,
    isAsyncFunction(value) ? translating(value, onDatabaseError) : value,
  ]);
  // The one cast of this file: every function keeps its parameters and its result.
  return Object.fromEntries(entries) as Part;
}

type AsyncFunction = (...values: readonly unknown[]) => Promise<unknown>;

/** The parts of the state and the authority consist of nothing else. */
function isAsyncFunction(value: unknown): value is AsyncFunction {
  return typeof value === "function";
}

function translating(
  call: AsyncFunction,
  onDatabaseError: OnDatabaseError | undefined,
): AsyncFunction {
  return async (...values) => {
    try {
      return await call(...values);
    } catch (error) {
      if (!(error instanceof SqlError)) {
        throw error;
      }
      onDatabaseError?.(error);
      throw toConnectError(error);
    }
  };
}

function toConnectError(error: SqlError): ConnectError {
  const { code, text } = answers[error.reason];
  return new ConnectError(text, code, undefined, undefined, error);
}
