import { create } from "@bufbuild/protobuf";
import {
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import {
  type PushObjectRequest,
  type PushObjectResponse,
  PushObjectResponseSchema,
} from "../../gen/flwr/proto/message_pb.ts";
import {
  type GetNodesRequest,
  type GetNodesResponse,
  GetNodesResponseSchema,
  ServerAppIo,
} from "../../gen/flwr/proto/serverappio_pb.ts";
import { grpcMethod } from "../grpc-method.ts";
import { fixedToken, nodes, runId } from "./answers.ts";
import { noteBody } from "./body-watch.ts";
import { readMaxBytes } from "./guarded-service.ts";
import { tokenHeader } from "./paths.ts";

/** Starts @grpc/grpc-js on a free port, whose number it returns; with or without a check of the token. */
export function startGrpcServer({
  checksToken,
}: {
  readonly checksToken: boolean;
}): Promise<number> {
  const server = new Server({
    "grpc.max_receive_message_length": readMaxBytes,
    interceptors: checksToken ? [tokenInterceptor()] : [],
  });
  const { getNodes, pushObject } = ServerAppIo.method;
  server.addService(
    { getNodes: grpcMethod(getNodes), pushObject: grpcMethod(pushObject) },
    {
      getNodes: (
        _call: ServerUnaryCall<GetNodesRequest, GetNodesResponse>,
        answer: sendUnaryData<GetNodesResponse>,
      ) => answer(null, create(GetNodesResponseSchema, nodes())),
      pushObject: (
        { request }: ServerUnaryCall<PushObjectRequest, PushObjectResponse>,
        answer: sendUnaryData<PushObjectResponse>,
      ) => {
        noteBody();
        const stored = request.objectContent.length > 0;
        answer(null, create(PushObjectResponseSchema, { stored }));
      },
    },
  );
  return new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
  });
}

/** Looks the token up in a Map when the metadata has come, the earliest that grpc-js offers. */
function tokenInterceptor(): ServerInterceptor {
  const tokens = new Map<string, bigint>([[fixedToken, runId]]);
  return (_method, call) =>
    new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, goOn) => {
            const presented = metadata.get(tokenHeader);
            if (presented.length === 1 && tokens.has(String(presented[0]))) {
              goOn(metadata);
            } else {
              call.sendStatus({
                code: status.UNAUTHENTICATED,
                details: "Authentication failed.",
              });
            }
          },
        }),
    });
}
