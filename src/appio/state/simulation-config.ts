import { create } from "@bufbuild/protobuf";
import {
  type SimulationConfig,
  SimulationConfigSchema,
} from "../../../gen/flwr/proto/federation_config_pb.ts";
import { ConfigRecord } from "../objects/config-record.ts";

/**
 * Where federation options and {@link SimulationConfig} carry the same: a
 * simulation of Flower 1.28 asks for the first, one of 1.29 gets the second
 * with its inputs.
 */
const keys = {
  numSupernodes: "num-supernodes",
  clientResourcesNumCpus: "backend.client-resources.num-cpus",
  clientResourcesNumGpus: "backend.client-resources.num-gpus",
  backend: "backend.name",
  verbose: "verbose",
  initArgsNumCpus: "backend.init-args.num-cpus",
  initArgsNumGpus: "backend.init-args.num-gpus",
  initArgsLoggingLevel: "backend.init-args.logging-level",
  initArgsLogToDriver: "backend.init-args.log-to-driver",
} as const;

const maxUint32 = 2 ** 32 - 1;

/**
 * Writes federation options as a simulation of Flower reads them. Options that
 * the message has no field for, or whose value does not fit, are left out: the
 * simulation says what it lacks.
 */
export function simulationConfigOf(options: ConfigRecord): SimulationConfig {
  const number = (key: string): number | undefined => {
    const value = options.find(key);
    return typeof value === "bigint" || typeof value === "number" ? Number(value) : undefined;
  };
  const uint32 = (key: string): number | undefined => {
    const value = number(key);
    const fits = Number.isInteger(value) && Number(value) >= 0 && Number(value) <= maxUint32;
    return fits ? value : undefined;
  };
  const text = (key: string): string | undefined => {
    const value = options.find(key);
    return typeof value === "string" ? value : undefined;
  };
  const boolean = (key: string): boolean | undefined => {
    const value = options.find(key);
    return typeof value === "boolean" ? value : undefined;
  };
  return create(SimulationConfigSchema, {
    numSupernodes: uint32(keys.numSupernodes),
    clientResourcesNumCpus: uint32(keys.clientResourcesNumCpus),
    clientResourcesNumGpus: number(keys.clientResourcesNumGpus),
    backend: text(keys.backend) ?? text("backend"),
    verbose: boolean(keys.verbose),
    initArgsNumCpus: uint32(keys.initArgsNumCpus),
    initArgsNumGpus: uint32(keys.initArgsNumGpus),
    initArgsLoggingLevel: text(keys.initArgsLoggingLevel),
    initArgsLogToDriver: boolean(keys.initArgsLogToDriver),
  });
}

/** Reads what a SuperLink of Flower sends a simulation with its inputs as federation options. */
export function federationOptionsOf(config: SimulationConfig): ConfigRecord {
  const options = new ConfigRecord();
  const set = (key: string, value: number | string | boolean | undefined): void => {
    if (value !== undefined) options.set(key, typeof value === "number" ? BigInt(value) : value);
  };
  set(keys.numSupernodes, config.numSupernodes);
  set(keys.clientResourcesNumCpus, config.clientResourcesNumCpus);
  set(keys.backend, config.backend);
  set(keys.verbose, config.verbose);
  set(keys.initArgsNumCpus, config.initArgsNumCpus);
  set(keys.initArgsNumGpus, config.initArgsNumGpus);
  set(keys.initArgsLoggingLevel, config.initArgsLoggingLevel);
  set(keys.initArgsLogToDriver, config.initArgsLogToDriver);
  // Shares of a GPU make it the only double.
  if (config.clientResourcesNumGpus !== undefined) {
    options.set(keys.clientResourcesNumGpus, config.clientResourcesNumGpus);
  }
  return options;
}
