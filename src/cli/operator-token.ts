import { randomBytes } from "node:crypto";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { parseToken, type Token } from "../policy/token.ts";
import { CommandError } from "./exit-code.ts";
import { assertOwnersOnly } from "./key-files.ts";

/** Environment variable with the operator's token itself. */
export const operatorTokenVariable = "COUNTERSIGN_OPERATOR_TOKEN";
/** Environment variable with the path of the file that holds the operator's token. */
export const operatorTokenFileVariable = "COUNTERSIGN_OPERATOR_TOKEN_FILE";

/** Where the operator's token is kept when nothing else is said: `~/.countersign/operator-token`. */
export function defaultOperatorTokenFile(): string {
  return join(homedir(), ".countersign", "operator-token");
}

/** Where a command finds the operator's token. Never an argument: others on the machine can read those. */
export interface OperatorTokenSource {
  /** Path given on the command line, or undefined. */
  readonly file?: string | undefined;
  /** The process's environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * Finds the operator's token: in the file that was named, in COUNTERSIGN_OPERATOR_TOKEN, in the file that
 * COUNTERSIGN_OPERATOR_TOKEN_FILE names, or in the default file.
 *
 * @throws CommandError when there is none, or it is malformed, or its file can be read by others
 */
export async function readOperatorToken(source: OperatorTokenSource): Promise<Token> {
  const given = source.env[operatorTokenVariable];
  if (source.file === undefined && given !== undefined)
    return checked(given, operatorTokenVariable);
  const file = tokenFile(source);
  const token = await readTokenFile(file);
  if (token === undefined) {
    throw new CommandError(
      `There is no operator token in ${file}: name its file with --operator-token-file, or set ${operatorTokenVariable}.`,
    );
  }
  return token;
}

/** A token for a service to accept, and where a client finds it. */
export interface OperatorToken {
  readonly token: Token;
  /** The token's file; undefined when it came from the environment. */
  readonly file: string | undefined;
}

/**
 * Finds the operator's token as `readOperatorToken` does, and makes one when its file does not exist: 256 random bits,
 * in a file that only its owner can read (mode 0600).
 */
export async function readOrCreateOperatorToken(
  source: OperatorTokenSource,
): Promise<OperatorToken> {
  const given = source.env[operatorTokenVariable];
  if (source.file === undefined && given !== undefined) {
    return { token: checked(given, operatorTokenVariable), file: undefined };
  }
  const file = tokenFile(source);
  const token = (await readTokenFile(file)) ?? (await createTokenFile(file));
  return { token, file };
}

function tokenFile({ file, env }: OperatorTokenSource): string {
  return file ?? env[operatorTokenFileVariable] ?? defaultOperatorTokenFile();
}

async function readTokenFile(file: string): Promise<Token | undefined> {
  let content: string;
  try {
    await assertOwnersOnly(file);
    content = await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof CommandError) throw error;
    if (isMissing(error)) return undefined;
    throw new CommandError(`The operator token in ${file} cannot be read.`);
  }
  return checked(content.trim(), file);
}

async function createTokenFile(file: string): Promise<Token> {
  const token = parseToken(randomBytes(32).toString("hex"));
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  // "wx": whoever made the file in the meantime would otherwise keep its mode, or choose where it leads.
  await writeFile(file, `${token}\n`, { flag: "wx", mode: 0o600 });
  await chmod(file, 0o600);
  return token;
}

function checked(value: string, place: string): Token {
  try {
    return parseToken(value);
  } catch (error) {
    // parseToken's messages never show the value.
    throw new CommandError(
      `${place} holds no token: ${error instanceof Error ? error.message : ""}.`,
    );
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
