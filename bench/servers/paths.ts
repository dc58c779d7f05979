import { ServerAppIo } from "../../gen/flwr/proto/serverappio_pb.ts";

/** Path of GetNodes. */
export const getNodesPath = `/${ServerAppIo.typeName}/${ServerAppIo.method.getNodes.name}`;

/** Path of PushObject. */
export const pushObjectPath = `/${ServerAppIo.typeName}/${ServerAppIo.method.pushObject.name}`;

/** Metadata that carries the token. */
export const tokenHeader = "flwr-app-token";
