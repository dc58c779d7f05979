import type { Compilable, CompiledQuery, Kysely, QueryResult, RawBuilder } from "kysely";
import { sql } from "kysely";
import type { SqlEngine, SqlTransaction } from "./sql-database.ts";

/** The values that a statement is run with, by name. */
type Values = Readonly<Record<string, unknown>>;

/** Stands for a value in a statement that is being built. */
export type Placeholder<V extends Values> = <Name extends keyof V & string>(
  name: Name,
) => RawBuilder<V[Name]>;

/** Builds a statement for an engine. Called once for each. */
export type BuildStatement<Tables, V extends Values, Row> = (
  query: Kysely<Tables>,
  value: Placeholder<V>,
  engine: SqlEngine,
) => Compilable<Row>;

/** Runs a statement in a transaction. */
export type HotStatement<Tables, V extends Values, Row> = (
  tx: SqlTransaction<Tables>,
  values: V,
) => Promise<QueryResult<Row>>;

/** Where a value goes, among the parameters of a compiled statement. */
class Gap {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/**
 * Makes a statement that is built and compiled once, for those that run with every object or call: Kysely takes longer
 * to build a simple statement than SQLite to execute it.
 *
 * ```ts
 * const findRun = hotStatement<Tables, { id: SqlUint64 }>()((query, value) =>
 *   query.selectFrom("run").selectAll().where("run_id", "=", value("id")),
 * );
 * const { rows } = await findRun(tx, { id });
 * ```
 */
export function hotStatement<Tables, V extends Values>() {
  return <Row>(build: BuildStatement<Tables, V, Row>): HotStatement<Tables, V, Row> => {
    const compiled = new Map<SqlEngine, CompiledQuery<Row>>();
    return ({ database: { engine }, query }, values) => {
      let statement = compiled.get(engine);
      if (statement === undefined) {
        statement = build(query, (name) => sql`${new Gap(name)}`, engine).compile();
        compiled.set(engine, statement);
      }
      const parameters = statement.parameters.map((parameter) =>
        parameter instanceof Gap ? values[parameter.name] : parameter,
      );
      return query.executeQuery({ ...statement, parameters });
    };
  };
}
