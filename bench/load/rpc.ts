import type { ClientHttp2Session } from "node:http2";
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { callUnary } from "./unary-call.ts";

/**
 * Calls an RPC as {@link callUnary} does, with messages for bytes.
 *
 * @throws Error if the call fails.
 */
export async function callRpc<I extends DescMessage, O extends DescMessage>(
  session: ClientHttp2Session,
  { parent, name, input, output }: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
  token: string,
): Promise<MessageShape<O>> {
  const path = `/${parent.typeName}/${name}`;
  const outcome = await callUnary(session, path, toBinary(input, create(input, request)), token);
  if (outcome.grpcStatus !== "0") throw new Error(`${path}: grpc-status ${outcome.grpcStatus}`);
  return fromBinary(output, outcome.body.subarray(5));
}
