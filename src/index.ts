export {
  type AuthenticatedClient,
  type ClientOptions,
  createAuthenticatedClient,
  createServiceClient,
  type PolicyOf,
} from "./client/authenticated-client.ts";
export type {
  ClientCredential,
  ClientCredentials,
  SignCall,
  Signer,
} from "./client/client-credentials.ts";
export {
  inProcess,
  type LocatedTransport,
  type TransportToOptions,
  transportTo,
} from "./client/located-transport.ts";
export { createOpenClient, type OpenClient } from "./client/open-client.ts";
export {
  type AnyCredential,
  type ClaimBinding,
  type ClaimDeclaration,
  type ClaimKind,
  type ClaimsOf,
  type ClaimValue,
  type Credential,
  type CredentialOptions,
  credential,
  type Presented,
} from "./policy/credential.ts";
export {
  type AnyPolicy,
  type CallerOf,
  type CredentialOf,
  definePolicy,
  type OpenMethodOf,
  type Policy,
  type ProtectedMethodOf,
  type RequestOf,
  type RuleOf,
} from "./policy/policy.ts";
export {
  anyOf,
  type OpenRule,
  open,
  type ProtectedRule,
  type Rule,
  type RuleOptions,
  requires,
} from "./policy/rule.ts";
export {
  digestToken,
  isToken,
  maxTokenLength,
  parseToken,
  type Token,
  type TokenDigest,
} from "./policy/token.ts";
export {
  isRefusal,
  type Refusal,
  refusal,
  type Verification,
  type Verifier,
  type VerifyCall,
} from "./policy/verifier.ts";
