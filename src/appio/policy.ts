import { Control } from "../../gen/countersign/control/v1/control_pb.ts";
import { ClientAppIo } from "../../gen/flwr/proto/clientappio_pb.ts";
import { Fleet } from "../../gen/flwr/proto/fleet_pb.ts";
import { ServerAppIo } from "../../gen/flwr/proto/serverappio_pb.ts";
import { SimulationIo } from "../../gen/flwr/proto/simulationio_pb.ts";
import { credential } from "../policy/credential.ts";
import { definePolicy } from "../policy/policy.ts";
import { anyOf, open, requires } from "../policy/rule.ts";
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

/**
 * How a SuperNode signs a call: its public key as PEM, the time, and a
 * signature of the time. `node:crypto` makes and verifies it, so that is done
 * apart from these tables, which browsers import (`credentials/`).
 */
const superNodeHeaders = ["flwr-public-key-bin", "flwr-signature-bin", "flwr-timestamp"] as const;

/**
 * A SuperNode's signature (contract 9), by whichever key: it proves the key
 * only. For the RPCs with which a node introduces itself.
 */
export const superNodeKey = credential("superNodeKey", {
  headers: superNodeHeaders,
  claims: { publicKey: "bytes" },
});

/**
 * The same signature by the key of a registered SuperNode: it proves the
 * node's id. A node speaks for itself, and sends messages as itself.
 */
export const superNode = credential("superNode", {
  headers: superNodeHeaders,
  claims: { nodeId: { kind: "bigint", binds: ["nodeId", "srcNodeId"] } },
});

/**
 * A SuperExec's signature of the time and the RPC (contract 2.3), by a key that
 * the operator has listed. It proves which key, and what its holder may launch.
 */
export const superExecKey = credential("superExecKey", {
  headers: [
    "flwr-superexec-public-key-bin",
    "flwr-superexec-signature-bin",
    "flwr-superexec-timestamp",
  ],
  claims: {
    keyFingerprint: { kind: "string", binds: [] },
    launchesServerApps: { kind: "boolean", binds: [] },
    launchesSimulations: { kind: "boolean", binds: [] },
  },
});

/**
 * ServerAppIo, the API of ServerApp processes: Flower's table. Launchers are
 * not authenticated: whoever reaches the port can claim a pending run.
 */
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

/**
 * SimulationIo, a part of ServerAppIo, with the rules that its RPCs have there.
 * No server here offers it, as none of Flower's does: simulations speak
 * ServerAppIo.
 */
export const simulationIoPolicy = definePolicy(SimulationIo, {
  listAppsToLaunch: serverAppIoPolicy.rules.listAppsToLaunch,
  requestToken: serverAppIoPolicy.rules.requestToken,
  getRun: serverAppIoPolicy.rules.getRun,
  sendAppHeartbeat: serverAppIoPolicy.rules.sendAppHeartbeat,
  pullAppInputs: serverAppIoPolicy.rules.pullAppInputs,
  pushAppOutputs: serverAppIoPolicy.rules.pushAppOutputs,
  updateRunStatus: serverAppIoPolicy.rules.updateRunStatus,
  pushLogs: serverAppIoPolicy.rules.pushLogs,
  getFederationOptions: serverAppIoPolicy.rules.getFederationOptions,
});

/** ServerAppIo where SuperExecs must sign: nothing is open. */
export const signedServerAppIoPolicy = definePolicy(ServerAppIo, {
  ...serverAppIoPolicy.rules,
  listAppsToLaunch: requires(superExecKey),
  requestToken: requires(superExecKey),
  getRun: anyOf([appToken, superExecKey]),
});

/**
 * ClientAppIo, the API of ClientApp processes: Flower's table. Launchers are
 * not authenticated, as on ServerAppIo.
 */
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

/** ClientAppIo where SuperExecs must sign: nothing is open. */
export const signedClientAppIoPolicy = definePolicy(ClientAppIo, {
  ...clientAppIoPolicy.rules,
  listAppsToLaunch: requires(superExecKey),
  requestToken: requires(superExecKey),
  getRun: anyOf([appToken, superExecKey]),
});

/** Fleet, the API of SuperNodes: every call is signed by a node's key. */
export const fleetPolicy = definePolicy(Fleet, {
  registerNode: requires(superNodeKey),
  activateNode: requires(superNodeKey),
  deactivateNode: requires(superNode),
  unregisterNode: requires(superNode),
  sendNodeHeartbeat: requires(superNode),
  pullMessages: requires(superNode),
  pushMessages: requires(superNode),
  getRun: requires(superNode),
  getFab: requires(superNode),
  pushObject: requires(superNode),
  pullObject: requires(superNode),
  confirmMessageReceived: requires(superNode),
});

/** Control, the operator's API of a SuperLink. */
export const controlPolicy = definePolicy(Control, {
  startRuns: requires(operatorToken),
  listRuns: requires(operatorToken),
  stopRun: requires(operatorToken),
  streamLogs: requires(operatorToken),
  getDecisions: requires(operatorToken),
});
