import type { ObjectTree } from "../../../gen/flwr/proto/message_pb.ts";
import { objectIdOf } from "../../../src/appio/objects/object-id.ts";
import { readTrees } from "../../../src/appio/state/object-graph.ts";
import { announceObjects } from "../../../src/appio/state/object-trees.ts";
import type { StateTables } from "../../../src/appio/state/tables.ts";
import type { AnySqlDatabase } from "../../../src/authority/sql-database.ts";
import { toSqlInteger } from "../../../src/authority/sql-integer.ts";

/** Announces trees for a run without a message around them. */
export async function announce(
  database: AnySqlDatabase,
  runId: bigint,
  ...trees: ObjectTree[]
): Promise<string[]> {
  const graph = await readTrees(trees, "trees");
  return database
    .withTables<StateTables>()
    .transaction((tx) => announceObjects(tx, toSqlInteger(runId), graph));
}

/** An object of a test's own: some text, and the children that its head names. */
export interface TestObject {
  readonly id: string;
  readonly content: Uint8Array;
}

/** Makes an object that says that it has some children. */
export function testObject(text: string, children: readonly TestObject[] = []): TestObject {
  const ids = children.map(({ id }) => id).join(",");
  const content = new TextEncoder().encode(`Array ${ids} ${text.length}\0${text}`);
  return { id: objectIdOf(content), content };
}
