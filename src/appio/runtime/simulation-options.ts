import type { ConfigRecord } from "../objects/config-record.ts";

/** What a run's federation options say about its simulation. */
export interface SimulationOptions {
  /** How many virtual nodes there are: `num-supernodes`. */
  readonly numSupernodes: number;
  /** How many CPUs a ClientApp is given: `backend.client-resources.num-cpus`. Default: 1. */
  readonly cpusPerClientApp: number;
  /** How many CPUs the ClientApps have together: `backend.init-args.num-cpus`. Default: those of the host. */
  readonly totalCpus: number | undefined;
  /** Whether the work of each node is logged: `verbose`. Default: false. */
  readonly isVerbose: boolean;
}

/** The most virtual nodes of one simulation; more would be a mistake in the options. */
export const maxSupernodes = 1_000_000;

const maxCpus = 65_536;

/**
 * Reads the federation options of a simulation (contract 8.5). Keys that are
 * not listed in {@link SimulationOptions} belong to backends of Flower, such as
 * Ray, and are not looked at.
 *
 * @throws TypeError naming the option that is missing or wrong.
 */
export function parseSimulationOptions(options: ConfigRecord): SimulationOptions {
  const numSupernodes = wholeNumber(options, "num-supernodes", maxSupernodes);
  if (numSupernodes === undefined) {
    throw new TypeError(
      'a simulation needs the federation option "num-supernodes": how many virtual nodes it has',
    );
  }
  const verbose = options.find("verbose") ?? false;
  if (typeof verbose !== "boolean") {
    throw new TypeError('the federation option "verbose" must be true or false');
  }
  return {
    numSupernodes,
    cpusPerClientApp: wholeNumber(options, "backend.client-resources.num-cpus", maxCpus) ?? 1,
    totalCpus: wholeNumber(options, "backend.init-args.num-cpus", maxCpus),
    isVerbose: verbose,
  };
}

/** Returns how many ClientApps work at a time on a host of so many CPUs; at least one. */
export function workersFor(
  { cpusPerClientApp, totalCpus }: SimulationOptions,
  hostCpus: number,
): number {
  return Math.max(1, Math.floor((totalCpus ?? hostCpus) / cpusPerClientApp));
}

/** An integer in either of its types: a config made from JSON has doubles only. */
function wholeNumber(options: ConfigRecord, key: string, most: number): number | undefined {
  const value = options.find(key);
  if (value === undefined) {
    return undefined;
  }
  const number =
    typeof value === "bigint" || typeof value === "number" ? Number(value) : Number.NaN;
  if (!Number.isInteger(number) || number < 1 || number > most) {
    throw new TypeError(`the federation option "${key}" must be a whole number from 1 to ${most}`);
  }
  return number;
}
