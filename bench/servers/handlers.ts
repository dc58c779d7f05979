import { unimplemented } from "../../src/guard/service.ts";
import { nodes } from "./answers.ts";
import { noteBody } from "./body-watch.ts";

/** The two RPCs that are measured; the object that comes is dropped. */
export const measuredHandlers = {
  getNodes: () => nodes(),
  pushObject({ objectContent }: { readonly objectContent: Uint8Array }) {
    noteBody();
    return { stored: objectContent.length > 0 };
  },
};

/** All of ServerAppIo, as `service` takes it. */
export const serverAppIoHandlers = {
  ...measuredHandlers,
  listAppsToLaunch: unimplemented,
  requestToken: unimplemented,
  getRun: unimplemented,
  sendAppHeartbeat: unimplemented,
  pullAppInputs: unimplemented,
  pushAppOutputs: unimplemented,
  pullObject: unimplemented,
  confirmMessageReceived: unimplemented,
  updateRunStatus: unimplemented,
  pushLogs: unimplemented,
  getFederationOptions: unimplemented,
  pushMessages: unimplemented,
  pullMessages: unimplemented,
};
