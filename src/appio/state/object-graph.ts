import type { ObjectTree } from "../../../gen/flwr/proto/message_pb.ts";
import { isObjectId } from "../objects/object-id.ts";
import { assertWithin, callLimits } from "./call-limits.ts";
import { malformed } from "./message-rules.ts";
import { nextTurn } from "./next-turn.ts";

/** The objects of some trees, and what these say of their children. */
export interface ObjectGraph {
  /** The distinct ids, children before parents. */
  readonly objectIds: readonly string[];
  /** The children of each object that has any, each once. */
  readonly children: ReadonlyMap<string, readonly string[]>;
}

/** After how many objects others get their turn. */
const objectsPerTurn = 5_000;

/**
 * Reads trees of any depth. An object that stands in them several times has all
 * the children that it is said to have.
 *
 * @param field Name of the request's field that holds the trees, for the errors.
 * @throws ConnectError InvalidArgument if an id has not the form of one, or
 * there are too many (see `callLimits`).
 */
export async function readTrees(trees: readonly ObjectTree[], field: string): Promise<ObjectGraph> {
  const seen = new Set<string>();
  const children = new Map<string, readonly string[]>();
  let count = 0;
  for (const tree of trees) {
    for (const node of nodesOf(tree)) {
      count += 1;
      if (count % objectsPerTurn === 0) {
        assertWithin(field, count, callLimits.treeObjects);
        await nextTurn();
      }
      const { objectId } = node;
      if (!isObjectId(objectId)) {
        throw malformed("an object id is not 64 hexadecimal characters");
      }
      seen.add(objectId);
      if (node.children.length > 0) {
        children.set(objectId, merged(children.get(objectId), node));
      }
    }
  }
  assertWithin(field, count, callLimits.treeObjects);
  return { objectIds: [...seen], children };
}

/** The ids of a node's children after those that are known of the same object, each once. */
function merged(known: readonly string[] | undefined, node: ObjectTree): readonly string[] {
  const same =
    known?.length === node.children.length &&
    node.children.every(({ objectId }, index) => known[index] === objectId);
  return same && known !== undefined
    ? known
    : [...new Set([...(known ?? []), ...node.children.map(({ objectId }) => objectId)])];
}

/** Yields the nodes of a tree, children before parents, at any depth. */
function* nodesOf(tree: ObjectTree): Generator<ObjectTree> {
  const path = [{ node: tree, next: 0 }];
  for (let step = path.at(-1); step !== undefined; step = path.at(-1)) {
    const child = step.node.children[step.next];
    if (child === undefined) {
      yield step.node;
      path.pop();
    } else {
      step.next += 1;
      path.push({ node: child, next: 0 });
    }
  }
}
