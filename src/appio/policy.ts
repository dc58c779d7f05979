import { Control } from "../../gen/countersign/control/v1/control_pb.ts";
import { ClientAppIo } from "../../gen/flwr/proto/clientappio_pb.ts";
import { Fleet } from "../../gen/flwr/proto/fleet_pb.ts";
import { ServerAppIo } from "../../gen/flwr/proto/serverappio_pb.ts";
import { credential } from "../policy/credential.ts";
import { definePolicy } from "../policy/policy.ts";
import { open, requires } from "../policy/rule.ts";
import type { TokenDigest } from "../policy/token.ts";

/**
 * The token of an app process: 256 hexadecimal characters in the metadata
 * `flwr-app-token`. It proves the run that the app belongs to. Requests that
 * carry a token in their body must carry the same one.
 */
export const appToken = credential("appToken", {
  header: "flwr-app-token",
  secretField: "token",
  claims: { runId: "bigint", tokenDigest: { kind: "string", binds: [] } },
}).proves<{ tokenDigest: TokenDigest }>();

/** The operator's token for a SuperLink's Control service. It names no run: an operator may act on all. */
export const operatorToken = credential("operatorToken", {
  header: "countersign-operator-token",
  claims: {},
});

/** ServerAppIo, the API of ServerApp processes: Flower's table. */
export const serverAppIoPolicy = definePolicy(ServerAppIo, {
  listAppsToLaunch: open,
  requestToken: open,
  getRun: open,
  sendAppHeartbeat: requires(appToken),
  pullAppInputs: requires(appToken),
  pushAppOutputs: requires(appToken),
  pushObject: requires(appToken),
  pullObject: requires(appToken),
  confirmMessageReceived: requires(appToken),
  updateRunStatus: requires(appToken),
  pushLogs: requires(appToken),
  getFederationOptions: requires(appToken),
  pushMessages: requires(appToken),
  pullMessages: requires(appToken),
  getNodes: requires(appToken),
});

/** ClientAppIo, the API of ClientApp processes: Flower's table. */
export const clientAppIoPolicy = definePolicy(ClientAppIo, {
  listAppsToLaunch: open,
  requestToken: open,
  getRun: open,
  sendAppHeartbeat: requires(appToken),
  pullAppInputs: requires(appToken),
  pushAppOutputs: requires(appToken),
  pushObject: requires(appToken),
  pullObject: requires(appToken),
  confirmMessageReceived: requires(appToken),
  pushMessage: requires(appToken),
  pullMessage: requires(appToken),
});

/**
 * Fleet, the API of SuperNodes. Every RPC is open: nodes are not authenticated,
 * so whoever reaches the port can act as any node.
 */
export const fleetPolicy = definePolicy(Fleet, {
  registerNode: open,
  activateNode: open,
  deactivateNode: open,
  unregisterNode: open,
  sendNodeHeartbeat: open,
  pullMessages: open,
  pushMessages: open,
  getRun: open,
  getFab: open,
  pushObject: open,
  pullObject: open,
  confirmMessageReceived: open,
});

/** Control, the operator's API of a SuperLink. */
export const controlPolicy = definePolicy(Control, {
  startRuns: requires(operatorToken),
  listRuns: requires(operatorToken),
  stopRun: requires(operatorToken),
  streamLogs: requires(operatorToken),
  getDecisions: requires(operatorToken),
});
