import { create } from "@bufbuild/protobuf";
import { type Context as ContextProto, ContextSchema } from "../../../gen/flwr/proto/message_pb.ts";
import { RecordDict } from "../objects/record-dict.ts";
import { type ConfigValues, configFromScalars, scalarsFromConfig } from "./config-values.ts";

/** What an app knows of the run and the node it works for, and what it keeps from one call to the next. */
export interface Context {
  /** The run. */
  readonly runId: bigint;
  /** The node the app runs on; 1 is the SuperLink, where ServerApps run. */
  readonly nodeId: bigint;
  /** The node's own configuration. */
  readonly nodeConfig: ConfigValues;
  /** Records that the app keeps: a ClientApp finds them again at its next message of the same run. */
  state: RecordDict;
  /** The run's configuration: the bundle's defaults with the run's overrides. */
  readonly runConfig: ConfigValues;
}

/**
 * Reads a context from the wire, where it carries its records inline.
 *
 * @throws TypeError if a config value or a record is malformed.
 */
export function contextFromProto(proto: ContextProto): Context {
  return {
    runId: proto.runId,
    nodeId: proto.nodeId,
    nodeConfig: configFromScalars(proto.nodeConfig),
    state: RecordDict.fromProto(proto.state),
    runConfig: configFromScalars(proto.runConfig),
  };
}

/**
 * Writes a context for the wire.
 *
 * @throws TypeError if the app has put something else in the place of its
 * state or a config value.
 */
export function contextToProto(context: Context): ContextProto {
  if (!(context.state instanceof RecordDict)) {
    throw new TypeError('"state" of a context must be a RecordDict');
  }
  return create(ContextSchema, {
    runId: context.runId,
    nodeId: context.nodeId,
    nodeConfig: scalarsFromConfig(context.nodeConfig),
    state: context.state.toProto(),
    runConfig: scalarsFromConfig(context.runConfig),
  });
}
