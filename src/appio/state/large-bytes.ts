import type { AliasedExpression, RawBuilder } from "kysely";
import { sql } from "kysely";
import type { SqlEngine } from "../../authority/sql-database.ts";

/** Part of a column of bytes, and the number of bytes in all of it; null where the column is. */
export interface Piece {
  readonly piece: Uint8Array | null;
  readonly size: bigint | null;
}

/** The columns of a {@link Piece}, to be selected. */
export type PieceColumns = [
  AliasedExpression<Uint8Array | null, "piece">,
  AliasedExpression<bigint | null, "size">,
];

/**
 * Bytes per statement on PostgreSQL. It sends them as text of twice the length,
 * and neither it nor JavaScript can make a text of more than 512 Mi characters.
 */
const pieceBytes = 16 * 1024 * 1024;

/**
 * Reads a column of bytes of any size.
 *
 * @param read Selects {@link pieceColumns} of the one row, from the byte that it is given (the first is 1).
 * @returns undefined if there is no such row, also if it goes meanwhile; null if the column is null.
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
  const whole = new Uint8Array(size);
  whole.set(first.piece);
  for (let filled = first.piece.length; filled < size; ) {
    const next = await read(filled + 1);
    if (next === undefined || next.piece === null || next.piece.length === 0) {
      return undefined;
    }
    whole.set(next.piece, filled);
    filled += next.piece.length;
  }
  return whole;
}

/**
 * The columns that {@link readLargeBytes} reads.
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
  const piece = sql<Uint8Array | null>`substring(${bytes} from ${start} for ${sql.lit(pieceBytes)})`;
  return [piece.as("piece"), sql<bigint | null>`octet_length(${bytes})`.as("size")];
}
