/** An open connection, as a shutdown sees it. */
export interface Connection {
  /** Takes no new calls and closes when the open ones are answered. */
  drain(): void;
  /** Closes at once. */
  destroy(): void;
}
