import { create, createFileRegistry, type DescService } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import {
  Code,
  ConnectError,
  type ConnectRouterOptions,
  type ContextKey,
  createConnectRouter,
  createContextKey,
} from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import { authenticationFailed } from "../guard/refusal.ts";
import type { RequestShape } from "./request-shape.ts";

/**
 * Where a call to a decoy says what to refuse it with. Without it, a decoy
 * refuses as the gate does.
 */
export const decoyErrorKey: ContextKey<ConnectError | undefined> = createContextKey<
  ConnectError | undefined
>(undefined, { description: "countersign: what a decoy refuses with" });

/** The refusal of a call that comes too much or too late. Clients may try again. */
export function unavailable(): ConnectError {
  return new ConnectError("The server takes no more calls at present.", Code.Unavailable);
}

/** Chooses the decoy that refuses a request of a shape. */
export type Decoys = (shape: RequestShape) => UniversalHandler;

/**
 * Makes the RPCs that are called in place of those that do not exist or may not
 * be told from them. Their answers pass through connect's own handlers, as the
 * gate's refusals do, so that in every protocol the bytes are the same.
 *
 * @param options - the options of the router that serves the real RPCs.
 */
export function createDecoys(options: ConnectRouterOptions): Decoys {
  const router = createConnectRouter({
    ...options,
    requestGate: (context) => {
      if (context.requestMethod === "GET") {
        // As on every protected GET.
        context.responseHeader.set("cache-control", "no-store");
      }
      throw context.values.get(decoyErrorKey) ?? authenticationFailed();
    },
  });
  // Without handlers: the gate above ends every call before.
  router.service(decoyService(), {});
  const [unary, stream] = router.handlers;
  if (unary === undefined || stream === undefined) {
    throw new Error("connect registered no handlers for the decoys");
  }
  return (shape) => (shape === "stream" ? stream : unary);
}

/** One RPC for the shapes that unary calls have, and one for streams. */
function decoyService(): DescService {
  const typeName = ".countersign.decoy.Nothing";
  const file = create(FileDescriptorProtoSchema, {
    name: "countersign/decoy.proto",
    package: "countersign.decoy",
    syntax: "proto3",
    messageType: [{ name: "Nothing" }],
    service: [
      {
        name: "Decoy",
        method: [
          {
            name: "Unary",
            inputType: typeName,
            outputType: typeName,
            // Allows GET.
            options: { idempotencyLevel: MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS },
          },
          { name: "Stream", inputType: typeName, outputType: typeName, serverStreaming: true },
        ],
      },
    ],
  });
  const service = createFileRegistry(file, () => undefined).getService("countersign.decoy.Decoy");
  if (service === undefined) {
    throw new Error("the decoys' descriptor has no service");
  }
  return service;
}
