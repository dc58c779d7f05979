import type { AliasedExpression } from "kysely";
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
 * @param read Selects the columns it is given, of the one row.
 * @returns undefined if there is no such row, also if it goes meanwhile; null if the column is null.
 */
export async function readLargeBytes(
  engine: SqlEngine,
  column: string,
  read: (columns: PieceColumns) => Promise<Piece | undefined>,
): Promise<Uint8Array | null | undefined> {
  const first = await read(columnsOf(engine, column, 0));
  if (first === undefined || first.piece === null) {
    return first?.piece;
  }
  const size = Number(first.size);
  if (first.piece.length === size) {
    return first.piece;
  }
  const whole = new Uint8Array(size);
  whole.set(first.piece);
  for (let offset = first.piece.length; offset < size; ) {
    const next = await read(columnsOf(engine, column, offset));
    if (next === undefined || next.piece === null || next.piece.length === 0) {
      return undefined;
    }
    whole.set(next.piece, offset);
    offset += next.piece.length;
  }
  return whole;
}

function columnsOf(engine: SqlEngine, column: string, offset: number): PieceColumns {
  const bytes = sql.ref<Uint8Array | null>(column);
  if (engine === "sqlite") {
    return [bytes.as("piece"), sql<bigint | null>`length(${bytes})`.as("size")];
  }
  const from = sql`cast(${offset + 1} as integer)`;
  const piece = sql<Uint8Array | null>`substring(${bytes} from ${from} for ${sql.lit(pieceBytes)})`;
  return [piece.as("piece"), sql<bigint | null>`octet_length(${bytes})`.as("size")];
}
