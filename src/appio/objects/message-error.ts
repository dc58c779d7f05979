/**
 * Why a message carries an error instead of content: the codes of Flower
 * (contract 6.3).
 */
export const messageErrorCodes = {
  unknown: 0,
  /** The ClientApp could not be loaded. */
  loadClientAppException: 1,
  /** The ClientApp threw. */
  clientAppRaisedException: 2,
  /** The instruction is unknown, expired or was answered already. */
  messageUnavailable: 3,
  /** The reply expired, or the SuperLink refused it. */
  replyMessageUnavailable: 4,
  /** The node that the instruction was for is gone. */
  nodeUnavailable: 5,
  /** A mod of the ClientApp refused. */
  modFailedPrecondition: 6,
  /** The app bundle failed its verification. */
  invalidFab: 7,
  /** The process of the ClientApp ended without a reply. */
  clientAppCrashed: 8,
} as const;

/** The error that a message carries instead of content. Flower's Error. */
export interface MessageError {
  /** One of {@link messageErrorCodes}, or a code of the app's own; an integer. */
  readonly code: number;
  /** What happened, for people. Empty and absent are the same. */
  readonly reason?: string;
}
