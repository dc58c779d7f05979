import type { PullAppInputsResponse } from "../../../gen/flwr/proto/appio_pb.ts";
import type { Fab } from "../../../gen/flwr/proto/fab_pb.ts";
import type { Context as ContextProto } from "../../../gen/flwr/proto/message_pb.ts";
import type { Run } from "../../../gen/flwr/proto/run_pb.ts";
import { configFromScalars, fuseConfig } from "./config-values.ts";
import { type Context, contextFromProto } from "./context.ts";
import type { LoadedApp } from "./load-app.ts";
import { isServerApp, type ServerApp } from "./server-app.ts";

/** The parts of a run's inputs, none of which may be missing. */
export interface RunInputs {
  readonly run: Run;
  readonly fab: Fab;
  readonly context: ContextProto;
}

/**
 * Returns the parts of a run's inputs.
 *
 * @throws TypeError if one is missing.
 */
export function assertInputs({ run, fab, context }: PullAppInputsResponse): RunInputs {
  if (run === undefined || fab === undefined || context === undefined) {
    throw new TypeError("the server sent no run, no app bundle or no context");
  }
  return { run, fab, context };
}

/**
 * Returns a bundle's ServerApp and the context for it, in which the run's
 * configuration replaces the bundle's.
 *
 * @throws TypeError if what was loaded is no ServerApp, or the run's
 * configuration does not fit the bundle's.
 */
export function serverAppWithContext(
  { app, config = {} }: LoadedApp,
  { run, context }: RunInputs,
): { readonly app: ServerApp; readonly context: Context } {
  if (!isServerApp(app)) {
    throw new TypeError("the bundle's server app must be a ServerApp: new ServerApp().main(...)");
  }
  const runConfig = fuseConfig(config, configFromScalars(run.overrideConfig));
  return { app, context: { ...contextFromProto(context), runConfig } };
}
