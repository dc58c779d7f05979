import { setImmediate } from "node:timers/promises";

/**
 * Lets the event loop answer others in the middle of long work. A transaction
 * on SQLite goes on holding the database meanwhile: tokens are verified, calls
 * arrive and leave, but statements of others wait for its end.
 */
export function nextTurn(): Promise<void> {
  return setImmediate();
}
