import type { DescMethod } from "@bufbuild/protobuf";

/** What a SuperExec signs: the time, a line feed, and the RPC's full path (contract 2.3). */
export function superExecSignedText(timestamp: string, method: DescMethod): string {
  return `${timestamp}\n/${method.parent.typeName}/${method.name}`;
}
