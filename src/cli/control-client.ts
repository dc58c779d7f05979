import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { type Command, Option } from "commander";
import type { Control } from "../../gen/countersign/control/v1/control_pb.ts";
import { CommandError } from "./exit-code.ts";
import { readOperatorToken } from "./operator-token.ts";
import { parseServiceUrl } from "./parameters.ts";

/** Options of every command that asks a SuperLink. */
export interface ControlOptions {
  /** URL of the SuperLink's Control service. */
  readonly superlink: string;
  readonly operatorTokenFile?: string;
}

/** Adds the options of {@link ControlOptions} to a command. */
export function withControlOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--superlink <url>", "the SuperLink's Control service")
        .argParser(parseServiceUrl)
        .env("COUNTERSIGN_SUPERLINK")
        .default("http://127.0.0.1:9093"),
    )
    .option(
      "--operator-token-file <path>",
      "file with the operator's token (default: $COUNTERSIGN_OPERATOR_TOKEN or ~/.countersign/operator-token)",
    );
}

/**
 * Asks a SuperLink as its operator.
 *
 * @throws CommandError when there is no token, the SuperLink cannot be reached or is unavailable, or it refuses
 */
export async function askControl<T>(
  options: ControlOptions,
  work: (control: Client<typeof Control>) => Promise<T>,
): Promise<T> {
  const { superlink: baseUrl } = options;
  const operatorToken = await readOperatorToken({
    file: options.operatorTokenFile,
    env: process.env,
  });
  const { openGrpc } = await import("../appio/grpc-connection.ts");
  const { createAuthenticatedClient } = await import("../client/authenticated-client.ts");
  const { controlPolicy } = await import("../appio/policy.ts");
  const { transport, close } = openGrpc(baseUrl);
  try {
    return await work(createAuthenticatedClient(controlPolicy, transport, { operatorToken }));
  } catch (error) {
    throw error instanceof ConnectError ? explained(error, baseUrl) : error;
  } finally {
    close();
  }
}

function explained(error: ConnectError, baseUrl: string): CommandError {
  switch (error.code) {
    case Code.Unavailable:
      // What the SuperLink answered has no cause here; a broken connection has one.
      return new CommandError(
        error.cause === undefined
          ? `The SuperLink at ${baseUrl} is unavailable: ${error.rawMessage}`
          : `The SuperLink at ${baseUrl} cannot be reached.`,
      );
    case Code.Unauthenticated:
      return new CommandError(`The SuperLink at ${baseUrl} does not accept this operator token.`);
    default:
      return new CommandError(error.rawMessage || `The call failed: ${Code[error.code]}.`);
  }
}
