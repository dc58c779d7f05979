import type { RawBuilder } from "kysely";
import { sql } from "kysely";
import type { SqlEngine } from "../../authority/sql-database.ts";

/**
 * A table of one column, `value`, with the texts of a list, to be selected
 * from: the whole list is one parameter, so that there is one statement for
 * lists of all lengths, prepared once.
 */
export function textTable(engine: SqlEngine, list: readonly string[]): RawBuilder<unknown> {
  const json = JSON.stringify(list);
  return engine === "postgres"
    ? sql`json_array_elements_text(cast(${json} as json)) as listed(value)`
    : sql`json_each(${json}) as listed`;
}

/** The texts of a list as a subquery, for `in`. */
export function textList(engine: SqlEngine, list: readonly string[]): RawBuilder<string> {
  return sql<string>`(select listed.value from ${textTable(engine, list)})`;
}
