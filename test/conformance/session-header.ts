/** Name of the header that carries the credential of the conformance service. */
export const sessionHeader = "conformance-session";
