import { create, toJson } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { SimulationConfigSchema } from "../../../gen/flwr/proto/federation_config_pb.ts";
import { ConfigRecord } from "../../../src/appio/objects/config-record.ts";
import {
  federationOptionsOf,
  simulationConfigOf,
} from "../../../src/appio/state/simulation-config.ts";

const options = new ConfigRecord({
  "num-supernodes": 3n,
  "backend.client-resources.num-cpus": 2n,
  "backend.name": "ray",
  verbose: false,
  "backend.init-args.num-cpus": 8n,
  "backend.init-args.num-gpus": 1n,
  "backend.init-args.logging-level": "WARNING",
  "backend.init-args.log-to-driver": true,
  "backend.client-resources.num-gpus": 0.5,
});

const config = {
  numSupernodes: 3,
  clientResourcesNumCpus: 2,
  clientResourcesNumGpus: 0.5,
  backend: "ray",
  verbose: false,
  initArgsNumCpus: 8,
  initArgsNumGpus: 1,
  initArgsLoggingLevel: "WARNING",
  initArgsLogToDriver: true,
};

function jsonOf(record: ConfigRecord) {
  return toJson(SimulationConfigSchema, simulationConfigOf(record));
}

describe("a simulation's settings", () => {
  it("are the same as federation options and as Flower's message", () => {
    expect(jsonOf(options)).toEqual(config);
    const back = federationOptionsOf(create(SimulationConfigSchema, config));
    expect(Object.fromEntries(back)).toEqual(Object.fromEntries(options));
  });

  it("leave out what nobody has set", () => {
    expect(jsonOf(new ConfigRecord())).toEqual({});
    expect(federationOptionsOf(create(SimulationConfigSchema)).size).toBe(0);
  });

  it("take whole doubles for integers, and leave out what the message cannot carry", () => {
    expect(jsonOf(new ConfigRecord({ "num-supernodes": 3, backend: "ray" }))).toEqual({
      numSupernodes: 3,
      backend: "ray",
    });
    for (const value of [0.5, -1n, 2n ** 32n, "three", true]) {
      expect(jsonOf(new ConfigRecord({ "num-supernodes": value }))).toEqual({});
    }
    expect(jsonOf(new ConfigRecord({ verbose: 1n, "backend.name": 2n }))).toEqual({});
  });
});
