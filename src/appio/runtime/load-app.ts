import type { Fab } from "../../../gen/flwr/proto/fab_pb.ts";
import type { Run } from "../../../gen/flwr/proto/run_pb.ts";
import type { ConfigValues } from "./config-values.ts";

/** What loading an app from its bundle gives. */
export interface LoadedApp {
  /** What the bundle's module exports as its app; the runtime checks that it is one. */
  readonly app: unknown;
  /**
   * The bundle's default configuration, with flat keys. Default: none. Only a
   * ServerApp's runtime looks at it: a ClientApp's node has fused it before.
   */
  readonly config?: ConfigValues;
}

/** Installs a bundle and loads its app. What it throws is reported as the app's failure. */
export type LoadApp = (fab: Fab, run: Run) => LoadedApp | Promise<LoadedApp>;
