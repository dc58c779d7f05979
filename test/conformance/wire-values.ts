import { create, createRegistry } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { type Code, ConnectError } from "@connectrpc/connect";
import type { Code as RpcCode } from "./gen/connectrpc/conformance/v1/config_pb.ts";
import {
  ErrorSchema,
  file_connectrpc_conformance_v1_service,
  type Header,
  HeaderSchema,
  type Error as RpcError,
} from "./gen/connectrpc/conformance/v1/service_pb.ts";

const anyPrefix = "type.googleapis.com/";

/** What the service's messages may carry in an Any: connect writes JSON with it. */
export const registry = createRegistry(file_connectrpc_conformance_v1_service);

/** Headers as the runner compares them. What HTTP has joined with commas, it takes apart itself. */
export function headerList(headers: Headers): Header[] {
  return [...headers].map(([name, value]) => create(HeaderSchema, { name, value: [value] }));
}

/** Adds headers of a test case to others, each value on its own. */
export function appendHeaders(target: Headers, list: readonly Header[]): void {
  for (const { name, value } of list) {
    for (const one of value) {
      target.append(name, one);
    }
  }
}

/**
 * The error that a test case asks for, with further details. Here and in
 * {@link rpcErrorOf} are the casts of this folder: the runner's codes have the
 * numbers of gRPC's, as connect's have, which the compiler cannot know.
 */
export function connectErrorOf(
  { code, message, details }: RpcError,
  furtherDetails: readonly Any[],
): ConnectError {
  const error = new ConnectError(message ?? "", code as number as Code);
  error.details = [...details, ...furtherDetails].map(({ typeUrl, value }) => ({
    type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1),
    value,
  }));
  return error;
}

/** An error that a call ended with, as the runner compares it. */
export function rpcErrorOf(error: ConnectError): RpcError {
  return create(ErrorSchema, {
    code: error.code as number as RpcCode,
    message: error.rawMessage,
    details: error.details.flatMap((detail) =>
      "type" in detail ? [{ typeUrl: anyPrefix + detail.type, value: detail.value }] : [],
    ),
  });
}
