import { randomBytes } from "node:crypto";

/** The id of the SuperLink among the nodes. */
export const superLinkNodeId = 1n;

/** Returns a random unsigned integer of 64 bits that is neither 0, which says "none", nor the SuperLink's id. */
export function randomId(): bigint {
  for (;;) {
    const id = randomBytes(8).readBigUInt64LE();
    if (id > superLinkNodeId) {
      return id;
    }
  }
}
