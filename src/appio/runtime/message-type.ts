/** What a ClientApp's handlers are registered for. */
export type AppCategory = "train" | "evaluate" | "query";

/** The name of a handler whose message type has none: `train` is `train.default`. */
export const defaultAction = "default";

const categories: readonly AppCategory[] = ["train", "evaluate", "query"];

/** A Python identifier, as far as one character pattern tells: Flower checks names by `str.isidentifier`. */
const identifier = /^[_\p{XID_Start}]\p{XID_Continue}*$/u;

/** Tells whether a string may name a handler. */
export function isActionName(value: string): boolean {
  return identifier.test(value);
}

/**
 * Takes a message type for a ClientApp apart: `<category>` or
 * `<category>.<action>` (contract 5.3, rule 4).
 *
 * @throws TypeError if it is neither.
 */
export function parseMessageType(messageType: string): { category: AppCategory; action: string } {
  const [name, action = defaultAction, ...more] = messageType.split(".");
  const category = categories.find((each) => each === name);
  if (category === undefined || more.length > 0 || !isActionName(action)) {
    throw new TypeError(
      `message type "${messageType}" is not train, evaluate or query, or one of these with a name, as in "train.custom"`,
    );
  }
  return { category, action };
}
