/**
 * Promises 2 to 5 on the tables of AppIo: SuperNodes and SuperExecs sign, and
 * neither a server without their verifiers nor a client without their signers
 * compiles.
 */
import {
  createAuthenticatedClient,
  createGuard,
  createPartialClient,
  type HandlersOf,
  inProcess,
  parseToken,
  type RequestOf,
  refusal,
  service,
  type Verifier,
} from "countersign";
import {
  type appToken,
  clientAppIoPolicy,
  fleetPolicy,
  serverAppIoPolicy,
  signedClientAppIoPolicy,
  signedServerAppIoPolicy,
  type superExecKey,
  type superNode,
  type superNodeKey,
} from "../../src/appio/policy.ts";

declare const verifiers: {
  readonly appToken: Verifier<typeof appToken>;
  readonly superExecKey: Verifier<typeof superExecKey>;
  readonly superNodeKey: Verifier<typeof superNodeKey>;
  readonly superNode: Verifier<typeof superNode>;
};
declare const plainHandlers: HandlersOf<typeof serverAppIoPolicy>;
declare const signedHandlers: HandlersOf<typeof signedServerAppIoPolicy>;
declare const nodeHandlers: HandlersOf<typeof signedClientAppIoPolicy>;
declare const fleetHandlers: HandlersOf<typeof fleetPolicy>;
const plain = service(serverAppIoPolicy, plainHandlers);
const signed = service(signedServerAppIoPolicy, signedHandlers);
const signedNode = service(signedClientAppIoPolicy, nodeHandlers);
const fleet = service(fleetPolicy, fleetHandlers);

// Promise 2: with the second table, the second verifier.
createGuard({ services: [plain], verifiers: { appToken: verifiers.appToken } });
const { superExecKey: bySuperExec, superNode: byNode, superNodeKey: byKey } = verifiers;
createGuard({
  services: [signed],
  verifiers: { appToken: verifiers.appToken, superExecKey: bySuperExec },
});
createGuard({
  services: [signed],
  // @ts-expect-error Property 'superExecKey' is missing
  verifiers: { appToken: verifiers.appToken },
});
createGuard({
  services: [signedNode],
  // @ts-expect-error Property 'superExecKey' is missing
  verifiers: { appToken: verifiers.appToken },
});
createGuard({ services: [fleet], verifiers: { superNode: byNode, superNodeKey: byKey } });
// @ts-expect-error Property 'superNode' is missing
createGuard({ services: [fleet], verifiers: { superNodeKey: byKey } });
// @ts-expect-error Property 'superNodeKey' is missing
createGuard({ services: [fleet], verifiers: { superNode: byNode } });
createGuard({
  services: [fleet],
  verifiers: {
    superNodeKey: byKey,
    // @ts-expect-error a key is not yet a node: Property 'nodeId' is missing
    superNode: byKey,
  },
});
createGuard({
  services: [fleet],
  verifiers: {
    superNodeKey: (presented) => ({ publicKey: presented["flwr-public-key-bin"] }),
    superNode: (presented, call) => {
      const time: string = presented["flwr-timestamp"];
      // @ts-expect-error a signature is no token
      presented.length;
      return call.isRecheck ? { nodeId: 7n } : refusal(time);
    },
  },
});

// The tables are not each other's: what is open in one is protected in the other.
// @ts-expect-error getRun of the second table has a caller
service(signedServerAppIoPolicy, plainHandlers) satisfies typeof plain;

// Promise 3 and 4: who calls is read from the caller, not from the request.
service(fleetPolicy, {
  ...fleetHandlers,
  registerNode: (request, { caller }) => {
    // @ts-expect-error the key is the one that has signed
    request.publicKey;
    const key: Uint8Array = caller.publicKey;
    // @ts-expect-error a key alone proves no node
    caller.nodeId;
    return { nodeId: BigInt(key.length) };
  },
  deactivateNode: (request, { caller }) => {
    // @ts-expect-error the node is the one whose key has signed
    request.nodeId;
    const id: bigint = caller.nodeId;
    return id === 0n ? {} : {};
  },
  pullMessages: (request) => {
    // Nested: the type keeps it, the guard has written the verified value into it.
    const id: bigint | undefined = request.node?.nodeId;
    return id === undefined ? {} : {};
  },
});
service(signedServerAppIoPolicy, {
  ...signedHandlers,
  requestToken: ({ runId }, { caller }) => {
    const mayLaunch: boolean = caller.launchesServerApps;
    const key: string = caller.keyFingerprint;
    // @ts-expect-error a SuperExec belongs to no run
    caller.runId;
    return { token: mayLaunch && runId > 0n ? key : "" };
  },
  getRun: ({ runId }, { caller }) => {
    // @ts-expect-error which claims there are depends on the credential
    caller.tokenDigest;
    const own: bigint = caller.credential === "appToken" ? caller.runId : runId;
    return { run: { runId: own } };
  },
});
export type RunOfBoth = RequestOf<typeof signedServerAppIoPolicy, "getRun">["runId"];
// @ts-expect-error an app's own run is read from the caller
export type RunOfApp = RequestOf<typeof signedServerAppIoPolicy, "getNodes">["runId"];

// Promise 5: whoever signs needs a signer, whoever has a token needs the token.
const transport = inProcess({} as Parameters<typeof inProcess>[0]);
const token = parseToken("of-a-run");
const signAsNode = () => ({
  "flwr-public-key-bin": new Uint8Array(),
  "flwr-signature-bin": new Uint8Array(),
  "flwr-timestamp": "",
});
const signAsSuperExec = () => ({
  "flwr-superexec-public-key-bin": new Uint8Array(),
  "flwr-superexec-signature-bin": new Uint8Array(),
  "flwr-superexec-timestamp": "",
});
createAuthenticatedClient(fleetPolicy, transport, {
  superNodeKey: signAsNode,
  superNode: signAsNode,
});
// @ts-expect-error Property 'superNode' is missing
createAuthenticatedClient(fleetPolicy, transport, { superNodeKey: signAsNode });
createAuthenticatedClient(fleetPolicy, transport, {
  superNodeKey: signAsNode,
  // @ts-expect-error a SuperExec's signature is not a node's
  superNode: signAsSuperExec,
});
// @ts-expect-error Property 'superExecKey' is missing
createAuthenticatedClient(signedServerAppIoPolicy, transport, { appToken: token });
const launcher = createPartialClient(signedClientAppIoPolicy, transport, {
  superExecKey: signAsSuperExec,
});
launcher.listAppsToLaunch({});
launcher.getRun({});
// @ts-expect-error Property 'pullMessage' does not exist: a launcher has no token
launcher.pullMessage({});
const app = createPartialClient(signedClientAppIoPolicy, transport, { appToken: token });
app.pullMessage({});
app.getRun({});
// @ts-expect-error Property 'requestToken' does not exist: an app launches nothing
app.requestToken({});
// @ts-expect-error Property 'pullMessage' does not exist: nothing but the open RPCs
createPartialClient(clientAppIoPolicy, transport, {}).pullMessage({});
