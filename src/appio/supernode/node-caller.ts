import type { TokenDigest } from "../../policy/token.ts";

/** The ClientApp that calls, as the guard proved it. */
export interface NodeCaller {
  readonly runId: bigint;
  readonly tokenDigest: TokenDigest;
}

/** How a call of a ClientApp failed. */
export type NodeRefusalKind = "token ended" | "not taken" | "already answered" | "misaddressed";

/** A call of a ClientApp that changes nothing. */
export class NodeRefusal extends Error {
  override readonly name = "NodeRefusal";
  readonly kind: NodeRefusalKind;

  constructor(kind: NodeRefusalKind, message: string) {
    super(message);
    this.kind = kind;
  }
}
