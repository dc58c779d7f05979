/** A curve on which keys may lie. */
export interface Curve {
  /** Its name in a JSON Web Key (RFC 7518, section 6.2.1.1); undefined for those that have none. */
  readonly jwk: string | undefined;
  /** Its name in OpenSSH's formats (RFC 5656, section 10.1); undefined for those that have none. */
  readonly ssh: string | undefined;
  /** Bytes of one coordinate. */
  readonly coordinateBytes: number;
}

/** NIST's prime curves, by OpenSSL's names: those on which Flower accepts keys (contract 2.3). */
export const nistCurves: ReadonlyMap<string, Curve> = new Map([
  ["prime192v1", { jwk: undefined, ssh: undefined, coordinateBytes: 24 }],
  ["secp224r1", { jwk: undefined, ssh: undefined, coordinateBytes: 28 }],
  ["prime256v1", { jwk: "P-256", ssh: "nistp256", coordinateBytes: 32 }],
  ["secp384r1", { jwk: "P-384", ssh: "nistp384", coordinateBytes: 48 }],
  ["secp521r1", { jwk: "P-521", ssh: "nistp521", coordinateBytes: 66 }],
]);
