export type {
  ChildCommand,
  ChildExit,
  ChildHandle,
  ChildLine,
  SpawnOptions,
} from "./launch/child.ts";
export { spawnWithToken } from "./launch/child.ts";
export type {
  LaunchRequest,
  PluginType,
  SuperExecEvent,
  SuperExecOptions,
} from "./launch/superexec.ts";
export { runSuperExec } from "./launch/superexec.ts";
export type { AppInputs, Inputs } from "./state/inputs.ts";
export type { Instructions, PushedMessages } from "./state/instructions.ts";
export type { LinkState, LinkStateOptions } from "./state/link-state.ts";
export { createLinkState } from "./state/link-state.ts";
export type { LogPage, Logs } from "./state/logs.ts";
export type { NewRuns } from "./state/new-runs.ts";
export type { Nodes } from "./state/nodes.ts";
export type { FoundObject, Objects } from "./state/objects.ts";
export type { PushedReply, Replies } from "./state/replies.ts";
export type { RequestedStatus, Runs } from "./state/runs.ts";
export type { StoredMessage } from "./state/stored-message.ts";
export type { SuperLink, SuperLinkOptions } from "./superlink/superlink.ts";
export { startSuperLink } from "./superlink/superlink.ts";
export type { SuperNode, SuperNodeOptions } from "./supernode/supernode.ts";
export { startSuperNode } from "./supernode/supernode.ts";
