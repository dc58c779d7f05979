import type { AliasedExpression, RawBuilder } from "kysely";
import { sql } from "kysely";
import type { SqlEngine } from "../../authority/sql-database.ts";
import { freeBytes } from "./free-bytes.ts";

/** Part of some bytes; null where there are none. */
export interface Piece {
  readonly piece: Uint8Array | null;
  /** The number of bytes in all; of other parts than the first nobody asks for it. */
  readonly size: bigint | null;
}

/** The columns of a {@link Piece}, to be selected. */
export type PieceColumns = [
  AliasedExpression<Uint8Array | null, "piece">,
  AliasedExpression<bigint | null, "size">,
];

/**
 * The most bytes of an object that are written into one row; on PostgreSQL also
 * the most that a statement reads of an object or a bundle.
 *
 * SQLite copies what is bound, makes a row of it and keeps both until the
 * statement is done: it does so with a piece and not with a whole object. What
 * it needs for that comes from memory that it has had before, where more than
 * this is mapped and unmapped each time.
 *
 * PostgreSQL sends bytes as text of twice the length, and neither it nor
 * JavaScript can make a text of more than 512 Mi characters. Each statement
 * waits for its answer there, so the pieces are larger.
 */
export const pieceBytes: Readonly<Record<SqlEngine, number>> = {
  sqlite: 256 * 1024,
  postgres: 16 * 1024 * 1024,
};

/** Cuts bytes into the pieces that an engine keeps, at least one; none is copied. */
export function* piecesOf(
  bytes: Uint8Array,
  engine: SqlEngine,
): Generator<{ readonly start: bigint; readonly piece: Uint8Array }> {
  let start = 0;
  do {
    const piece = bytes.subarray(start, start + pieceBytes[engine]);
    yield { start: BigInt(start), piece };
    start += piece.length;
  } while (start < bytes.length);
}

/**
 * Reads bytes that no single statement reads, as there may be too many.
 *
 * @param read Reads the part that begins at the byte that it is given (the first is 1).
 * @returns undefined if there is no such row, also if it goes meanwhile; null if there are no bytes.
 */
export async function readLargeBytes(
  read: (from: number) => Promise<Piece | undefined>,
): Promise<Uint8Array | null | undefined> {
  const first = await read(1);
  if (first === undefined || first.piece === null) {
    return first?.piece;
  }
  const size = Number(first.size);
  if (first.piece.length === size) {
    return first.piece;
  }
  // Not set to zero: it is handed on when all of it has been written.
  const whole = new Uint8Array(Buffer.allocUnsafeSlow(size).buffer);
  whole.set(first.piece);
  let filled = first.piece.length;
  freeBytes(first.piece);
  while (filled < size) {
    const next = await read(filled + 1);
    if (next === undefined || next.piece === null || next.piece.length === 0) {
      return undefined;
    }
    whole.set(next.piece, filled);
    filled += next.piece.length;
    freeBytes(next.piece);
  }
  return whole;
}

/**
 * The columns that {@link readLargeBytes} reads, where all bytes are in one column.
 *
 * @param column Name of the column of bytes.
 * @param from The first byte; SQLite gives all of them.
 */
export function pieceColumns(
  engine: SqlEngine,
  column: string,
  from: number | RawBuilder<number>,
): PieceColumns {
  const bytes = sql.ref<Uint8Array | null>(column);
  if (engine === "sqlite") {
    return [bytes.as("piece"), sql<bigint | null>`length(${bytes})`.as("size")];
  }
  const start = sql`cast(${from} as integer)`;
  const piece = sql<Uint8Array | null>`substring(${bytes} from ${start} for ${sql.lit(pieceBytes.postgres)})`;
  return [piece.as("piece"), sql<bigint | null>`octet_length(${bytes})`.as("size")];
}
