import { ServerAppIo } from "../../gen/flwr/proto/serverappio_pb.ts";

/** Path of GetNodes. */
export const getNodesPath = `/${ServerAppIo.typeName}/${ServerAppIo.method.getNodes.name}`;

/** Path of PushObject. */
export const pushObjectPath = `/${ServerAppIo.typeName}/${ServerAppIo.method.pushObject.name}`;

/** Metadata that carries the token. */
export const tokenHeader = "flwr-app-token";

/** gRPC's header that says how long a caller waits for its answer. */
export const timeoutHeader = "grpc-timeout";

/** 30 s, as gRPC writes it: the deadline of every call that a server is measured with. */
export const callTimeout = "30S";
