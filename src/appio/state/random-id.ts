import { randomBytes } from "node:crypto";
import { superLinkNodeId } from "../objects/super-link-node-id.ts";

/** Returns a random unsigned integer of 64 bits that is neither 0, which says "none", nor the SuperLink's id. */
export function randomId(): bigint {
  for (;;) {
    const id = randomBytes(8).readBigUInt64LE();
    if (id > superLinkNodeId) {
      return id;
    }
  }
}
