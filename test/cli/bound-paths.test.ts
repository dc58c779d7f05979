import { describe, expect, test } from "vitest";
import { ClientAppIo } from "../../gen/flwr/proto/clientappio_pb.ts";
import { ServerAppIo } from "../../gen/flwr/proto/serverappio_pb.ts";
import {
  appToken,
  controlPolicy,
  operatorToken,
  serverAppIoPolicy,
} from "../../src/appio/policy.ts";
import { boundPaths } from "../../src/cli/bound-paths.ts";

describe("boundPaths", () => {
  test("names nested and repeated fields as the .proto file does", () => {
    expect(boundPaths(ServerAppIo.method.pushMessages.input, appToken)).toEqual([
      { path: "token", binds: "secret" },
      { path: "messages_list[].metadata.run_id", binds: "runId" },
      { path: "run_id", binds: "runId" },
    ]);
    expect(boundPaths(ClientAppIo.method.pushAppOutputs.input, appToken)).toEqual([
      { path: "token", binds: "secret" },
      { path: "run_id", binds: "runId" },
      { path: "context.run_id", binds: "runId" },
    ]);
  });

  test("finds fields exactly where the guard binds some", () => {
    for (const [policy, credential] of [
      [serverAppIoPolicy, appToken],
      [controlPolicy, operatorToken],
    ] as const) {
      for (const method of policy.service.methods) {
        if (policy.ruleOf(method)?.kind === "open") continue;
        const isBound = policy.binderOf(method, credential) !== undefined;
        expect([method.name, boundPaths(method.input, credential).length > 0]).toEqual([
          method.name,
          isBound,
        ]);
      }
    }
  });
});
