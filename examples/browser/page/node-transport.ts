import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { type LocatedTransport, transportTo } from "countersign";
import { clientAppIoPolicy } from "countersign/appio";

/**
 * The way from this page to a SuperNode's ClientAppIo: gRPC-web, over the browser's `fetch`.
 *
 * @param onHeartbeat called after every heartbeat that the node has answered
 * @throws TypeError when `node` is no http: or https: URL
 */
export function connectToNode(node: string, onHeartbeat: () => void): LocatedTransport {
  const { sendAppHeartbeat } = clientAppIoPolicy.service.method;
  const watchHeartbeats: Interceptor = (next) => async (request) => {
    const response = await next(request);
    if (request.method === sendAppHeartbeat) onHeartbeat();
    return response;
  };
  return transportTo(createGrpcWebTransport, {
    baseUrl: node,
    fetch: fetchOrUnavailable,
    interceptors: [watchHeartbeats],
  });
}

/**
 * `fetch` that says Unavailable where the network, or the browser for the server, refused: only that is tried again by
 * the runtime, as it is in Node.
 */
const fetchOrUnavailable: typeof fetch = async (input, init) => {
  try {
    return await fetch(input, init);
  } catch (error) {
    // What an aborted signal throws is none.
    if (!(error instanceof TypeError)) throw error;
    const text = "The node cannot be reached, or does not let pages of this origin in.";
    throw new ConnectError(text, Code.Unavailable, undefined, undefined, error);
  }
};
