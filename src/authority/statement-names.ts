/** Names under which statements are prepared: the same for the same SQL, on every connection. */
export interface StatementNames {
  /** The name of a statement; undefined if it is not to be prepared. */
  nameOf(sql: string, parameterCount: number): string | undefined;
}

/** Lists of varying length (`in ($1, $2, ...)`) make statements that hardly come again. */
const maxParameters = 24;

/**
 * Names the first `limit` statements. A server keeps what is prepared for as
 * long as the connection lasts, so the number is bounded.
 */
export function createStatementNames(limit: number): StatementNames {
  const names = new Map<string, string>();
  return {
    nameOf(sql, parameterCount) {
      const known = names.get(sql);
      if (known !== undefined || names.size >= limit || parameterCount > maxParameters) {
        return known;
      }
      const name = `countersign_${names.size}`;
      names.set(sql, name);
      return name;
    },
  };
}
