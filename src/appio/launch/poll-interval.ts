/** The longest time that a timer of Node.js keeps; a longer one fires at once. */
const longestTimerMs = 2 ** 31 - 1;

/**
 * Returns a poll interval in milliseconds.
 *
 * @param option the option's name, for the error
 * @throws TypeError when it is no time that a timer can keep: the loop would not pause at all
 */
export function checkedPollInterval(option: string, ms: number): number {
  if (!(ms >= 0 && ms <= longestTimerMs)) {
    throw new TypeError(`"${option}" must be a number of milliseconds from 0 to ${longestTimerMs}`);
  }
  return ms;
}
