import { createConnectRouter } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { isServable, type RequestShape, shapeOf } from "../../src/serve/request-shape.ts";

const types = [
  "application/grpc",
  "application/grpc+proto",
  "application/grpc+json",
  "APPLICATION/GRPC",
  "application/grpc-web",
  "application/grpc-web+proto",
  "application/grpc-web+json; charset=utf-8",
  "application/proto",
  "application/json",
  "application/json;charset=utf8",
  "application/connect+proto",
  "application/connect+json",
];
const others = [
  "",
  "text/plain",
  "application/grpc-web-text",
  "application/grpc-web-text+proto",
  "application/grpcx",
  "application/grpc+thrift",
  "application/connect",
  "application/connectproto",
  "application/xml",
  "application/json; charset=latin1",
];

// The judgement must agree with connect: what we let through to a handler of an
// RPC that must not be noticed has to reach the gate.
const handlers = createConnectRouter({
  requestGate: () => {
    throw new Error("reached the gate");
  },
}).service(Mailbox, {}).handlers;

async function statusFromConnect(
  index: number,
  request: { method: string; contentType: string; target: string; isHttp1: boolean },
): Promise<number> {
  const handler = handlers[index];
  if (handler === undefined) {
    throw new Error("there are as many handlers as RPCs");
  }
  const response = await handler({
    httpVersion: request.isHttp1 ? "1.1" : "2.0",
    method: request.method,
    url: `http://h${request.target}`,
    header: new Headers(request.contentType === "" ? [] : [["content-type", request.contentType]]),
    body: (async function* () {})(),
    signal: new AbortController().signal,
  });
  return response.status;
}

const targets = ["/x", "/x?encoding=json&message=%7B%7D", "/x?encoding=proto", "/x?encoding=xml"];

describe.each(Mailbox.methods.map((method, index) => ({ name: method.name, method, index })))(
  "$name",
  ({ method, index }) => {
    it.each([true, false])(
      "what we find servable reaches connect's gate (HTTP/1: %s)",
      async (isHttp1) => {
        for (const httpMethod of ["POST", "GET", "PUT"]) {
          for (const contentType of [...types, ...others]) {
            for (const target of targets) {
              const shape = shapeOf(httpMethod, contentType, target);
              const isCall = typeof shape === "string" && isServable(method, shape, isHttp1);
              const status = await statusFromConnect(index, {
                method: httpMethod,
                contentType,
                target,
                isHttp1,
              });
              const isRefusedBefore = [404, 405, 415, 505].includes(status);
              expect({ httpMethod, contentType, target, isCall }).toEqual({
                httpMethod,
                contentType,
                target,
                isCall: !isRefusedBefore,
              });
            }
          }
        }
      },
    );
  },
);

it("knows the shapes", () => {
  const of = (contentType: string): RequestShape | number => shapeOf("POST", contentType, "/x");
  expect(types.map(of)).toEqual([
    ...Array.from({ length: 7 }, () => "enveloped"),
    ...Array.from({ length: 3 }, () => "unary"),
    "stream",
    "stream",
  ]);
  expect(others.map(of)).toEqual(others.map(() => 415));
});
