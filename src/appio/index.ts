export { ControlClient } from "../../gen/countersign/control/v1/control_countersign.ts";
export { ClientAppIoClient } from "../../gen/flwr/proto/clientappio_countersign.ts";
export { FleetClient } from "../../gen/flwr/proto/fleet_countersign.ts";
export { ServerAppIoClient } from "../../gen/flwr/proto/serverappio_countersign.ts";
export { SimulationIoClient } from "../../gen/flwr/proto/simulationio_countersign.ts";
export { ArrayRecord } from "./objects/array-record.ts";
export { ConfigRecord } from "./objects/config-record.ts";
export { InflateError } from "./objects/content-object.ts";
export {
  contentOf,
  contentsOf,
  type DeflatedObject,
  type DeflateOptions,
  defaultMaxChunkBytes,
  deflate,
  objectsOf,
  treeOf,
} from "./objects/deflate.ts";
export { type Dtype, dtypes, type TypedArray } from "./objects/dtype.ts";
export { type Contents, inflate, inflateMessage } from "./objects/inflate.ts";
export {
  defaultTtlSeconds,
  Message,
  type MessageInit,
  type Metadata,
  type Payload,
  type ReplyOptions,
} from "./objects/message.ts";
export { type MessageError, messageErrorCodes } from "./objects/message-error.ts";
export { MetricRecord } from "./objects/metric-record.ts";
export { NdArray, type NdArrayInit, numpyStype } from "./objects/nd-array.ts";
export { NpyError } from "./objects/npy.ts";
export { type CreateSha256, objectIdOf, type Sha256Hasher } from "./objects/object-id.ts";
export { objectIdsOf, postOrder } from "./objects/object-tree.ts";
export { type AnyRecord, RecordDict } from "./objects/record-dict.ts";
export type { ConfigValue as ConfigRecordValue, MetricValue } from "./objects/record-value.ts";
export { ObjectStructureError } from "./objects/structure.ts";
export {
  appToken,
  clientAppIoPolicy,
  controlPolicy,
  fleetPolicy,
  operatorToken,
  serverAppIoPolicy,
  signedClientAppIoPolicy,
  signedServerAppIoPolicy,
  simulationIoPolicy,
  superExecKey,
  superNode,
  superNodeKey,
} from "./policy.ts";
export { type AppSignal, AppStoppedError, type StopCause } from "./runtime/app-lifetime.ts";
export type { AppRuntimeOptions } from "./runtime/app-runtime.ts";
export {
  ClientApp,
  type ClientAppHandler,
  type ClientAppMod,
  type ClientAppOptions,
  isClientApp,
} from "./runtime/client-app.ts";
export type { ClientAppOutcome } from "./runtime/client-app-outcome.ts";
export {
  type ConfigValue,
  type ConfigValues,
  configFromScalars,
  flattenConfig,
  fuseConfig,
  scalarsFromConfig,
} from "./runtime/config-values.ts";
export { type Context, contextFromProto, contextToProto } from "./runtime/context.ts";
export { Grid, type GridOptions } from "./runtime/grid.ts";
export { type Heartbeat, type HeartbeatOptions, startHeartbeat } from "./runtime/heartbeat.ts";
export type { LoadApp, LoadedApp } from "./runtime/load-app.ts";
export {
  type LogUploader,
  type LogUploaderOptions,
  startLogUploader,
} from "./runtime/log-uploader.ts";
export {
  createRetry,
  type Retry,
  type RetryEvent,
  type RetryOptions,
  RunNotRunningError,
} from "./runtime/retry.ts";
export { type RunClientAppOptions, runClientApp } from "./runtime/run-client-app.ts";
export { type RunServerAppOptions, runServerApp } from "./runtime/run-server-app.ts";
export { isServerApp, ServerApp, type ServerAppMain } from "./runtime/server-app.ts";
export type {
  GridCallOptions,
  SendAndReceiveOptions,
  ServerAppGrid,
} from "./runtime/server-app-grid.ts";
export type { ServerAppOutcome } from "./runtime/server-app-outcome.ts";
export {
  SimulationIoConnection,
  type SimulationIoConnectionOptions,
} from "./runtime/simulation-io.ts";
export { type Sleep, sleep } from "./runtime/sleep.ts";
export {
  ObjectMismatchError,
  ObjectNotFoundError,
  ObjectUnavailableError,
} from "./runtime/transfer.ts";
export {
  type SleepWorker,
  startWorkerSleep,
  type WorkerSleep,
  type WorkerSleepOptions,
  workerSleepScript,
} from "./runtime/worker-sleep.ts";
