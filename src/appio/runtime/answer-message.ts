import type { PullAppInputsResponse } from "../../../gen/flwr/proto/appio_pb.ts";
import type { Context as ContextProto, Metadata } from "../../../gen/flwr/proto/message_pb.ts";
import { Message } from "../objects/message.ts";
import { type MessageError, messageErrorCodes } from "../objects/message-error.ts";
import { metadataFromProto } from "../objects/metadata.ts";
import { RecordDict } from "../objects/record-dict.ts";
import type { AppSignal } from "./app-lifetime.ts";
import { isClientApp } from "./client-app.ts";
import { contextFromProto, contextToProto } from "./context.ts";
import type { LoadApp } from "./load-app.ts";
import { linesOfThrown, reasonOfThrown } from "./thrown-text.ts";

/** What {@link answerMessage} needs. */
export interface AnswerOptions {
  readonly loadApp: LoadApp;
  /** Given to the app. */
  readonly lifetime: AppSignal;
  /** Does the app's part of the work; what it throws is the app's failure. Default: does it. */
  readonly during?: <T>(work: () => T | Promise<T>) => Promise<T>;
  /** Receives what an error reply is about, line by line. Default: nobody. */
  readonly onLog?: (line: string) => void;
}

/** What a ClientApp made of a message. */
export interface Answer {
  readonly reply: Message;
  /** The context as the app left it. */
  readonly context: ContextProto;
}

/** The one text of this failure: what a bundle's code throws while it loads is for the node's own log. */
const loadFailure: MessageError = {
  code: messageErrorCodes.loadClientAppException,
  reason: "An exception was raised when attempting to load `ClientApp`",
};

/**
 * Loads a ClientApp and has it answer one message. A failure of the app becomes
 * an error reply (contract 8.6, step 4): code 1 when it cannot be loaded, 2
 * when it throws, or returns what is no reply to the message. The context goes
 * back in any case, with what the app changed before it failed.
 *
 * @throws TypeError if the server's answer lacks a part.
 */
export async function answerMessage(
  message: Message,
  { context: contextProto, run, fab }: PullAppInputsResponse,
  { loadApp, lifetime, during = async (work) => work(), onLog = () => {} }: AnswerOptions,
): Promise<Answer> {
  if (contextProto === undefined || run === undefined || fab === undefined) {
    throw new TypeError("the server sent no run, no app bundle or no context");
  }
  const context = contextFromProto(contextProto);
  const failWith = (error: MessageError, cause: unknown) => {
    for (const line of linesOfThrown("The ClientApp failed", cause)) {
      onLog(line);
    }
    return message.replyWithError(error);
  };

  let app: unknown;
  try {
    ({ app } = await during(() => loadApp(fab, run)));
    if (!isClientApp(app)) {
      throw new TypeError(
        "the bundle's client app must be a ClientApp: new ClientApp().train(...)",
      );
    }
  } catch (cause) {
    return { reply: failWith(loadFailure, cause), context: contextProto };
  }

  const code = messageErrorCodes.clientAppRaisedException;
  let reply: Message;
  try {
    reply = assertReply(await during(() => app.answer(message, context, lifetime)), message);
  } catch (cause) {
    reply = failWith({ code, reason: reasonOfThrown(cause) }, cause);
  }
  try {
    return { reply, context: contextToProto(context) };
  } catch (cause) {
    return {
      reply: failWith({ code, reason: reasonOfThrown(cause) }, cause),
      context: contextProto,
    };
  }
}

/**
 * Answers a message whose objects are those that were announced, but make no message, with an error reply, code 3:
 * else its sender would wait until the token of this app has expired.
 *
 * @param announced what the server says of it
 * @throws TypeError if the server's answer lacks the context
 */
export function refuseMessage(
  announced: Metadata | undefined,
  messageId: string,
  reason: string,
  { context }: PullAppInputsResponse,
): Answer {
  if (context === undefined) {
    throw new TypeError("the server sent no context");
  }
  const metadata = { ...metadataFromProto(announced), messageId };
  const reply = new Message(metadata, { content: new RecordDict() }).replyWithError({
    code: messageErrorCodes.messageUnavailable,
    reason: `The message cannot be read: ${reason}`,
  });
  return { reply, context };
}

function assertReply(reply: unknown, message: Message): Message {
  if (!(reply instanceof Message)) {
    throw new TypeError("the handler must return a Message: message.reply(...)");
  }
  const { replyToMessageId } = reply.metadata;
  if (replyToMessageId !== message.metadata.messageId) {
    throw new TypeError("the handler must return a reply to its message: message.reply(...)");
  }
  return reply;
}
