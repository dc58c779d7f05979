import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { AnyPolicy } from "../policy/policy.ts";
import type { CredentialMaterials } from "../testing/credential-cases.ts";
import { CommandError } from "./exit-code.ts";

/** Names of the policies that come with the package, for `--policy`. */
export const builtInPolicies = [
  "server-app-io",
  "signed-server-app-io",
  "client-app-io",
  "signed-client-app-io",
  "fleet",
  "control",
  "health",
] as const;

type BuiltInPolicy = (typeof builtInPolicies)[number];

/**
 * Loads what a `--policy` names: a policy that comes with the package, one that
 * a module exports (`FILE#export`), or every one that it exports (`FILE`).
 *
 * @throws CommandError if there is no such module, export or policy in it
 */
export async function loadPolicies(place: string): Promise<readonly AnyPolicy[]> {
  const name = builtInPolicies.find((each) => each === place);
  if (name !== undefined) {
    return [await builtIn(name)];
  }
  const { exported, file, wanted } = await loadModule(place);
  if (wanted !== undefined) {
    const policy = exported.get(wanted);
    if (!isPolicy(policy)) throw new CommandError(`${file} exports no policy ${wanted}.`);
    return [policy];
  }
  const policies = [...exported.values()].filter(isPolicy);
  if (policies.length === 0) throw new CommandError(`${file} exports no policy.`);
  return policies;
}

/**
 * Loads what `--credentials` names: what a module exports as `credentials`, or
 * under the name after `#`.
 *
 * @throws CommandError if there is no such module, or no object of that name in it
 */
export async function loadCredentials(place: string): Promise<CredentialMaterials> {
  const { exported, file, wanted = "credentials" } = await loadModule(place);
  const found = exported.get(wanted);
  if (!isMaterials(found)) throw new CommandError(`${file} exports no object ${wanted}.`);
  return found;
}

async function builtIn(name: BuiltInPolicy): Promise<AnyPolicy> {
  const appIo = await import("../appio/policy.ts");
  switch (name) {
    case "server-app-io":
      return appIo.serverAppIoPolicy;
    case "signed-server-app-io":
      return appIo.signedServerAppIoPolicy;
    case "client-app-io":
      return appIo.clientAppIoPolicy;
    case "signed-client-app-io":
      return appIo.signedClientAppIoPolicy;
    case "fleet":
      return appIo.fleetPolicy;
    case "control":
      return appIo.controlPolicy;
    case "health":
      return (await import("../serve/health.ts")).healthPolicy;
  }
}

async function loadModule(place: string) {
  const at = place.lastIndexOf("#");
  const file = at < 0 ? place : place.slice(0, at);
  try {
    const loaded: object = await import(pathToFileURL(resolve(file)).href);
    return {
      exported: new Map<string, unknown>(Object.entries(loaded)),
      file,
      wanted: at < 0 ? undefined : place.slice(at + 1),
    };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandError(
      `${file} is none of ${builtInPolicies.join(", ")}, and cannot be loaded as a module: ${reason}`,
    );
  }
}

function isPolicy(value: unknown): value is AnyPolicy {
  return typeof value === "object" && value !== null && "ruleOf" in value && "binderOf" in value;
}

/** Materials are used as they are: what is wrong in them shows in the attack's own errors. */
function isMaterials(value: unknown): value is CredentialMaterials {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
