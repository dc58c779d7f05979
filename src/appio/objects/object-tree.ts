import { create } from "@bufbuild/protobuf";
import { type ObjectTree, ObjectTreeSchema } from "../../../gen/flwr/proto/message_pb.ts";

/**
 * Walks a tree in post-order: each object's id after those of its children. An
 * object that several parents share appears under each of them. Deep trees are
 * safe: nothing recurses.
 */
export function* postOrder(tree: ObjectTree): Generator<string, void, undefined> {
  const path: { readonly node: ObjectTree; next: number }[] = [{ node: tree, next: 0 }];
  for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
    const child = top.node.children[top.next];
    top.next += 1;
    if (child === undefined) {
      path.pop();
      yield top.node.objectId;
    } else {
      path.push({ node: child, next: 0 });
    }
  }
}

/** Returns the distinct ids of a tree, in the order of {@link postOrder}. */
export function objectIdsOf(tree: ObjectTree): string[] {
  return Array.from(new Set(postOrder(tree)));
}

/** Makes a tree of an id and the trees of its children. */
export function objectTree(objectId: string, children: readonly ObjectTree[] = []): ObjectTree {
  return create(ObjectTreeSchema, { objectId, children: [...children] });
}
