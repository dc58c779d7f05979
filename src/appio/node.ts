export { assertSigningKey, generatePrivateKey, readPrivateKey } from "./credentials/private-key.ts";
export type { PublicKey } from "./credentials/public-key.ts";
export { publicKeyOf, readPublicKey } from "./credentials/public-key.ts";
export type { ListedSuperExecKey, SuperExecPlugin } from "./credentials/super-exec-keys.ts";
export type { SuperExecSigner } from "./credentials/super-exec-signer.ts";
export { signAsSuperExec } from "./credentials/super-exec-signer.ts";
export type {
  SuperExecAuth,
  SuperExecVerifierOptions,
} from "./credentials/super-exec-verifier.ts";
export { createSuperExecVerifier } from "./credentials/super-exec-verifier.ts";
export type { SuperNodeSigner } from "./credentials/super-node-signer.ts";
export { signAsSuperNode } from "./credentials/super-node-signer.ts";
export type {
  SuperNodeVerifierOptions,
  SuperNodeVerifiers,
} from "./credentials/super-node-verifier.ts";
export { createSuperNodeVerifiers } from "./credentials/super-node-verifier.ts";
export type { GrpcConnection, GrpcConnectionOptions } from "./grpc-connection.ts";
export { openGrpc } from "./grpc-connection.ts";
export type { AppProcessOptions, AppProcessOutcome } from "./launch/app-process.ts";
export { runAppProcess } from "./launch/app-process.ts";
export type { AppBundle } from "./launch/bundle.ts";
export { bundleId, readBundle } from "./launch/bundle.ts";
export type { InstalledBundle } from "./launch/bundle-install.ts";
export { installBundle, loadEntryPoint } from "./launch/bundle-install.ts";
export { packBundle } from "./launch/bundle-pack.ts";
export type {
  ChildCommand,
  ChildExit,
  ChildHandle,
  ChildLine,
  SpawnOptions,
} from "./launch/child.ts";
export { spawnWithToken } from "./launch/child.ts";
export type { FlowerAppOptions, FlowerCommands } from "./launch/flower-app.ts";
export { findFlowerCommands, spawnFlowerApp } from "./launch/flower-app.ts";
export type { LaunchInput } from "./launch/launch-input.ts";
export { readLaunchInput } from "./launch/launch-input.ts";
export type { AppType, PluginType } from "./launch/plugin-type.ts";
export type { RunSimulationOptions, SimulatedApps } from "./launch/simulation/run-simulation.ts";
export { runSimulation } from "./launch/simulation/run-simulation.ts";
export type { WorkerThreadOptions } from "./launch/simulation/worker-thread.ts";
export type {
  LaunchRequest,
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
export type { RequestedStatus } from "./state/run-changes.ts";
export type { Runs, Traffic } from "./state/runs.ts";
export type { StoredMessage } from "./state/stored-message.ts";
export type { ControlOptions } from "./superlink/control.ts";
export { controlService } from "./superlink/control.ts";
export type { FleetOptions } from "./superlink/fleet.ts";
export { fleetService } from "./superlink/fleet.ts";
export type { InlineSizeOptions } from "./superlink/message-sizes.ts";
export { serverAppIoService, signedServerAppIoService } from "./superlink/server-app-io.ts";
export type { SuperLink, SuperLinkOptions } from "./superlink/superlink.ts";
export { startSuperLink } from "./superlink/superlink.ts";
export type { SuperNode, SuperNodeOptions } from "./supernode/supernode.ts";
export { startSuperNode } from "./supernode/supernode.ts";
