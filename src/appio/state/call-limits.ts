import { Code, ConnectError } from "@connectrpc/connect";

/**
 * How much one call may name. A call's change is one transaction, and SQLite
 * runs one at a time, so these bound how long a call can keep the others
 * waiting. Flower's clients send what their app sends: one message for each
 * node, and for each message an object for every array and for every 5 MiB of
 * it (contract 7.1, 8.3). A model of 1,000 arrays in 100 messages, none of them
 * shared, is 200,300 objects.
 */
export const callLimits = {
  /** Messages in a PushMessages of ServerAppIo. */
  messages: 10_000,
  /** Objects in the trees of a PushMessages, counted as often as they stand there. */
  treeObjects: 500_000,
  /** Ids in a PullMessages of ServerAppIo. */
  messageIds: 50_000,
} as const;

/**
 * Checks that a call does not name too much.
 *
 * @param field Name of the request's field, as in the `.proto` file.
 * @throws ConnectError InvalidArgument that names field, count and limit.
 */
export function assertWithin(field: string, count: number, limit: number): void {
  if (count > limit) {
    throw new ConnectError(
      `\`${field}\` has ${count} entries: at most ${limit} may be in a call.`,
      Code.InvalidArgument,
    );
  }
}
