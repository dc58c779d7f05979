/** A kind of request: what is the same whichever RPC it asks for. */
export interface RpcShape {
  readonly name: string;
  readonly method: string;
  readonly query?: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** A POST of a content type. */
export function post(type: string, extra: Readonly<Record<string, string>> = {}): RpcShape {
  return {
    name: `POST ${type} ${Object.entries(extra).join()}`,
    method: "POST",
    headers: { "content-type": type, ...extra },
  };
}

/** One request of each protocol that `serve` speaks. */
export const protocolShapes: readonly RpcShape[] = [
  post("application/grpc"),
  post("application/grpc-web+proto"),
  post("application/proto"),
  post("application/json"),
  post("application/connect+proto"),
  { name: "GET", method: "GET", query: "?encoding=json&message=%7B%7D", headers: {} },
];
