import type { AttackProgress } from "../testing/options.ts";

const barWidth = 30;
const redrawMs = 100;

/** Draws an attack's progress on a terminal: one line, written anew. */
export class ProgressBar {
  readonly #terminal: NodeJS.WriteStream;
  #drawnAt = 0;

  constructor(terminal: NodeJS.WriteStream) {
    this.#terminal = terminal;
  }

  /** Draws how far it is, a few times per second at most. */
  show({ calls, totalCalls, findings }: AttackProgress): void {
    const now = performance.now();
    if (now - this.#drawnAt < redrawMs) return;
    this.#drawnAt = now;
    const share = totalCalls === 0 ? 0 : Math.min(1, calls / totalCalls);
    const done = "#".repeat(Math.round(share * barWidth)).padEnd(barWidth);
    this.#terminal.write(
      `\r[${done}] ${calls} of ${totalCalls} calls, ${findings} findings \x1b[K`,
    );
  }

  /** Takes the line away. */
  clear(): void {
    this.#terminal.write("\r\x1b[K");
  }
}
