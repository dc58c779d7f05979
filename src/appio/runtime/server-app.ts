import type { AppSignal } from "./app-lifetime.ts";
import type { Context } from "./context.ts";
import type { ServerAppGrid } from "./server-app-grid.ts";

/** The main function of a {@link ServerApp}. What it resolves to is ignored. */
export type ServerAppMain = (grid: ServerAppGrid, context: Context, lifetime: AppSignal) => unknown;

const serverAppMark: unique symbol = Symbol.for("countersign.ServerApp");

/**
 * The server side of a federated app: one main function, which reaches the
 * nodes through the grid.
 *
 * ```ts
 * export default new ServerApp().main(async (grid, context) => {
 *   const nodeIds = await grid.getNodeIds();
 * });
 * ```
 */
export class ServerApp {
  readonly [serverAppMark] = true;
  #main: ServerAppMain | undefined;

  /**
   * Registers the main function.
   *
   * @throws TypeError when there is one already.
   */
  main(main: ServerAppMain): this {
    if (typeof main !== "function") {
      throw new TypeError('"main" must be a function');
    }
    if (this.#main !== undefined) {
      throw new TypeError("this ServerApp has a main function already");
    }
    this.#main = main;
    return this;
  }

  /**
   * Runs the main function.
   *
   * @throws TypeError when there is none; whatever it throws.
   */
  async run(grid: ServerAppGrid, context: Context, lifetime: AppSignal): Promise<void> {
    if (this.#main === undefined) {
      throw new TypeError("this ServerApp has no main function: register one with main()");
    }
    await this.#main(grid, context, lifetime);
  }
}

/**
 * Tells whether a value, such as what a bundle's module exports, is a
 * ServerApp. One made by another copy of this package counts as well.
 */
export function isServerApp(value: unknown): value is ServerApp {
  return typeof value === "object" && value !== null && serverAppMark in value;
}
