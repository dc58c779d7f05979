import { ServerAppIo } from "../../gen/flwr/proto/serverappio_pb.ts";
import { serverAppIoPolicy } from "../../src/appio/policy.ts";
import { service } from "../../src/guard/service.ts";
import { definePolicy } from "../../src/policy/policy.ts";
import { open } from "../../src/policy/rule.ts";
import { serverAppIoHandlers } from "./handlers.ts";

/** Larger than any body that is sent, in bytes; otherwise the default of open RPCs is 64 KiB. */
export const readMaxBytes = 64 * 1024 * 1024;

/** ServerAppIo under AppIo's own policy: both RPCs take a token. */
export const guardedService = service(serverAppIoPolicy, serverAppIoHandlers, {
  readMaxBytes: { pushObject: readMaxBytes },
});

/** The same with every RPC open: what `serve` costs without a guard's work. */
export const openService = service(
  definePolicy(ServerAppIo, {
    listAppsToLaunch: open,
    requestToken: open,
    getRun: open,
    sendAppHeartbeat: open,
    pullAppInputs: open,
    pushAppOutputs: open,
    pushObject: open,
    pullObject: open,
    confirmMessageReceived: open,
    updateRunStatus: open,
    pushLogs: open,
    getFederationOptions: open,
    pushMessages: open,
    pullMessages: open,
    getNodes: open,
  }),
  serverAppIoHandlers,
  { readMaxBytes: { pushObject: readMaxBytes } },
);
