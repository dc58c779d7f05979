import type { DescMethod } from "@bufbuild/protobuf";
import { ClientAppIo } from "../../../gen/flwr/proto/clientappio_pb.ts";
import { refusal, type Verifier } from "../../policy/verifier.ts";
import type { superExecKey } from "../policy.ts";
import { SeenSignatures } from "./seen-signatures.ts";
import { signatureIdentity } from "./signature.ts";
import { checkSignature } from "./signed-call.ts";
import {
  type AllowedSuperExecKey,
  allowSuperExecKeys,
  type ListedSuperExecKey,
} from "./super-exec-keys.ts";
import { superExecSignedText } from "./super-exec-signed-text.ts";
import { defaultClockToleranceSeconds, freshForMs } from "./timestamp.ts";

/** Who may launch apps. */
export interface SuperExecAuth {
  /** The public keys of the SuperExecs, at least one. */
  readonly publicKeys: readonly ListedSuperExecKey[];
  /** How far a SuperExec's clock may differ, in whole seconds. Default: 300. */
  readonly clockToleranceSeconds?: number;
}

/** Options of {@link createSuperExecVerifier}. */
export interface SuperExecVerifierOptions extends SuperExecAuth {
  /** The clock, in milliseconds since the epoch. Default: `Date.now`. */
  readonly now?: () => number;
  /**
   * How many signatures of one key are remembered, so that none counts twice.
   * Beyond it that key's calls are refused. Default: 50000, which at the default
   * tolerance is 160 calls a second; some 10 MB a key.
   */
  readonly maxSignaturesPerKey?: number;
}

/**
 * Creates the verifier of a SuperExec's signature (contract 2.3), for
 * ServerAppIo and ClientAppIo. Unlike Flower's it accepts a signature once, also
 * when the clock goes back: a captured call cannot be repeated. What it
 * remembers is this process's: after a restart, and on another replica, a
 * captured call is good for as long as it is fresh.
 *
 * @throws TypeError if no key is listed, one cannot be read, or a number is not
 * a positive integer
 */
export function createSuperExecVerifier(
  options: SuperExecVerifierOptions,
): Verifier<typeof superExecKey> {
  const { now = Date.now } = options;
  const toleranceSeconds = positive(
    "clockToleranceSeconds",
    options.clockToleranceSeconds,
    defaultClockToleranceSeconds,
  );
  const capacity = positive("maxSignaturesPerKey", options.maxSignaturesPerKey, 50_000);
  const keys = new Map(
    [...allowSuperExecKeys(options.publicKeys)].map(([pem, key]) => [
      pem,
      { ...key, seen: new SeenSignatures(freshForMs(toleranceSeconds), capacity) },
    ]),
  );
  return async (presented, { method, isRecheck, isProbe }) => {
    if (isProbe) {
      // It has no store that could be down, and must not note the signature as used.
      return refusal("the call wants no signature");
    }
    const pem = Buffer.from(presented["flwr-superexec-public-key-bin"]).toString("latin1");
    const listed = keys.get(pem);
    if (listed === undefined) {
      return refusal("the key is not listed");
    }
    if (!mayCall(listed, method)) {
      return refusal("the key is not listed for this service");
    }
    const { publicKey, plugins, seen } = listed;
    const timestamp = presented["flwr-superexec-timestamp"];
    const signature = presented["flwr-superexec-signature-bin"];
    const signedText = superExecSignedText(timestamp, method);
    const signedAt = await checkSignature({
      ...{ publicKey, signature, timestamp, signedText, toleranceSeconds, isRecheck, now },
    });
    if (typeof signedAt !== "number") {
      return signedAt;
    }
    // Nothing is awaited from here on: of two calls with one signature, one gets through.
    const sighting = isRecheck ? "new" : seen.add(signatureIdentity(signature), signedAt, now());
    if (sighting !== "new") {
      return refusal(whyNotNew[sighting]);
    }
    return {
      keyFingerprint: publicKey.fingerprint,
      launchesServerApps: plugins.has("serverapp"),
      launchesSimulations: plugins.has("simulation"),
    };
  };
}

/** What operators are told of a signature that does not count. */
const whyNotNew = {
  seen: "replayed",
  full: "the key has made too many calls",
  forgotten: "the clock has gone back to signatures that are forgotten",
} as const;

/** ServerApps and simulations are launched through ServerAppIo, ClientApps through ClientAppIo. */
function mayCall({ plugins }: AllowedSuperExecKey, method: DescMethod): boolean {
  return method.parent.typeName === ClientAppIo.typeName
    ? plugins.has("clientapp")
    : plugins.has("serverapp") || plugins.has("simulation");
}

function positive(option: string, value: number | undefined, fallback: number): number {
  const given = value ?? fallback;
  if (!Number.isSafeInteger(given) || given < 1) {
    throw new TypeError(`"${option}" must be a positive whole number`);
  }
  return given;
}
